//! How each GracefulDeployment stands, told anew at each scrape from the cache and from what the last look
//! found: an object that is deleted leaves no series behind. Says nothing that its status does not say.

use std::fmt::Error;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::holds::Holds;
use crate::api::v1alpha1::GracefulDeployment;
use crate::operator::caches::Guarded;
use crate::rollout::Hold;

/// Conditions of ours: another controller's would be labels without bound.
const CONDITIONS: [&str; 7] = [
    "Ready",
    "Available",
    "Progressing",
    "ReplicaFailure",
    "Draining",
    "Reconciling",
    "Stalled",
];

/// What is told of every object. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Standing {
    objects: Arc<OnceLock<Store<Guarded>>>,
    holds: Arc<Mutex<Holds>>,
}

/// One sample: its labels and its value.
type Sample<'a> = (Vec<(&'static str, &'a str)>, f64);

impl Standing {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let standing = Self::default();
        registry.register_collector(Box::new(standing.clone()));
        standing
    }

    /// From now on these objects are told of: the operator leads. One that stands by tells of none, or each
    /// would be there twice.
    pub(super) fn begin(&self, objects: Store<Guarded>) {
        // It leads once in its life.
        let _ = self.objects.set(objects);
    }

    /// Takes what a look at the object found.
    pub(super) fn held(&self, object: &ObjectRef<Guarded>, holds: &[Hold]) {
        let mut all = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        all.note(object, holds, Instant::now());
    }

    /// The object is gone.
    pub(super) fn forget(&self, object: &ObjectRef<Guarded>) {
        let mut all = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        all.forget(object, Instant::now());
    }
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut objects = self.objects.get().map(Store::state).unwrap_or_default();
        objects.sort_by_cached_key(|object| (object.namespace(), object.name_any()));
        let mut family = |name, help, of: fn(&GracefulDeployment) -> Vec<Sample<'_>>| {
            let readable = objects.iter().filter_map(|object| object.0.as_ref().ok());
            let samples = readable.flat_map(|object| of(object.bare()));
            gauges(&mut encoder, (name, help), samples)
        };
        family(
            "replicas",
            "Pods of each object, by what its status says of them.",
            replicas,
        )?;
        family(
            "condition",
            "Conditions of each object: 1 is True, 0 is False, -1 is Unknown.",
            conditions,
        )?;
        family(
            "rollout_in_flight",
            "1 while the wanted revision is not complete.",
            in_flight,
        )?;
        family(
            "drain_since_timestamp_seconds",
            "When the oldest drain under way began.",
            oldest,
        )?;
        family(
            "drain_deadline_timestamp_seconds",
            "The earliest deadline among the drains under way.",
            deadline,
        )?;
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let held = holds.current();
        let held = held.iter().map(|(namespace, name, hold)| {
            let labels = vec![("namespace", *namespace), ("name", *name), ("hold", *hold)];
            (labels, 1.0)
        });
        let what = ("held", "1 for each hold that a rollout waits for now.");
        gauges(&mut encoder, what, held)?;
        held_seconds(&mut encoder, &holds)
    }
}

fn held_seconds(encoder: &mut DescriptorEncoder<'_>, holds: &Holds) -> Result<(), Error> {
    let help = "Seconds that rollouts waited, by what held them.";
    let kind = MetricType::Counter;
    let mut metric = encoder.encode_descriptor("held_seconds", help, None, kind)?;
    for (hold, seconds) in holds.seconds(Instant::now()) {
        let labels = [("hold", hold)];
        ConstCounter::new(seconds).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    samples: impl Iterator<Item = Sample<'a>>,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

/// The labels that name an object.
fn named(object: &GracefulDeployment) -> Vec<(&'static str, &str)> {
    let metadata = &object.metadata;
    vec![
        (
            "namespace",
            metadata.namespace.as_deref().unwrap_or_default(),
        ),
        ("name", metadata.name.as_deref().unwrap_or_default()),
    ]
}

fn with<'a>(object: &'a GracefulDeployment, more: &[(&'static str, &'a str)]) -> Labels<'a> {
    let mut labels = named(object);
    labels.extend(more);
    labels
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

fn replicas(object: &GracefulDeployment) -> Vec<Sample<'_>> {
    let Some(status) = &object.status else {
        return Vec::new();
    };
    let counts = [
        ("desired", object.spec.replicas),
        ("updated", status.updated_replicas),
        ("ready", status.ready_replicas),
        ("available", status.available_replicas),
        ("draining", status.draining_replicas),
        ("terminating", status.terminating_replicas),
        ("outdated", status.outdated_replicas),
    ];
    let samples =
        counts.map(|(state, count)| (with(object, &[("state", state)]), f64::from(count)));
    samples.into()
}

fn conditions(object: &GracefulDeployment) -> Vec<Sample<'_>> {
    let all = object.status.iter().flat_map(|status| &status.conditions);
    all.filter(|condition| CONDITIONS.contains(&condition.type_.as_str()))
        .map(|condition| {
            let value = match condition.status.as_str() {
                "True" => 1.0,
                "False" => 0.0,
                _ => -1.0,
            };
            let more = [
                ("condition", condition.type_.as_str()),
                ("reason", condition.reason.as_str()),
            ];
            (with(object, &more), value)
        })
        .collect()
}

fn in_flight(object: &GracefulDeployment) -> Vec<Sample<'_>> {
    let rollout = object
        .status
        .as_ref()
        .and_then(|status| status.last_rollout.as_ref());
    let value = rollout.map(|rollout| f64::from(u8::from(rollout.completed.is_none())));
    value
        .map(|value| (named(object), value))
        .into_iter()
        .collect()
}

fn oldest(object: &GracefulDeployment) -> Vec<Sample<'_>> {
    let drains = object.status.iter().flat_map(|status| &status.drains);
    earliest(object, drains.map(|drain| drain.since.0).min())
}

fn deadline(object: &GracefulDeployment) -> Vec<Sample<'_>> {
    let drains = object.status.iter().flat_map(|status| &status.drains);
    let running = drains.filter(|drain| drain.retired.is_none());
    let deadlines = running.filter_map(|drain| drain.deadline.as_ref());
    earliest(object, deadlines.map(|deadline| deadline.0).min())
}

fn earliest(object: &GracefulDeployment, at: Option<Timestamp>) -> Vec<Sample<'_>> {
    let sample = at.map(|at| (named(object), seconds(at)));
    sample.into_iter().collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are below 2^52"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
