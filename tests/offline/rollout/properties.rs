//! What holds for every observation, sane or not. The observation itself may be outside the bounds: no
//! plan may make it worse.

use std::collections::BTreeSet;

use graceful::api::v1alpha1::{DrainCause, DrainRecord};
use graceful::rollout::{self, Action, Hold, Pod, ReplacementPolicy, Target, Withdrawal, plan};
use proptest::prelude::*;

use crate::cases::cases;

use super::generators::observations;
use super::judge::Judge;

/// All together in well under a minute, unoptimised.
const CASES: u32 = 12_000;

fn demand(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn minimum(target: &Target) -> usize {
    target.replicas.saturating_sub(target.max_unavailable) as usize
}

fn maximum(target: &Target) -> usize {
    (target.replicas + target.max_surge) as usize
}

fn recreates(target: &Target) -> bool {
    target.strategy == rollout::Strategy::Recreate && !target.paused
}

fn written(action: &Action) -> (&'static str, &str) {
    match action {
        Action::CreateReplicaSet { name, .. } => ("ReplicaSet", name),
        Action::RecordRevision { replica_set, .. } => ("ControllerRevision", &replica_set.name),
        Action::RefreshReplicaSet { replica_set, .. }
        | Action::ConfigureReplicaSet { replica_set }
        | Action::AdoptReplicaSet { replica_set }
        | Action::ReleaseReplicaSet { replica_set }
        | Action::ScaleReplicaSet { replica_set, .. }
        | Action::DeleteReplicaSet { replica_set } => ("ReplicaSet", &replica_set.name),
        Action::RequestDrain { pod, .. }
        | Action::CancelDrain { pod }
        | Action::SetDeletionCost { pod }
        | Action::ConfigurePod { pod }
        | Action::DeletePod { pod } => ("Pod", &pod.name),
    }
}

/// What every plan keeps to, each under the name that a failure prints.
const FACTS: &[(&str, Fact)] = &[
    ("no_plan_takes_available_below_the_minimum", keeps_available),
    ("no_plan_makes_pods_beyond_the_maximum", keeps_below_maximum),
    ("new_drains_stay_within_max_draining", keeps_max_draining),
    (
        "no_pod_is_deleted_before_its_drain_allows_it",
        deletes_only_drained,
    ),
    (
        "victims_of_a_scale_down_are_retired_pods",
        deletes_only_retired,
    ),
    ("no_object_is_written_twice", writes_once),
    (
        "last_ready_endpoint_is_not_asked_to_drain_by_readiness",
        keeps_others_ready,
    ),
    (
        "no_drain_is_asked_for_that_is_not_remembered",
        asks_only_remembered,
    ),
    (
        "empty_plan_short_of_the_target_says_why_and_wakes",
        is_honest,
    ),
    (
        "revision_that_never_turns_ready_costs_no_available_pod",
        spares_old,
    ),
    ("paused_rollout_replaces_no_pod", stands_still_when_paused),
    ("planning_twice_is_planning_once", is_repeatable),
];

type Fact = fn(&Judge<'_>) -> Result<(), String>;

proptest! {
    #![proptest_config(cases(CASES))]

    /// B16, B65, R28.
    #[test]
    fn every_plan_keeps_to_the_facts(seen in observations()) {
        // Beyond the very first status, which says no more than that it is the first.
        let mut seen = seen;
        seen.previous.conditions = plan(&seen).status.unwrap_or_default().conditions;
        let (Ok(target), false) = (&seen.target, seen.deleting) else {
            return Ok(());
        };
        let outcome = plan(&seen);
        let judge = Judge::new(&seen, &outcome, target, seen.entropy);
        for (name, fact) in FACTS {
            if let Err(broken) = fact(&judge) {
                return Err(TestCaseError::fail(format!("{name}: {broken}\n{}", judge.trace())));
            }
        }
    }

    /// B72.
    #[test]
    fn status_settles_while_the_cluster_stands_still(seen in observations()) {
        let mut seen = seen;
        (seen.wanted.name_taken, seen.deleting) = (false, false);
        let mut last = None;
        // Cancelled, begun, asked, ended, retired: no drain needs more rounds than it has steps, and at
        // most one pod begins in each.
        for _ in 0..20 {
            let outcome = plan(&seen);
            let next = outcome.status.expect("a status");
            if next == seen.previous {
                let is_complete = next.conditions.iter().any(|known| known.reason == "Complete");
                prop_assert!(!is_complete || outcome.actions.iter().all(keeps_house), "{:#?}", outcome.actions);
                prop_assert!(outcome.events.is_empty(), "said again: {:#?}", outcome.events);
                return Ok(());
            }
            last = Some(std::mem::replace(&mut seen.previous, next));
        }
        prop_assert_eq!(last, Some(seen.previous), "still changing");
    }
}

fn keeps_available(judge: &Judge<'_>) -> Result<(), String> {
    if recreates(judge.target) {
        return Ok(());
    }
    let (before, after) = (judge.available_before(), judge.available_after());
    let least = before.min(minimum(judge.target));
    demand(after >= least, || {
        format!("available {before} -> {after}, least {least}")
    })
}

fn keeps_below_maximum(judge: &Judge<'_>) -> Result<(), String> {
    let (total, maximum) = (judge.total_after(), maximum(judge.target));
    let leaving = match judge.target.replacement {
        ReplacementPolicy::DrainStarted => 0,
        ReplacementPolicy::TerminationComplete => judge.leaving_after(),
    };
    demand(!judge.makes_pods() || total + leaving <= maximum, || {
        format!("{total} starting and available, {leaving} leaving, at most {maximum}")
    })
}

fn keeps_max_draining(judge: &Judge<'_>) -> Result<(), String> {
    let begins = judge.newly_draining().any(Pod::is_ready);
    let draining = judge.noticed_drains_after();
    let most = judge.target.max_draining as usize;
    demand(
        recreates(judge.target) || !begins || draining <= most,
        || format!("{draining} draining, at most {most}"),
    )
}

fn deletes_only_drained(judge: &Judge<'_>) -> Result<(), String> {
    judge
        .deleted()
        .try_for_each(|pod| demand(judge.may_leave(pod), || format!("{} is deleted", pod.name)))
}

fn deletes_only_retired(judge: &Judge<'_>) -> Result<(), String> {
    judge.deleted().try_for_each(|pod| {
        let drain = judge.remembered_before(pod);
        let is_retired = drain.is_some_and(|drain| drain.retired.is_some());
        demand(is_retired, || format!("{} is a victim", pod.name))
    })
}

fn writes_once(judge: &Judge<'_>) -> Result<(), String> {
    let mut objects = BTreeSet::new();
    judge
        .plan
        .actions
        .iter()
        .map(written)
        .try_for_each(|object| {
            demand(objects.insert(object), || {
                format!("{object:?} is written twice")
            })
        })
}

fn asks_only_remembered(judge: &Judge<'_>) -> Result<(), String> {
    for action in &judge.plan.actions {
        let Action::RequestDrain { pod: asked, epoch } = action else {
            continue;
        };
        let is_it = |drain: &DrainRecord| drain.uid == asked.uid && drain.epoch == *epoch;
        let is_known = judge.seen.previous.drains.iter().any(is_it);
        // The status is written first, and may begin another epoch.
        let mut written = judge.plan.status.iter().flat_map(|status| &status.drains);
        demand(is_known && written.any(is_it), || {
            format!("{} is asked to drain by epoch {epoch}", asked.name)
        })?;
    }
    Ok(())
}

/// With no new pod ready and nothing allowed to be missing, no pod in service begins to leave.
fn spares_old(judge: &Judge<'_>) -> Result<(), String> {
    let is_new = |pod: &Pod| judge.seen.updated().is_some_and(|new| new.uid == pod.owner);
    let is_new_ready = judge.seen.active().any(|pod| is_new(pod) && pod.is_ready());
    let has_spare = judge.available_before() > judge.target.replicas as usize;
    if is_new_ready || has_spare || judge.target.max_unavailable > 0 || recreates(judge.target) {
        return Ok(());
    }
    judge.newly_draining().try_for_each(|pod| {
        demand(!judge.is_available_before(pod), || {
            format!("{} leaves", pod.name)
        })
    })
}

fn stands_still_when_paused(judge: &Judge<'_>) -> Result<(), String> {
    if !judge.target.paused {
        return Ok(());
    }
    let drains = judge.plan.status.iter().flat_map(|status| &status.drains);
    let known = &judge.seen.previous.drains;
    let replaces = drains
        .filter(|drain| drain.cause == DrainCause::Rollout)
        .any(|drain| !known.iter().any(|known| known.uid == drain.uid));
    let creates = |action: &Action| matches!(action, Action::CreateReplicaSet { .. });
    demand(!replaces && !judge.plan.actions.iter().any(creates), || {
        "replaces".into()
    })
}

fn is_repeatable(judge: &Judge<'_>) -> Result<(), String> {
    demand(plan(judge.seen) == *judge.plan, || "another plan".into())
}

/// The action moves no pod.
fn keeps_house(action: &Action) -> bool {
    !matches!(
        action,
        Action::RequestDrain { .. }
            | Action::ScaleReplicaSet { .. }
            | Action::CreateReplicaSet { .. }
            | Action::SetDeletionCost { .. }
            | Action::DeletePod { .. }
    )
}

/// Pods that hear of their drain for the first time.
fn first_requests<'a>(judge: &'a Judge<'_>) -> Vec<&'a Pod> {
    let asks = |pod: &&Pod| {
        judge.plan.actions.iter().any(|action| {
            matches!(action, Action::RequestDrain { pod: it, epoch }
                if it.uid == pod.uid && pod.request.as_ref().is_none_or(|known| known.epoch != *epoch))
        })
    };
    judge.seen.active().filter(asks).collect()
}

/// Under Auto the last ready endpoint leaves by termination: it still serves then.
fn keeps_others_ready(judge: &Judge<'_>) -> Result<(), String> {
    if judge.target.withdrawal != Withdrawal::Auto {
        return Ok(());
    }
    let asked = first_requests(judge);
    asked
        .iter()
        .try_for_each(|pod| leaves_others_ready(judge, pod))
}

fn leaves_others_ready(judge: &Judge<'_>, pod: &Pod) -> Result<(), String> {
    for service in &judge.seen.services {
        if !service.ready.iter().any(|endpoint| endpoint.id == pod.uid) {
            continue;
        }
        let stays = service.ready.iter().any(|endpoint| {
            let others = judge
                .seen
                .pods
                .iter()
                .filter(|other| other.uid == endpoint.id);
            let mut leaving = others.filter(|other| judge.is_out(other));
            leaving.next().is_none() && (!service.local || endpoint.node == pod.node)
        });
        demand(stays, || {
            format!("{} is the last ready one of {}", pod.name, service.name)
        })?;
    }
    Ok(())
}

/// A plan that does nothing either has nothing to do or says what it waits for.
fn is_honest(judge: &Judge<'_>) -> Result<(), String> {
    let (seen, plan) = (judge.seen, judge.plan);
    let Some(status) = &plan.status else {
        return Err("no status".into());
    };
    let remembers_more = status.drains != seen.previous.drains;
    if !plan.actions.is_empty() || remembers_more {
        return Ok(());
    }
    let is_complete = status
        .conditions
        .iter()
        .any(|known| known.type_ == "Ready" && known.reason == "Complete");
    demand(is_complete || !plan.holds.is_empty(), || "no hold".into())?;
    demand(plan.wake.is_none_or(|wake| wake > seen.now), || {
        "wakes in the past".into()
    })?;
    for hold in &plan.holds {
        let end = match hold {
            Hold::MinSeconds { until, .. } | Hold::VictimOrder { until, .. } => Some(*until),
            Hold::Draining { deadline, .. } => {
                demand(plan.wake.is_some(), || "a drain without end".into())?;
                deadline.map(|at| at + std::time::Duration::from_secs(2))
            }
            _ => None,
        };
        let wakes = end.is_none_or(|end| plan.wake.is_some_and(|wake| wake <= end));
        demand(wakes, || format!("nothing ends {hold:?}"))?;
    }
    Ok(())
}
