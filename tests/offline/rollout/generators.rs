//! Random observations: sane ones, and nonsense that a cluster can still show (users scaled down, nodes
//! died, counts are stale, records lost their pods, pods carry marks that nobody remembers).

use std::time::Duration;

use graceful::api::receipt::{MeasuredBy, Outcome, Receipt};
use graceful::api::v1alpha1::{DrainCause, DrainEnd, DrainRecord, DrainWay};
use graceful::api::{COST_DRAINING, COST_NEXT};
use graceful::rollout::{
    self, AwaitedCondition, ConditionStatus, Endpoint, Observation, Overdue, Phase, Pod,
    ReplacementPolicy, Request, Revision, Service, Size, Target, Withdrawal,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::fixtures::{
    PodSentence, SETTINGS, at, drain, micro, observation, pod, revision, service, target,
};

/// Ages in seconds, on either side of every length that matters.
const AGES: &[i64] = &[0, 1, 4, 5, 6, 9, 10, 11, 29, 31, 59, 61, 299, 303, 320, 700];

/// The names of the ReplicaSets that a case draws from; `new` is wanted.
const NAMES: &[&str] = &["old-1", "old-2", "new"];

/// Any observation.
pub(super) fn observations() -> impl Strategy<Value = Observation> {
    (
        targets(),
        vec(revisions(), NAMES.len()),
        vec(pods(), 0..9),
        vec(services(), 0..3),
        (vec(drains("gone"), 0..2), any::<u64>(), 0..20_u8, 0..40_u8),
    )
        .prop_map(|(target, revisions, pods, services, rest)| {
            assemble(target, revisions, pods, services, rest)
        })
}

type Rest = (Vec<DrainRecord>, u64, u8, u8);

fn assemble(
    target: Target,
    revisions: Vec<Option<(Revision, bool)>>,
    pods: Vec<(Pod, Option<DrainRecord>, bool)>,
    services: Vec<(Service, Vec<u8>)>,
    (gone, entropy, taken, deleting): Rest,
) -> Observation {
    let mut seen = observation(target, at(0));
    seen.entropy = entropy;
    seen.deleting = deleting == 0;
    seen.previous.drains = gone;
    let mut sane = Vec::new();
    for (name, revision) in NAMES.iter().zip(revisions) {
        if let Some((mut revision, counts_right)) = revision {
            revision.name = (*name).into();
            revision.uid = (*name).into();
            seen.revisions.push(revision);
            sane.push(counts_right);
        }
    }
    seen.wanted.name_taken = taken == 0 && seen.updated().is_none();
    for (index, (mut pod, record, is_asked)) in pods.into_iter().enumerate() {
        let Some(owner) = seen.revisions.get(index % seen.revisions.len().max(1)) else {
            break;
        };
        pod.owner.clone_from(&owner.uid);
        pod.name = format!("pod-{index}");
        pod.uid.clone_from(&pod.name);
        if let Some(mut record) = record {
            record.pod.clone_from(&pod.name);
            record.uid.clone_from(&pod.uid);
            if is_asked && let Some(request) = &mut pod.request {
                request.epoch.clone_from(&record.epoch);
            }
            for receipt in &mut pod.agent.receipts {
                receipt.uid.clone_from(&pod.uid);
            }
            seen.previous.drains.push(record);
        }
        seen.pods.push(pod);
    }
    for (index, counts_right) in sane.into_iter().enumerate() {
        if counts_right {
            count_right(&mut seen, index);
        }
    }
    for (mut service, flags) in services {
        service.name = format!("service-{}", seen.services.len());
        name_endpoints(&seen, &mut service, &flags);
        seen.services.push(service);
    }
    seen
}

/// The ReplicaSet's controller counts what is there.
fn count_right(seen: &mut Observation, index: usize) {
    let revision = &seen.revisions[index];
    let active: Vec<_> = seen.active_of(revision).collect();
    let ready = active.iter().filter(|pod| pod.is_ready()).count();
    let labelled = active.iter().filter(|pod| pod.is_labelled).count();
    let active = active.len();
    let revision = &mut seen.revisions[index];
    revision.settled = true;
    revision.counted = u32::try_from(active).expect("few pods");
    revision.counted_ready = u32::try_from(ready).expect("few pods");
    let labelled = u32::try_from(labelled).expect("few pods");
    revision.counted_labelled = revision.counted_labelled.map(|_| labelled);
}

/// Mostly, slices name whom they should. A flag below 2 makes one lag, above 13 leaves a pod out.
fn name_endpoints(seen: &Observation, service: &mut Service, flags: &[u8]) {
    for (pod, flag) in seen.pods.iter().zip(flags) {
        if *flag > 13 {
            continue;
        }
        service.selects.insert(pod.uid.clone());
        let should = pod.is_ready() && !pod.terminating || service.publishes_not_ready;
        if should != (*flag < 2) {
            service.ready.push(Endpoint {
                id: pod.uid.clone(),
                node: pod.node.clone(),
            });
        }
    }
}

fn targets() -> impl Strategy<Value = Target> {
    (
        (0..6_u32, 0..3_u32, 0..3_u32, 1..5_u32),
        (0..5_u8, 0..4_u8, 0..6_u8),
        select(vec![
            Withdrawal::Auto,
            Withdrawal::Auto,
            Withdrawal::Readiness,
            Withdrawal::Termination,
        ]),
        (
            select(vec![0, 0, 5, 30]),
            select(vec![10, 600]),
            select(vec![0, 5]),
        ),
        (0..3_usize, on_timeouts(), option::weighted(0.3, awaited())),
    )
        .prop_map(|(counts, kinds, withdrawal, lengths, rest)| {
            let (history_limit, on_timeout, condition) = rest;
            let (replicas, max_surge, max_unavailable, max_draining) = counts;
            let (recreate, complete, paused) = kinds;
            let (min_ready, progress, drain_min) = lengths;
            let mut target = target();
            target.replicas = replicas;
            target.max_surge = max_surge;
            target.max_unavailable = if max_surge + max_unavailable == 0 {
                1
            } else {
                max_unavailable
            };
            target.max_draining = max_draining;
            if recreate == 0 {
                target.strategy = rollout::Strategy::Recreate;
            }
            if complete == 0 {
                target.replacement = ReplacementPolicy::TerminationComplete;
            }
            target.paused = paused == 0;
            target.withdrawal = withdrawal;
            target.min_ready = Duration::from_secs(min_ready);
            target.progress_deadline = Duration::from_secs(progress);
            target.drain_min = Duration::from_secs(drain_min);
            target.history_limit = history_limit;
            target.on_timeout = on_timeout;
            target.conditions = condition.into_iter().collect();
            target
        })
}

fn on_timeouts() -> impl Strategy<Value = Overdue> {
    select(vec![
        Overdue::Leaves,
        Overdue::Leaves,
        Overdue::IsHeld,
        Overdue::Pauses,
    ])
}

fn awaited() -> impl Strategy<Value = AwaitedCondition> {
    (option::of(select(vec![0, 5, 300])), any::<bool>()).prop_map(|(timeout, ignores_errors)| {
        AwaitedCondition {
            kind: CONDITION.into(),
            timeout: timeout.map(Duration::from_secs),
            ignores_errors,
        }
    })
}

/// What a target may wait for, and a pod may have.
const CONDITION: &str = "example.com/deregistered";

fn revisions() -> impl Strategy<Value = Option<(Revision, bool)>> {
    let counts = (0..6_u32, 0..4_i64, 0..6_u32, 0..6_u32);
    let states = (0..12_u8, 0..8_u8, 0..8_u8, 0..10_u8);
    let drawn = (
        counts,
        states,
        option::of((0..6_u32, 0..3_u32)),
        prop::bool::weighted(0.85),
    );
    option::weighted(0.75, drawn).prop_map(|drawn| {
        let ((replicas, number, counted, counted_ready), states, size, counts_right) = drawn?;
        let (unsettled, stale, failing, unrecorded) = states;
        let mut revision = revision("", number, replicas);
        revision.sized_for = size.map(|(replicas, max_surge)| Size {
            replicas,
            max_surge,
        });
        revision.settled = unsettled != 0;
        revision.counted = counted;
        revision.counted_ready = counted_ready;
        revision.counted_labelled = (number % 4 != 0).then_some(counted_ready);
        match stale {
            0 => revision.config = "settings-0".into(),
            1 => revision.injected = "injected-0".into(),
            _ => {}
        }
        revision.failure = (failing == 0).then(|| "exceeded quota".into());
        revision.is_recorded = unrecorded != 0;
        Some((revision, counts_right))
    })
}

fn pods() -> impl Strategy<Value = (Pod, Option<DrainRecord>, bool)> {
    let life = (0..10_u8, select(AGES), 0..10_u8, 0..15_u8, 0..3_u8);
    let cost = select(vec![0, 0, 0, -50, 50, COST_DRAINING, COST_NEXT]);
    let marks = (
        option::weighted(0.4, 0..5_u8),
        0..12_u8,
        0..12_u8,
        prop::bool::weighted(0.9),
        (0..8_u8, 0..6_u8),
    );
    let agent = (0..10_u8, 0..3_u32, 0..6_u8, select(AGES), 0..6_u8);
    let record = option::weighted(0.45, drains("pod"));
    (life, cost, marks, agent, record).prop_map(|(life, cost, marks, agent, record)| {
        let (request, marked, stale, is_asked, (condition, released)) = marks;
        let mut pod = living(life);
        pod.is_released = released == 0;
        pod.cancelled = [None, Some(at(-2)), Some(at(-60))]
            .get(usize::from(released))
            .copied()
            .flatten();
        let status = match condition {
            0 => Some(ConditionStatus::Unknown),
            1 => Some(ConditionStatus::False),
            2..5 => Some(ConditionStatus::True),
            _ => None,
        };
        pod.conditions = status
            .map(|it| (CONDITION.into(), it))
            .into_iter()
            .collect();
        pod.deletion_cost = cost;
        pod.is_labelled = cost != COST_NEXT;
        pod.request = request.map(|kind| Request {
            epoch: format!("stranger-{kind}"),
            settings: if kind == 0 { "settings-0" } else { SETTINGS }.into(),
            asked: None,
        });
        pod.is_marked = marked == 0 || pod.request.is_some();
        if stale == 0 {
            pod.config = "settings-0".into();
        }
        equip(&mut pod, agent, record.as_ref());
        (pod, record, is_asked)
    })
}

fn living((kind, age, terminating, lost, node): (u8, i64, u8, u8, u8)) -> Pod {
    let mut pod = match kind {
        0 => pod("p"),
        1 => pod("p").on("node-0"),
        2 | 3 => pod("p").running(),
        _ => pod("p").ready(-age),
    };
    if pod.node.is_some() {
        pod.node = Some(format!("node-{node}"));
    }
    if kind == 3 {
        pod.phase = Phase::Unknown;
    }
    pod.terminating = terminating == 0;
    pod.node_lost = lost == 0;
    pod
}

fn equip(
    pod: &mut Pod,
    (kind, restarts, receipt, exited, ready): (u8, u32, u8, i64, u8),
    record: Option<&DrainRecord>,
) {
    let agent = &mut pod.agent;
    agent.present = kind != 0;
    agent.running = kind > 1 && agent.running;
    agent.ready = agent.running && ready != 0;
    agent.restarts = restarts;
    agent.exited = (restarts > 0).then(|| at(-exited));
    let outcome = match receipt {
        0 => Outcome::Drained,
        1 => Outcome::TimedOut,
        2 => Outcome::Unresponsive,
        _ => return,
    };
    let epoch = record.map_or("stranger-1", |record| &record.epoch);
    agent.receipts.push(Receipt {
        epoch: epoch.into(),
        uid: String::new(),
        outcome,
        milliseconds: 5000,
        connections_at_start: 3,
        connections_at_end: 2,
        busy: 1,
        last: None,
        why: None,
        measured_by: MeasuredBy::SockDiag,
        late_arrivals: 0,
    });
}

fn drains(name: &'static str) -> impl Strategy<Value = DrainRecord> {
    let outcomes = select(vec![
        DrainEnd::Drained,
        DrainEnd::TimedOut,
        DrainEnd::Unresponsive,
        DrainEnd::NodeLost,
        DrainEnd::Silent,
    ]);
    (
        select(vec![
            DrainWay::Readiness,
            DrainWay::Readiness,
            DrainWay::Termination,
        ]),
        (
            select(AGES),
            option::of(select(AGES)),
            option::of(-20..300_i64),
        ),
        option::of(outcomes),
        (
            option::weighted(0.4, select(AGES)),
            option::weighted(0.2, select(AGES)),
        ),
        any::<bool>(),
    )
        .prop_map(
            move |(way, (since, withdrawn, deadline), outcome, (retired, overdue), is_scale)| {
                let mut record = drain(name, way, -since);
                record.withdrawn = withdrawn.map(|age| micro(-age));
                record.deadline = deadline.map(micro);
                record.outcome = outcome;
                record.overdue = overdue.map(|age| micro(-age));
                record.retired = retired.map(|age| micro(-age));
                if is_scale {
                    record.cause = DrainCause::ScaleDown;
                }
                record
            },
        )
}

fn services() -> impl Strategy<Value = (Service, Vec<u8>)> {
    ((0..8_u8, 0..4_u8, 0..8_u8), vec(0..16_u8, 9)).prop_map(|((udp, local, publishes), flags)| {
        let mut service = service("s");
        service.udp = udp == 0;
        service.local = local == 0;
        service.publishes_not_ready = publishes == 0;
        (service, flags)
    })
}
