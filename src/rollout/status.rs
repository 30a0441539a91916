//! The status to write: what was seen, what is remembered, and what holds the rollout, in words.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};

use super::advice;
use super::budget::Budget;
use super::conditions::{Conditions, Truth, summary};
use super::drain::HEARING;
use super::end::{add, measure};
use super::give_up::catches_up;
use super::observation::{Observation, after};
use super::plan::{Draft, Hold, Plan};
use super::target::{Invalid, Target};
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainRecord, GracefulDeploymentStatus, RolloutRecord};

/// The plan for a spec that cannot be acted on: no pod leaves, those on their way out come back into
/// service unless they are given up already, and the reason is shown, once as an Event too.
pub(super) fn stalled(observation: &Observation, invalid: &Invalid, mut draft: Draft) -> Plan {
    let message = invalid.0.join("; ");
    let previous = &observation.previous;
    let is_known = |known: &Condition| known.type_ == "Stalled" && known.message == message;
    if !previous.conditions.iter().any(is_known) {
        draft.tell(true, Reason::InvalidSpec, message.clone());
    }
    let (retired, cancelled): (Vec<_>, Vec<_>) = previous
        .drains
        .iter()
        .cloned()
        .partition(|drain| drain.retired.is_some());
    for drain in cancelled {
        let message = format!("drain of {} is cancelled: the spec is invalid", drain.pod);
        draft.tell(false, Reason::DrainCancelled, message);
    }
    let mut conditions = Conditions::from(observation);
    conditions.set("Stalled", Truth::True, Reason::InvalidSpec, &message);
    conditions.set("Reconciling", Truth::False, Reason::InvalidSpec, &message);
    conditions.set("Ready", Truth::False, Reason::InvalidSpec, &message);
    let status = GracefulDeploymentStatus {
        observed_generation: observation.generation,
        conditions: conditions.into_list(),
        drains: retired,
        ..previous.clone()
    };
    let mut plan = draft.into_plan();
    plan.status = Some(status);
    plan
}

/// The plan while ReplicaSets change hands: everything stands as it stood, but for drains that ended.
pub(super) fn claiming(observation: &Observation, draft: Draft) -> Plan {
    let mut status = observation.previous.clone();
    let mut conditions = Conditions::from(observation);
    let message = summary(&status, &draft);
    conditions.set("Ready", Truth::False, Reason::RollingOut, &message);
    conditions.set("Reconciling", Truth::True, Reason::RollingOut, &message);
    conditions.set("Stalled", Truth::False, Reason::RollingOut, &message);
    status.conditions = conditions.into_list();
    status.drains.clone_from(&draft.drains);
    if let Some(rollout) = &mut status.last_rollout {
        add(&draft.tally, rollout);
    }
    measure(&draft.tally, &mut status.measured);
    let mut plan = draft.into_plan();
    plan.status = Some(status);
    plan
}

/// Closes the draft: counts, remembers, and says what holds.
pub(super) fn report(
    observation: &Observation,
    target: &Target,
    budget: &Budget,
    mut draft: Draft,
) -> Plan {
    hold_for_pods(observation, target, budget, &mut draft);
    let mut status = count(observation, target, &draft);
    if draft.holds.is_empty() && status.terminating_replicas > 0 {
        let count = u32::try_from(status.terminating_replicas).unwrap_or(0);
        draft.holds.push(Hold::AwaitingTermination { count });
    }
    let is_as_asked = is_as_asked(observation, target);
    if draft.holds.is_empty() && !is_as_asked {
        // A pod that its ReplicaSet is to delete already: what is missing is made when it is gone.
        for revision in &observation.revisions {
            catches_up(observation, revision, &mut draft);
        }
    }
    let is_complete = observation.updated().is_some()
        && status.updated_replicas == status.replicas
        && u32::try_from(status.available_replicas) == Ok(target.replicas)
        && status.replicas == status.available_replicas
        && status.terminating_replicas == 0
        && is_as_asked
        && draft.drains.is_empty();
    let mut rollout = follow_rollout(observation, target, &status, &mut draft);
    if is_complete && rollout.completed.is_none() {
        rollout.completed = Some(MicroTime(observation.now));
        let took = observation.now.duration_since(rollout.started.0).as_secs();
        rollout.duration_seconds = Some(i32::try_from(took).unwrap_or(i32::MAX));
        let message = format!(
            "{} is complete; pods drained: {}, forced: {}, connections cut: {}, killed: {}, pools left open: {}",
            rollout.revision,
            rollout.drained,
            rollout.forced,
            rollout.connections_cut,
            rollout.forced_kills,
            rollout.pools_left_open
        );
        draft.tell(false, Reason::RolloutCompleted, message);
    }
    if is_complete {
        status.current_revision = Some(observation.wanted.name.clone());
    }
    let is_overdue = is_overdue(target, &rollout, &mut draft);
    let mut conditions = Conditions::from(observation);
    conditions.tell(
        target,
        &status,
        &draft,
        (is_complete, is_overdue, rollout.completed.is_some()),
    );
    if let Some(failure) = observation
        .revisions
        .iter()
        .find_map(|revision| revision.failure.as_ref())
    {
        conditions.set("ReplicaFailure", Truth::True, Reason::FailedCreate, failure);
    } else {
        conditions.remove("ReplicaFailure");
    }
    status.last_rollout = Some(rollout);
    status.conditions = conditions.into_list();
    status.drains.clone_from(&draft.drains);
    status.measured = observation.previous.measured.clone();
    measure(&draft.tally, &mut status.measured);
    status.advice = advice::advise(
        target,
        &status.measured,
        &observation.wanted.remarks,
        &observation.previous.advice,
    );
    advice::tell(&status.advice, &observation.previous.advice, &mut draft);
    let mut plan = draft.into_plan();
    plan.status = Some(status);
    plan
}

/// No ReplicaSet has pods to make or to delete any more.
fn is_as_asked(observation: &Observation, target: &Target) -> bool {
    let asked: u32 = observation
        .revisions
        .iter()
        .map(|revision| revision.replicas)
        .sum();
    asked == target.replicas
}

fn count(observation: &Observation, target: &Target, draft: &Draft) -> GracefulDeploymentStatus {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let updated = observation.updated();
    let is_updated = |owner: &str| updated.is_some_and(|revision| revision.uid == owner);
    let available = observation
        .active()
        .filter(|pod| observation.is_available(pod, target.min_ready))
        .count();
    let wanted = i32::try_from(target.replicas).unwrap_or(i32::MAX);
    let ready = count(observation.active().filter(|pod| pod.is_ready()).count());
    let draining = observation
        .active()
        .filter(|pod| draft.remembers(pod))
        .count();
    GracefulDeploymentStatus {
        observed_generation: observation.generation,
        ready: Some(format!("{ready}/{wanted}")),
        replicas: count(observation.active().count()),
        updated_replicas: count(
            observation
                .active()
                .filter(|pod| is_updated(&pod.owner) && !draft.remembers(pod))
                .count(),
        ),
        ready_replicas: ready,
        available_replicas: count(available),
        unavailable_replicas: wanted.saturating_sub(count(available)).max(0),
        draining_replicas: count(draining),
        terminating_replicas: count(
            observation
                .pods
                .iter()
                .filter(|pod| pod.terminating)
                .count(),
        ),
        outdated_replicas: count(
            observation
                .active()
                .filter(|pod| is_updated(&pod.owner) && pod.injected != observation.wanted.injected)
                .count(),
        ),
        // With those that leave: the place of one that is replaced may be taken only when it is gone, and an
        // autoscaler that reads 11 of 12 pods within its tolerance scales to 11.
        scaled_replicas: count(observation.pods.len()).min(wanted),
        selector: Some(target.scale_selector.clone()),
        current_revision: observation.previous.current_revision.clone(),
        update_revision: Some(observation.wanted.name.clone()),
        collision_count: collisions(observation),
        ..GracefulDeploymentStatus::default()
    }
}

/// A taken name is passed over: with the count, the next hash of the same template is another one.
fn collisions(observation: &Observation) -> Option<i32> {
    let previous = observation.previous.collision_count;
    if observation.wanted.name_taken {
        Some(previous.unwrap_or(0).saturating_add(1))
    } else {
        previous
    }
}

/// The record of the rollout, moved on.
fn follow_rollout(
    observation: &Observation,
    target: &Target,
    status: &GracefulDeploymentStatus,
    draft: &mut Draft,
) -> RolloutRecord {
    let now = MicroTime(observation.now);
    let previous = &observation.previous;
    let mut rollout = match &previous.last_rollout {
        Some(rollout) if rollout.revision == observation.wanted.name || target.paused => {
            rollout.clone()
        }
        _ => {
            let message = format!("rollout of {} begins", observation.wanted.name);
            draft.tell(false, Reason::RolloutStarted, message);
            if let Some(why) = &target.unconfirmed {
                draft.tell(true, Reason::DrainUnconfirmed, why.clone());
            }
            RolloutRecord {
                revision: observation.wanted.name.clone(),
                started: now.clone(),
                progressed: now.clone(),
                completed: None,
                drained: 0,
                forced: 0,
                connections_cut: 0,
                duration_seconds: None,
                longest_drain_seconds: 0,
                ended: 0,
                unseen: 0,
                exit_codes: std::collections::BTreeMap::new(),
                forced_kills: 0,
                pools_left_open: 0,
                longest_shutdown_seconds: 0,
            }
        }
    };
    // As DeploymentProgressing does (deployment/util): more updated, fewer old, more ready or available.
    let old = status.replicas - status.updated_replicas;
    let is_nearer = status.updated_replicas > previous.updated_replicas
        || old < previous.replicas - previous.updated_replicas
        || status.ready_replicas > previous.ready_replicas
        || status.available_replicas > previous.available_replicas;
    let is_resumed = !target.paused
        && previous
            .conditions
            .iter()
            .any(|known| known.type_ == "Progressing" && known.reason == Reason::Paused.as_str());
    let was_kept = previous.drains.iter().any(DrainRecord::is_kept);
    let is_let_go = was_kept && !draft.drains.iter().any(DrainRecord::is_kept);
    if rollout.completed.is_none() && (is_nearer || is_resumed || is_let_go) {
        rollout.progressed = now;
    }
    add(&draft.tally, &mut rollout);
    rollout
}

/// The rollout made no progress for too long. The clock stands still while paused, while a drain is
/// within its own deadline, and while a pod is kept beyond it.
fn is_overdue(target: &Target, rollout: &RolloutRecord, draft: &mut Draft) -> bool {
    // A drain that was never heard of, or that ends with its pod, has no deadline of its own and gets
    // as long as one that has: a pod that hangs in its deletion, on a node that is gone, must not hide
    // for ever that nothing goes on.
    let longest = HEARING.saturating_add(target.drain_timeout);
    let ends = |drain: &DrainRecord| match &drain.deadline {
        Some(deadline) => deadline.0,
        None => after(drain.since.0, longest),
    };
    let last = draft.drains.iter().map(ends).max();
    let is_draining = last.is_some_and(|last| last > draft.now);
    if let Some(last) = last.filter(|_| is_draining) {
        draft.wake_at(last);
    }
    let is_kept = draft.drains.iter().any(DrainRecord::is_kept);
    if rollout.completed.is_some() || target.paused || is_draining || is_kept {
        return false;
    }
    let deadline = after(rollout.progressed.0, target.progress_deadline);
    let is_overdue = deadline <= draft.now;
    if !is_overdue {
        draft.wake_at(deadline);
    }
    is_overdue
}

/// Says what the first pod that is not in service waits for, and wakes when it has been ready for
/// long enough.
fn hold_for_pods(observation: &Observation, target: &Target, budget: &Budget, draft: &mut Draft) {
    let mut count = 0;
    let mut example = None;
    let mut ripe: Option<Timestamp> = None;
    for pod in observation.active() {
        if draft.remembers(pod) || observation.is_available(pod, target.min_ready) {
            continue;
        }
        count += 1;
        let name = &pod.name;
        let reason = match observation.ripens(pod, target.min_ready) {
            None if pod.trouble.is_empty() => format!("{name} is not ready"),
            None => format!("{name} is not ready: {}", pod.trouble),
            Some(at) if at > observation.now => {
                ripe = Some(ripe.map_or(at, |other| other.min(at)));
                format!("{name} is ready for less than minReadySeconds")
            }
            Some(_) => match observation.missing_from(pod) {
                Some(service) => {
                    format!(
                        "{name} is ready, but no EndpointSlice of Service {} says so",
                        service.name
                    )
                }
                None => continue,
            },
        };
        example.get_or_insert(reason);
    }
    if let Some(ripe) = ripe {
        draft.wake_at(ripe);
    }
    if let Some(example) = example {
        draft.holds.push(Hold::AwaitingPods { count, example });
    } else if budget.available < target.replicas
        && draft.actions.is_empty()
        && draft.holds.is_empty()
    {
        let example = "pods that a ReplicaSet has still to make".into();
        draft.holds.push(Hold::AwaitingPods { count: 0, example });
    }
}
