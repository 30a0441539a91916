//! The spans that a written status completes: of the rollouts and of the drains that were on record before
//! and are over now. A pure function over the two statuses and what was seen of the pods, so that a restart
//! or another leader in the midst of a rollout changes nothing.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::span::{Span, SpanId, TraceId, Value, of_drain, of_rollout, within};
use super::steps::{Facts, Fate, steps};
use crate::api::v1alpha1::{
    DrainCause, DrainRecord, DrainWay, GracefulDeploymentStatus, RolloutRecord,
};
use crate::rollout::{Counted, Observation};

/// A span is known by these, whoever makes it.
struct Place {
    trace: TraceId,
    parent: Option<SpanId>,
}

/// What ended between the status that was observed and the one that is written now.
pub(super) fn spans(
    object: &ObjectMeta,
    observation: &Observation,
    (next, counted): (&GracefulDeploymentStatus, &[Counted]),
) -> Vec<Span> {
    let before = &observation.previous;
    let goes_on = |drain: &DrainRecord| {
        let mut drains = next.drains.iter();
        drains.any(|known| known.uid == drain.uid && known.epoch == drain.epoch)
    };
    let mut spans = Vec::new();
    for drain in before.drains.iter().filter(|drain| !goes_on(drain)) {
        let mut facts = Facts::of(drain, observation);
        let is_anew = next.drains.iter().any(|known| known.uid == drain.uid);
        if is_anew && !matches!(facts.fate, Fate::Gone(_)) {
            facts.fate = Fate::BegunAnew;
        }
        let counted = counted.iter().find(|counted| counted.uid == drain.uid);
        let place = place(object, drain, (before, next));
        spans.extend(drain_tree(object, &facts, counted, place));
    }
    spans.extend(rollout(object, before, next));
    spans
}

/// The rollout that a drain belongs to is the one under way when it began. A drain that outlives its rollout
/// by more than one holds up the newest, and is shown there.
fn place(
    object: &ObjectMeta,
    drain: &DrainRecord,
    (before, next): (&GracefulDeploymentStatus, &GracefulDeploymentStatus),
) -> Place {
    let uid = object.uid.as_deref().unwrap_or_default();
    let known = [&next.last_rollout, &before.last_rollout];
    let mut rollouts = known.into_iter().flatten();
    let own = rollouts.clone();
    let own = own.filter(|rollout| rollout.started.0 <= drain.since.0);
    match own.chain(rollouts.next()).next() {
        Some(rollout) if drain.cause == DrainCause::Rollout => {
            let trace = of_rollout(uid, rollout);
            let parent = Some(within(&trace, &["rollout"]));
            Place { trace, parent }
        }
        _ => Place {
            trace: of_drain(uid, drain),
            parent: None,
        },
    }
}

/// The rollout that ended: complete, or another one took its place.
fn rollout(
    object: &ObjectMeta,
    before: &GracefulDeploymentStatus,
    next: &GracefulDeploymentStatus,
) -> Vec<Span> {
    let key = |rollout: &RolloutRecord| {
        let started = rollout.started.0.as_microsecond();
        (rollout.revision.clone(), started)
    };
    let (Some(now), was) = (&next.last_rollout, &before.last_rollout) else {
        return Vec::new();
    };
    let was = was.as_ref().filter(|was| was.completed.is_none());
    let is_same = before.last_rollout.as_ref().map(key) == Some(key(now));
    let is_news = !is_same || was.is_some();
    let replaced = was.filter(|_| !is_same);
    let from = before.current_revision.as_ref();
    let replaced = replaced.map(|was| root(object, was, from, (now.started.0, "Superseded")));
    let completed = now.completed.as_ref().filter(|_| is_news);
    let completed = completed.map(|at| root(object, now, from, (at.0, "Completed")));
    replaced.into_iter().chain(completed).collect()
}

fn root(
    object: &ObjectMeta,
    rollout: &RolloutRecord,
    from: Option<&String>,
    (end, outcome): (Timestamp, &'static str),
) -> Span {
    let trace = of_rollout(object.uid.as_deref().unwrap_or_default(), rollout);
    let mut attributes = of_object(object);
    attributes.extend([
        ("graceful.revision", Value::from(&rollout.revision)),
        ("graceful.outcome", outcome.into()),
        ("graceful.pods.drained", rollout.drained.into()),
        ("graceful.pods.forced", rollout.forced.into()),
        ("graceful.pods.unseen", rollout.unseen.into()),
        ("graceful.connections_cut", rollout.connections_cut.into()),
        ("graceful.forced_kills", rollout.forced_kills.into()),
        ("graceful.pools_left_open", rollout.pools_left_open.into()),
    ]);
    let from = from.filter(|from| **from != rollout.revision);
    attributes.extend(from.map(|from| ("graceful.revision.previous", from.into())));
    let (cut, killed) = (rollout.connections_cut, rollout.forced_kills);
    Span {
        id: within(&trace, &["rollout"]),
        trace,
        parent: None,
        name: "rollout",
        start: rollout.started.0,
        end: end.max(rollout.started.0),
        attributes,
        failure: (cut > 0 || killed > 0)
            .then(|| format!("connections cut: {cut}, pods killed: {killed}")),
    }
}

/// The span of a pod that leaves, and one for each step.
fn drain_tree(
    object: &ObjectMeta,
    facts: &Facts<'_>,
    counted: Option<&Counted>,
    Place { trace, parent }: Place,
) -> Vec<Span> {
    let drain = facts.drain;
    let id = within(&trace, &["drain", &drain.uid, &drain.epoch]);
    let start = drain.since.0;
    let end = facts.ends_at();
    let whole = Span {
        trace,
        id,
        parent,
        name: "drain",
        start,
        end,
        attributes: of_pod(object, facts, counted),
        failure: counted.and_then(|counted| failure(drain, counted)),
    };
    let step = |step: super::steps::Step| Span {
        trace,
        id: within(&trace, &["step", &drain.uid, &drain.epoch, step.name]),
        parent: Some(id),
        name: step.name,
        start: step.start,
        end: step.end,
        attributes: step.attributes,
        failure: None,
    };
    let mut spans = vec![whole];
    spans.extend(steps(facts).into_iter().map(step));
    spans
}

fn of_object(object: &ObjectMeta) -> Vec<(&'static str, Value)> {
    let name = object.name.as_deref().unwrap_or_default();
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let uid = object.uid.as_deref().unwrap_or_default();
    vec![
        ("k8s.namespace.name", namespace.into()),
        ("graceful.object.name", name.into()),
        ("graceful.object.uid", uid.into()),
    ]
}

fn of_pod(
    object: &ObjectMeta,
    facts: &Facts<'_>,
    counted: Option<&Counted>,
) -> Vec<(&'static str, Value)> {
    let drain = facts.drain;
    let cause = match drain.cause {
        DrainCause::Rollout => "Rollout",
        DrainCause::ScaleDown => "ScaleDown",
    };
    let way = match drain.way {
        DrainWay::Readiness => "Readiness",
        DrainWay::Termination => "Termination",
    };
    let mut attributes = of_object(object);
    attributes.extend([
        ("k8s.pod.name", Value::from(&drain.pod)),
        ("k8s.pod.uid", Value::from(&drain.uid)),
        ("graceful.epoch", Value::from(&drain.epoch)),
        ("graceful.cause", cause.into()),
        ("graceful.way", way.into()),
        ("graceful.outcome", Value::Text(facts.outcome())),
    ]);
    let node = facts.node.map(|node| ("k8s.node.name", node.into()));
    attributes.extend(node);
    attributes.extend(
        facts
            .last()
            .map(|last| ("graceful.confirmation.last", last)),
    );
    if let Some(counted) = counted {
        attributes.extend([
            ("graceful.connections_cut", counted.connections_cut.into()),
            ("graceful.killed", counted.is_killed.into()),
            ("graceful.pools_left_open", counted.pools_left_open.into()),
        ]);
    }
    attributes
}

fn failure(drain: &DrainRecord, counted: &Counted) -> Option<String> {
    let pod = &drain.pod;
    let cut = counted.connections_cut;
    let message = if counted.is_killed {
        format!("{pod} was killed; connections cut: {cut}")
    } else {
        format!("{pod} left with work; connections cut: {cut}")
    };
    (counted.is_killed || cut > 0).then_some(message)
}
