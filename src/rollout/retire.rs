//! Who goes next, and how.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::budget::Budget;
use super::give_up::{catches_up, hold_behind, scale_down};
use super::observation::{Observation, Phase, Pod, Revision};
use super::plan::{Draft, Hold};
use super::target::{Size, Target, Withdrawal};
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainCause, DrainRecord, DrainWay};

/// Begins the drain of old pods, unhealthy ones first, within the budget. Nothing old leaves before
/// the wanted ReplicaSet exists.
pub(super) fn withdraw_old(
    observation: &Observation,
    target: &Target,
    budget: &mut Budget,
    draft: &mut Draft,
) {
    if observation.updated().is_none() {
        return;
    }
    let old = observation.old();
    for revision in &old {
        drop_missing(observation, revision, budget, draft);
    }
    let mut candidates: Vec<_> = old
        .iter()
        .flat_map(|revision| observation.active_of(revision))
        .filter(|pod| observation.drain_of(pod).is_none())
        .collect();
    // Stable: within one health class the oldest revision goes first.
    candidates.sort_by_key(|pod| turn(observation, target, pod));
    withdraw(
        observation,
        target,
        (&candidates, DrainCause::Rollout),
        budget,
        draft,
    );
}

/// Begins the drain of pods of the wanted revision beyond the wanted number.
pub(super) fn withdraw_surplus(
    observation: &Observation,
    target: &Target,
    budget: &mut Budget,
    draft: &mut Draft,
) {
    let Some(lead) = observation.lead(target) else {
        return;
    };
    let surplus = budget.updated.saturating_sub(target.replicas);
    let was_greater = |size: Size| size.replicas > target.replicas;
    let over = if lead.sized_for.is_some_and(was_greater) {
        // Old pods that may leave make room as well, if not all at once. New ones would be made again.
        let room = budget.maximum.saturating_add(budget.old_to_withdraw());
        budget.total.saturating_sub(room)
    } else {
        0
    };
    let surplus = surplus.max(over.min(idle(observation, lead)));
    shrink(observation, target, (lead, surplus), budget, draft);
}

/// Pods of the wanted revision that serve nobody, where no old pod is worth less: they go first when
/// there are more pods than there may be (a smaller size while a rollout is blocked).
fn idle(observation: &Observation, lead: &Revision) -> u32 {
    let idle = |revision: &Revision| {
        let stays = |pod: &&Pod| observation.drain_of(pod).is_none() && !pod.is_ready();
        let unready = observation.active_of(revision).filter(stays).count();
        let unready = u32::try_from(unready).unwrap_or(u32::MAX);
        unready.saturating_add(missing(observation, revision))
    };
    let mut old = observation
        .revisions
        .iter()
        .filter(|other| other.uid != lead.uid);
    if old.any(|revision| idle(revision) > 0) {
        0
    } else {
        idle(lead)
    }
}

/// Begins the drain of that many pods of one revision, those that its ReplicaSet has still to make
/// first.
pub(super) fn shrink(
    observation: &Observation,
    target: &Target,
    (revision, surplus): (&Revision, u32),
    budget: &mut Budget,
    draft: &mut Draft,
) {
    let missing = missing(observation, revision).min(surplus);
    if missing > 0 {
        // More is asked for than exists and more than is wanted: asking for less costs no pod.
        scale_down(observation, revision, missing, draft);
        return;
    }
    let mut candidates: Vec<_> = observation
        .active_of(revision)
        .filter(|pod| observation.drain_of(pod).is_none())
        .collect();
    candidates.sort_by_key(|pod| turn(observation, target, pod));
    candidates.truncate(surplus as usize);
    withdraw(
        observation,
        target,
        (&candidates, DrainCause::ScaleDown),
        budget,
        draft,
    );
}

/// Recreate: every old pod is deleted at once and drains in its preStop hook.
pub(super) fn clear_old(observation: &Observation, draft: &mut Draft) {
    for revision in observation.old() {
        for pod in observation.active_of(revision) {
            if observation.drain_of(pod).is_none() {
                remember(
                    observation,
                    pod,
                    (DrainCause::Rollout, DrainWay::Termination),
                    draft,
                );
            }
        }
        let missing = missing(observation, revision);
        if missing > 0 {
            scale_down(observation, revision, missing, draft);
        }
    }
}

fn withdraw(
    observation: &Observation,
    target: &Target,
    (candidates, cause): (&[&Pod], DrainCause),
    budget: &mut Budget,
    draft: &mut Draft,
) {
    for pod in candidates {
        if !pod.is_ready() {
            if is_replaced_soon(observation, pod, draft) {
                continue;
            }
            if budget.spend_clean_up(cause) {
                remember(observation, pod, (cause, DrainWay::Termination), draft);
            }
            continue;
        }
        let way = way(observation, target, pod, draft);
        if way == DrainWay::Readiness && has_to_wait(observation, pod, draft) {
            continue;
        }
        // One that may have been available for long is not let go as if it were not.
        let costs_service =
            observation.is_available(pod, target.min_ready) || observation.is_undated(pod);
        if budget.spend_withdrawal(costs_service, cause) {
            remember(observation, pod, (cause, way), draft);
        } else {
            hold_at_bound(target, budget, draft);
            return;
        }
    }
}

/// Its ReplicaSet is about to make a pod, which it would take before this one: then this one would be deleted by
/// name, another be made, and so on. The one that is made costs less.
fn is_replaced_soon(observation: &Observation, pod: &Pod, draft: &mut Draft) -> bool {
    let mut revisions = observation.revisions.iter();
    let own = revisions.find(|revision| revision.uid == pod.owner);
    let Some(own) = own.filter(|own| missing(observation, own) > 0 && !draft.scales(own)) else {
        return false;
    };
    hold_behind(own, draft);
    true
}

/// Its ReplicaSet has a pod left to take. A sibling that serves until then would be passed over for one
/// that is withdrawn; and one that is withdrawn itself goes first only beside those that serve. So nothing
/// is withdrawn beside it until it is gone: that takes a second or two.
fn has_to_wait(observation: &Observation, pod: &Pod, draft: &mut Draft) -> bool {
    let mut revisions = observation.revisions.iter();
    let own = revisions.find(|revision| revision.uid == pod.owner);
    if let Some(own) = own.filter(|own| takes_a_pod(observation, own, draft)) {
        hold_behind(own, draft);
        return true;
    }
    let siblings = observation
        .active()
        .filter(|other| other.owner == pod.owner);
    siblings.filter(|other| other.is_ready()).any(|other| {
        let mut drains = draft.drains.iter();
        drains.any(|drain| drain.uid == other.uid && drain.way == DrainWay::Termination)
    })
}

/// The ReplicaSet was asked for fewer pods than it has, now or in this round.
fn takes_a_pod(observation: &Observation, revision: &Revision, draft: &Draft) -> bool {
    let wanted = draft.scaled_to(revision).unwrap_or(revision.replicas);
    observation.active_of(revision).count() > wanted as usize
}

/// How the pod is taken out of traffic: by readiness, unless that would be worse for its clients.
pub(super) fn way(
    observation: &Observation,
    target: &Target,
    pod: &Pod,
    draft: &Draft,
) -> DrainWay {
    let has_agent = pod.agent.present && pod.agent.running;
    if !has_agent || target.withdrawal == Withdrawal::Termination {
        return DrainWay::Termination;
    }
    if target.withdrawal == Withdrawal::Readiness {
        return DrainWay::Readiness;
    }
    let leaving: BTreeSet<&str> = draft
        .drains
        .iter()
        .chain(&observation.previous.drains)
        .map(|drain| drain.uid.as_str())
        .chain([pod.uid.as_str()])
        .collect();
    let is_worse = observation
        .services
        .iter()
        .filter(|service| service.names_ready(pod))
        .any(|service| {
            // A NotReady endpoint's UDP flows are flushed, a terminating one's are not; and the last ready
            // endpoint refuses connections once it is NotReady, but serves while it terminates (KEP-1669).
            service.udp
                || !service.ready.iter().any(|endpoint| {
                    !leaving.contains(endpoint.id.as_str())
                        && (!service.local || endpoint.node == pod.node)
                })
        });
    if is_worse {
        DrainWay::Termination
    } else {
        DrainWay::Readiness
    }
}

/// A new epoch: unlike any that this pod had before.
pub(super) fn epoch(observation: &Observation, pod: &Pod) -> String {
    // FNV-1a over the pod's UID, seeded with the observation's randomness: two pods of one
    // observation never share an epoch by accident, and no state is carried.
    let mut hash = observation.entropy ^ 0xcbf2_9ce4_8422_2325;
    for byte in pod.uid.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

fn remember(
    observation: &Observation,
    pod: &Pod,
    (cause, way): (DrainCause, DrainWay),
    draft: &mut Draft,
) {
    draft.drains.push(DrainRecord {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        epoch: epoch(observation, pod),
        cause,
        way,
        since: MicroTime(observation.now),
        withdrawn: None,
        deadline: None,
        overdue: None,
        condition: None,
        outcome: None,
        retired: None,
    });
    let (what, why) = match (way, cause) {
        (DrainWay::Readiness, DrainCause::Rollout) => ("is withdrawn", "for the rollout"),
        (DrainWay::Readiness, DrainCause::ScaleDown) => ("is withdrawn", "for the scale-down"),
        (DrainWay::Termination, DrainCause::Rollout) => {
            ("drains in its preStop hook", "for the rollout")
        }
        (DrainWay::Termination, DrainCause::ScaleDown) => {
            ("drains in its preStop hook", "for the scale-down")
        }
    };
    draft.tell(
        false,
        Reason::DrainStarted,
        format!("{} {what} {why}", pod.name),
    );
}

/// Pods that a ReplicaSet has still to make.
pub(super) fn missing(observation: &Observation, revision: &Revision) -> u32 {
    let active = u32::try_from(observation.active_of(revision).count()).unwrap_or(u32::MAX);
    revision.replicas.saturating_sub(active)
}

/// Pods that an old ReplicaSet has still to make are not made: the cheapest clean-up.
fn drop_missing(
    observation: &Observation,
    revision: &Revision,
    budget: &mut Budget,
    draft: &mut Draft,
) {
    let missing = missing(observation, revision);
    if missing == 0 || draft.scales(revision) || !catches_up(observation, revision, draft) {
        return;
    }
    let dropped = (0..missing)
        .take_while(|_| budget.spend_clean_up(DrainCause::Rollout))
        .count();
    if dropped > 0 {
        scale_down(
            observation,
            revision,
            u32::try_from(dropped).unwrap_or(missing),
            draft,
        );
    }
}

/// Sorts pods for leaving: those that cost nothing first, as their ReplicaSet would take them, then by the user's own
/// order, and of equals those without an agent, for which nobody has to wait.
fn turn(
    observation: &Observation,
    target: &Target,
    pod: &Pod,
) -> (bool, Phase, bool, bool, i32, bool) {
    (
        pod.node.is_some(),
        pod.phase,
        pod.is_ready(),
        observation.is_available(pod, target.min_ready),
        pod.deletion_cost,
        pod.agent.present,
    )
}

fn hold_at_bound(target: &Target, budget: &Budget, draft: &mut Draft) {
    draft.holds.push(if budget.drain == 0 {
        Hold::AtMaxDraining {
            maximum: target.max_draining,
        }
    } else {
        Hold::AtMinimum {
            available: budget.available,
            minimum: budget.minimum,
        }
    });
}
