//! The drains under way: each remembered drain moves on by what its pod shows, and each mark on a pod
//! that no memory explains is taken off.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::budget::Budget;
use super::observation::{Observation, Pod, after};
use super::outcome::note_outcome;
use super::plan::{Action, Draft, Hold};
use super::retire;
use super::target::Target;
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainCause, DrainEnd, DrainRecord, DrainWay};

/// An agent that has not heard of a request by then is worth a word. Usually it hears within 0.1 s;
/// a kubelet that restarts another container of the pod tells it only afterwards.
pub(super) const HEARING: Duration = Duration::from_secs(10);

/// An agent that has not heard by then is asked again. Twice what it usually takes with a busy
/// kubelet; sooner would cost writes, later the pod's time.
const ECHO: Duration = Duration::from_secs(2);

/// Takes every mark of ours off pods whose drain is not remembered: a cancelled drain, a crash before
/// the memory was written, a restored backup, or somebody else's annotation.
pub(super) fn forget_strangers(observation: &Observation, draft: &mut Draft) {
    for pod in observation.active() {
        if observation.drain_of(pod).is_none() && (pod.request.is_some() || pod.is_marked) {
            draft.actions.push(Action::CancelDrain { pod: pod.into() });
        }
    }
}

/// Moves every remembered drain on.
pub(super) fn follow(observation: &Observation, target: &Target, draft: &mut Draft) {
    for drain in &observation.previous.drains {
        let mut drain = drain.clone();
        match observation.pods.iter().find(|pod| pod.uid == drain.uid) {
            None => {
                conclude_gone(&mut drain, draft);
                continue;
            }
            Some(pod) if pod.terminating => conclude_gone_by(pod, &mut drain, draft),
            Some(pod) if drain.way == DrainWay::Readiness => {
                follow_readiness(observation, target, pod, &mut drain, draft);
            }
            Some(_) => {}
        }
        draft.drains.push(drain);
    }
}

/// Brings pods of the wanted revision that drain back into service where more of them are wanted:
/// they are warm, and faster back than a new pod is there. Those whose agent restarted least come
/// first, because after a second exit within ten minutes the kubelet's back-off keeps the agent down.
pub(super) fn cancel(
    observation: &Observation,
    target: &Target,
    budget: &mut Budget,
    draft: &mut Draft,
) {
    let Some(lead) = observation.lead(target) else {
        return;
    };
    // Paused, other revisions' pods make up the wanted number too.
    let wanted = if target.paused {
        budget.total
    } else {
        budget.updated
    };
    let missing = target.replicas.saturating_sub(wanted);
    let mut warm: Vec<_> = observation
        .active_of(lead)
        .filter(|pod| {
            observation
                .drain_of(pod)
                .is_some_and(|drain| drain.retired.is_none())
        })
        .collect();
    warm.sort_by_key(|pod| pod.agent.restarts);
    let is_updated = observation.updated().is_some_and(|own| own.uid == lead.uid);
    let mut taken = 0;
    for pod in warm {
        // One that left because there were too many comes back only where there is room for it; one
        // whose revision is wanted again is there, and others leave for it.
        let is_surplus = observation
            .drain_of(pod)
            .is_some_and(|drain| drain.cause == DrainCause::ScaleDown);
        if taken == missing || is_surplus && budget.total >= budget.maximum {
            continue;
        }
        draft.forget(pod);
        budget.make(1, is_updated);
        taken += 1;
        draft.tell(
            false,
            Reason::DrainCancelled,
            format!(
                "drain of {} is cancelled: the pod is wanted again",
                pod.name
            ),
        );
    }
}

fn follow_readiness(
    observation: &Observation,
    target: &Target,
    pod: &Pod,
    drain: &mut DrainRecord,
    draft: &mut Draft,
) {
    let is_asked = pod
        .request
        .as_ref()
        .is_some_and(|request| request.epoch == drain.epoch);
    let is_current = pod
        .request
        .as_ref()
        .is_some_and(|request| request.settings == target.drain_settings);
    // Somebody took the request off a drained pod, or off one that was kept: it serves again, and its
    // drain starts over. One that is kept drains anew without having served, once its agent is back.
    let is_kept = drain.overdue.is_some() && drain.outcome.is_none();
    let is_over = drain.outcome.is_some_and(is_reported) || is_kept && pod.is_ready();
    if !is_asked && is_over {
        drain.epoch = retire::epoch(observation, pod);
        drain.since = MicroTime(observation.now);
        (drain.withdrawn, drain.deadline) = (None, None);
        (drain.overdue, drain.outcome, drain.retired) = (None, None, None);
        return;
    }
    // What was true when the drain was decided may be no more: the pod may have become the last that
    // serves.
    let can_hear = drain.overdue.is_none() || pod.agent.running;
    if !is_asked && drain.outcome.is_none() && can_hear {
        drain.way = retire::way(observation, target, pod, draft);
        if drain.way == DrainWay::Termination {
            return;
        }
        // Decided, and then not asked for: no operator, or no API server. The pod's time to hear of it
        // begins with the request.
        if drain.deadline.is_none() && after(drain.since.0, HEARING) <= observation.now {
            drain.since = MicroTime(observation.now);
        }
    }
    let epoch = drain.epoch.clone();
    if is_asked {
        note_withdrawal(observation, target, pod, drain, draft);
    }
    if is_asked
        && !is_current
        && drain.outcome.is_none()
        && let Some(MicroTime(withdrawn)) = drain.withdrawn
    {
        drain.deadline = Some(MicroTime(after(withdrawn, target.drain_timeout)));
    }
    if drain.outcome.is_none() {
        note_outcome(observation, target, pod, drain, draft);
    }
    let is_lost = is_asked && is_lost(observation, pod, drain, draft);
    // An epoch that begins in this round is asked for in the next, which finds it in the status.
    let is_remembered = drain.outcome.is_none() && drain.epoch == epoch && can_hear;
    if is_remembered && (!(is_asked && is_current) || is_lost) {
        let pod = pod.into();
        draft.actions.push(Action::RequestDrain { pod, epoch });
    }
}

fn note_withdrawal(
    observation: &Observation,
    target: &Target,
    pod: &Pod,
    drain: &mut DrainRecord,
    draft: &mut Draft,
) {
    let has_heard = !pod.agent.ready || pod.receipt(&drain.epoch).is_some();
    if has_heard && !pod.is_ready() && observation.is_withdrawn(pod) {
        let now = MicroTime(observation.now);
        let withdrawn = drain.withdrawn.get_or_insert(now).0;
        // One that has ended, unheard of, had its deadline.
        if drain.outcome.is_none() {
            let deadline = MicroTime(after(withdrawn, target.drain_timeout));
            drain.deadline.get_or_insert(deadline);
        }
    } else if drain.withdrawn.is_some() && (pod.is_ready() || !observation.is_withdrawn(pod)) {
        // Back in an EndpointSlice: routes start to learn again, the deadline does not.
        drain.withdrawn = None;
    } else if !has_heard && drain.outcome.is_none() {
        let since = drain.since.0;
        if after(since, HEARING) <= observation.now {
            draft.holds.push(Hold::NotHeard {
                pod: pod.name.clone(),
                since,
            });
        } else {
            draft.wake_at(after(since, HEARING));
        }
    }
}

/// The agent has not heard of the request for so long that it is asked again. The kubelet rewrites
/// the file with any change of an annotation, but one that comes while it writes for an earlier
/// change is lost until its next full sync (MarkRemountRequired in its volume manager's cache).
fn is_lost(observation: &Observation, pod: &Pod, drain: &DrainRecord, draft: &mut Draft) -> bool {
    let has_heard = !pod.agent.ready || pod.receipt(&drain.epoch).is_some();
    let Some(asked) = pod.request.as_ref().and_then(|request| request.asked) else {
        return false;
    };
    if has_heard || drain.outcome.is_some() {
        return false;
    }
    // Doubled each time: a kubelet that is busy with the pod hears no sooner for being asked more.
    let waited = Duration::try_from(asked.duration_since(drain.since.0)).unwrap_or_default();
    let again = after(asked, waited.max(ECHO));
    let is_lost = again <= observation.now;
    if !is_lost {
        draft.wake_at(again);
    }
    is_lost
}

/// The agent itself said how the drain ended.
fn is_reported(end: DrainEnd) -> bool {
    matches!(
        end,
        DrainEnd::Drained | DrainEnd::TimedOut | DrainEnd::Unresponsive
    )
}

/// The pod is gone. It was retired, or somebody else deleted it faster than we looked.
fn conclude_gone(drain: &mut DrainRecord, draft: &mut Draft) {
    if drain.retired.is_none() && drain.outcome.is_none() {
        vanish(drain, false, draft);
    }
}

/// The pod is being deleted. Where we did not retire it, somebody else did, and its preStop hook
/// drains; its ReplicaSet makes another one that has to go again.
fn conclude_gone_by(pod: &Pod, drain: &mut DrainRecord, draft: &mut Draft) {
    if drain.retired.is_none() {
        if drain.outcome.is_none() {
            vanish(drain, pod.node_lost, draft);
        }
        drain.retired = Some(MicroTime(draft.now));
    }
}

fn vanish(drain: &mut DrainRecord, node_lost: bool, draft: &mut Draft) {
    let (end, reason, what) = if node_lost {
        (
            DrainEnd::NodeLost,
            Reason::DrainNodeLost,
            "its node was lost",
        )
    } else {
        (
            DrainEnd::Vanished,
            Reason::DrainedPodDeleted,
            "it was deleted by somebody else",
        )
    };
    drain.outcome = Some(end);
    draft.tally.forced += 1;
    draft.tell(
        true,
        reason,
        format!("drain of {} ended early: {what}", drain.pod),
    );
}
