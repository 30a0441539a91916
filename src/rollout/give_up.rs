//! When a pod is given up to its ReplicaSet, the point of no return, and how the ReplicaSet is made to
//! take that pod and no other.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::observation::{Observation, Pod, Revision, after};
use super::plan::{Action, COST_SETTLES, Draft, Hold, VICTIM_PATIENCE};
use super::share;
use super::target::Target;
use super::victims::{leave_first, rests_on_cost};
use crate::api::COST_NEXT;
use crate::api::v1alpha1::{DrainEnd, DrainWay};

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
    let way = |pod: &Pod| {
        let mut drains = draft.drains.iter().chain(&observation.previous.drains);
        drains
            .find(|drain| drain.uid == pod.uid)
            .map(|drain| drain.way)
    };
    let is_in_order = leave_first(leaving, staying, way);
    let rest: Vec<_> = staying.iter().chain(&others).copied().collect();
    let are_next = leave_first(&committed, &rest, way);
    let by_cost = rests_on_cost(&committed, &rest, way);
    let patience = patience(&committed, staying, way);
    for pod in &others {
        retire(pod, draft);
    }
    // The mark of one that is given up only now would put it beside those that the ReplicaSet is to
    // take now: it has its turn in the next round.
    let marked = if are_next && !committed.is_empty() {
        &committed
    } else {
        leaving
    };
    let unmarked = marked
        .iter()
        .filter(|pod| !is_in_order && pod.deletion_cost != COST_NEXT);
    let marks: Vec<_> = unmarked
        .map(|pod| Action::SetDeletionCost { pod: (*pod).into() })
        .collect();
    let is_all_said = others.is_empty() && marks.is_empty();
    draft.actions.extend(marks);
    if committed.is_empty() {
        return;
    }
    if are_next {
        if by_cost && !is_cost_seen(observation, revision, &committed, draft) {
            return;
        }
        let count = u32::try_from(committed.len()).unwrap_or(u32::MAX);
        scale_down(observation, revision, count, draft);
    } else if is_all_said {
        delete_by_name(observation, &committed, patience, draft);
    }
}

/// The ReplicaSet's controller has seen the cost that was written when these pods were given up, or has
/// had its time where it cannot tell.
fn is_cost_seen(
    observation: &Observation,
    revision: &Revision,
    committed: &[&Pod],
    draft: &mut Draft,
) -> bool {
    let tells = |pod: &&Pod| pod.injected == revision.injected && !pod.is_labelled;
    if let Some(counted) = revision.counted_labelled
        && committed.iter().all(tells)
    {
        let active = observation.active_of(revision);
        let labelled = active.filter(|pod| pod.is_labelled).count();
        let is_seen = counted as usize == labelled;
        if !is_seen {
            hold_behind(revision, draft);
        }
        return is_seen;
    }
    let given_up = committed
        .iter()
        .filter_map(|pod| Some((*pod, retired(observation, pod)?.0)));
    let Some((pod, last)) = given_up.max_by_key(|(_, at)| *at) else {
        return true;
    };
    let until = after(last, COST_SETTLES);
    let is_settled = until <= observation.now;
    if !is_settled {
        let pod = pod.name.clone();
        draft.hold_until(until, Hold::VictimOrder { pod, until });
    }
    is_settled
}

/// For how long a ReplicaSet may yet choose these pods by itself. A sibling that is withdrawn stays before
/// those that serve for as long as it drains: there is nothing to be patient for. One that does not
/// serve yet has its turn with the patience of others: deleted at once it would be made and deleted
/// again and again, and the ReplicaSet never caught up.
fn patience(
    committed: &[&Pod],
    staying: &[&Pod],
    way: impl Fn(&Pod) -> Option<DrainWay>,
) -> Duration {
    let mut staying = staying.iter();
    let is_vain = staying.any(|pod| way(pod) == Some(DrainWay::Readiness))
        && committed.iter().all(|pod| pod.is_ready());
    if is_vain {
        Duration::ZERO
    } else {
        VICTIM_PATIENCE
    }
}

/// Deletes pods that their ReplicaSet would not take first, once it had its time.
fn delete_by_name(
    observation: &Observation,
    committed: &[&Pod],
    patience: Duration,
    draft: &mut Draft,
) {
    for pod in committed {
        let Some(since) = retired(observation, pod) else {
            continue;
        };
        let until = after(since.0, patience);
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

fn retire(pod: &Pod, draft: &mut Draft) {
    let now = MicroTime(draft.now);
    let Some(drain) = draft.drains.iter_mut().find(|drain| drain.uid == pod.uid) else {
        return;
    };
    drain.retired = Some(now);
    // It drains in its preStop hook, and nobody hears how that ends. One that serves nobody has nothing
    // to lose.
    if drain.way == DrainWay::Termination && drain.outcome.is_none() && pod.is_ready() {
        draft.tally.forced += 1;
    }
    let took = draft.now.duration_since(drain.since.0).as_secs();
    let took = i32::try_from(took).unwrap_or(i32::MAX);
    draft.tally.longest = draft.tally.longest.max(took);
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
pub(super) fn catches_up(
    observation: &Observation,
    revision: &Revision,
    draft: &mut Draft,
) -> bool {
    let agrees = agrees(observation, revision);
    if !agrees {
        hold_behind(revision, draft);
    }
    agrees
}

/// Names the ReplicaSet whose controller is waited for, once.
pub(super) fn hold_behind(revision: &Revision, draft: &mut Draft) {
    let replica_set = revision.name.clone();
    let hold = Hold::ReplicaSetBehind { replica_set };
    if !draft.holds.contains(&hold) {
        draft.holds.push(hold);
    }
}

pub(super) fn scale_down(
    observation: &Observation,
    revision: &Revision,
    by: u32,
    draft: &mut Draft,
) {
    if draft.scales(revision) || !catches_up(observation, revision, draft) {
        return;
    }
    let to = revision.replicas.saturating_sub(by);
    draft.actions.push(Action::ScaleReplicaSet {
        replica_set: revision.into(),
        from: revision.replicas,
        to,
        sized_for: share::forfeited(observation, revision),
    });
}
