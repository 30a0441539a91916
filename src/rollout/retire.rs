//! Who goes next, how, and when a pod is given up to its ReplicaSet: the point of no return.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::budget::Budget;
use super::observation::{Observation, Pod, Revision, after};
use super::plan::{Action, Draft, Hold, VICTIM_PATIENCE};
use super::target::{Target, Withdrawal};
use super::victims::leave_first;
use crate::api::COST_NEXT;
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainCause, DrainEnd, DrainRecord, DrainWay};

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
    candidates.sort_by_key(|pod| (health(observation, target, pod), pod.deletion_cost));
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
    shrink(observation, target, (lead, surplus), budget, draft);
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
    candidates.sort_by_key(|pod| (health(observation, target, pod), pod.deletion_cost));
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

/// Gives pods up to their ReplicaSets: first the memory of it, and their deletion cost where the order
/// of victims needs it, and when both are seen the ReplicaSet goes down by as many.
pub(super) fn give_up(observation: &Observation, target: &Target, draft: &mut Draft) {
    for revision in &observation.revisions {
        let (leaving, staying): (Vec<_>, Vec<_>) = observation
            .active_of(revision)
            .partition(|pod| is_done(observation, target, pod, draft));
        if leaving.is_empty() {
            continue;
        }
        if catches_up(observation, revision, draft) {
            give_up_of(observation, revision, (&leaving, &staying), draft);
        }
    }
}

fn give_up_of(
    observation: &Observation,
    revision: &Revision,
    (leaving, staying): (&[&Pod], &[&Pod]),
    draft: &mut Draft,
) {
    let (committed, others): (Vec<_>, Vec<_>) = leaving
        .iter()
        .copied()
        .partition(|pod| retired(observation, pod).is_some());
    let is_draining = |pod: &Pod| draft.remembers(pod) || observation.drain_of(pod).is_some();
    let is_in_order = leave_first(leaving, staying, is_draining);
    let rest: Vec<_> = staying.iter().chain(&others).copied().collect();
    let are_next = leave_first(&committed, &rest, is_draining);
    for pod in &others {
        retire(pod, draft);
    }
    let unmarked = leaving
        .iter()
        .filter(|pod| !is_in_order && pod.deletion_cost != COST_NEXT);
    let mut marks = 0;
    for pod in unmarked {
        let pod = (*pod).into();
        draft.actions.push(Action::SetDeletionCost { pod });
        marks += 1;
    }
    if committed.is_empty() {
        return;
    }
    if are_next {
        let count = u32::try_from(committed.len()).unwrap_or(u32::MAX);
        scale_down(observation, revision, count, draft);
    } else if others.is_empty() && marks == 0 {
        // Everything is said that would put them first.
        delete_by_name(observation, &committed, draft);
    }
}

/// Deletes pods that their ReplicaSet would not take first, once it had its time.
fn delete_by_name(observation: &Observation, committed: &[&Pod], draft: &mut Draft) {
    for pod in committed {
        let Some(since) = retired(observation, pod) else {
            continue;
        };
        let until = after(since.0, VICTIM_PATIENCE);
        if until <= observation.now {
            let pod = (*pod).into();
            draft.actions.push(Action::DeletePod { pod });
        } else {
            let pod = pod.name.clone();
            draft.hold_until(until, Hold::VictimOrder { pod, until });
        }
    }
}

/// The pod may go: its drain ended and its routes had their least time, or it is to be deleted and
/// drains then. Said of the memory as it moved on in this round: what was written may have been
/// overtaken.
fn is_done(observation: &Observation, target: &Target, pod: &Pod, draft: &mut Draft) -> bool {
    let Some(before) = observation.drain_of(pod) else {
        return false;
    };
    let Some(drain) = draft.drains.iter().find(|drain| drain.uid == pod.uid) else {
        return false;
    };
    match (drain.way, drain.outcome) {
        // What is left of its work is for the preStop hook: nobody can say more about it before. That
        // it is to be so was written first.
        (DrainWay::Termination, _) => return before.way == DrainWay::Termination,
        (_, Some(DrainEnd::Silent | DrainEnd::NodeLost)) => return true,
        (DrainWay::Readiness, None) => return false,
        (DrainWay::Readiness, Some(_)) => {}
    }
    let Some(MicroTime(withdrawn)) = drain.withdrawn else {
        draft.holds.push(Hold::StillNamed {
            pod: pod.name.clone(),
        });
        return false;
    };
    let until = after(withdrawn, target.drain_min);
    if until > observation.now {
        draft.hold_until(
            until,
            Hold::MinSeconds {
                pod: pod.name.clone(),
                until,
            },
        );
        return false;
    }
    true
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
            if budget.spend_clean_up(cause) {
                remember(observation, pod, (cause, DrainWay::Termination), draft);
            }
            continue;
        }
        let is_available = observation.is_available(pod, target.min_ready);
        if budget.spend_withdrawal(is_available, cause) {
            let way = way(observation, target, pod, draft);
            remember(observation, pod, (cause, way), draft);
        } else {
            hold_at_bound(target, budget, draft);
            return;
        }
    }
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

fn retire(pod: &Pod, draft: &mut Draft) {
    let now = MicroTime(draft.now);
    if let Some(drain) = draft.drains.iter_mut().find(|drain| drain.uid == pod.uid) {
        drain.retired = Some(now);
    }
}

/// Since when the pod is given up, as it was written: with the end of its drain.
fn retired<'a>(observation: &'a Observation, pod: &Pod) -> Option<&'a MicroTime> {
    observation
        .drain_of(pod)
        .filter(|drain| match (drain.way, drain.outcome) {
            (DrainWay::Termination, _) | (_, Some(DrainEnd::Silent | DrainEnd::NodeLost)) => true,
            (DrainWay::Readiness, outcome) => outcome.is_some() && drain.withdrawn.is_some(),
        })
        .and_then(|drain| drain.retired.as_ref())
}

/// The ReplicaSet's controller counts what we count: the only evidence that its caches, which are
/// not ordered against each other, have what we have. A ReplicaSet that has pods left to delete counts
/// those too: until it has, scaling it again would cost a pod more.
fn agrees(observation: &Observation, revision: &Revision) -> bool {
    let (mut active, mut ready) = (0, 0);
    for pod in observation.active_of(revision) {
        active += 1;
        ready += u32::from(pod.is_ready());
    }
    revision.settled
        && revision.counted == active
        && revision.counted_ready == ready
        && revision.replicas >= active
}

/// Holds until the ReplicaSet's controller agrees.
fn catches_up(observation: &Observation, revision: &Revision, draft: &mut Draft) -> bool {
    let agrees = agrees(observation, revision);
    let replica_set = revision.name.clone();
    let hold = Hold::ReplicaSetBehind { replica_set };
    if !agrees && !draft.holds.contains(&hold) {
        draft.holds.push(hold);
    }
    agrees
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

fn scale_down(observation: &Observation, revision: &Revision, by: u32, draft: &mut Draft) {
    if draft.scales(revision) || !catches_up(observation, revision, draft) {
        return;
    }
    let to = revision.replicas.saturating_sub(by);
    draft.actions.push(Action::ScaleReplicaSet {
        replica_set: revision.into(),
        from: revision.replicas,
        to,
    });
}

/// Sorts pods for leaving: those that cost nothing first.
fn health(observation: &Observation, target: &Target, pod: &Pod) -> (bool, bool, bool) {
    (
        pod.node.is_some(),
        pod.is_ready(),
        observation.is_available(pod, target.min_ready),
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
