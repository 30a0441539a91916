//! What the operator counts about itself, for Prometheus.

mod ends;
mod holds;
mod process;
mod sample;
mod standing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kube::runtime::reflector::{ObjectRef, Store};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::ends::Ends;
use self::process::Process;
pub use self::sample::sample;
use self::standing::Standing;
use super::caches::Guarded;
use super::error::VARIANTS;
use super::traces::Traces;
use crate::rollout::{Counted, Hold};

/// Seconds: a reconcile without calls takes a millisecond, each call five to fifty.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The counters, and the registry that prints them.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    reconciles: Histogram,
    errors: Family<What, Counter>,
    calls: Family<Call, Counter>,
    drains: Family<Ended, Counter>,
    waits: Counter,
    expiries: Counter,
    leader: Gauge,
    ends: Ends,
    standing: Standing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    verb: &'static str,
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: String,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let ends = Ends::registered(registry.sub_registry_with_prefix("graceful"));
        let standing = Standing::registered(registry.sub_registry_with_prefix("graceful"));
        Process::register(registry.sub_registry_with_prefix("process"));
        let metrics = Self {
            registry,
            ends,
            standing,
            reconciles: Histogram::new(BUCKETS),
            errors: Family::default(),
            calls: Family::default(),
            drains: Family::default(),
            waits: Counter::default(),
            expiries: Counter::default(),
            leader: Gauge::default(),
        };
        // What begins above zero has no increase for Prometheus: the first failure would go unseen.
        for error in VARIANTS {
            drop(metrics.errors.get_or_create(&What { error }));
        }
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = self.registry.sub_registry_with_prefix("graceful_operator");
        registry.register(
            "reconcile_seconds",
            "Time of one reconcile, its calls included",
            self.reconciles.clone(),
        );
        registry.register(
            "errors",
            "Reconciles that failed, by what they were doing",
            self.errors.clone(),
        );
        registry.register(
            "api_calls",
            "Calls to the API server, watches apart",
            self.calls.clone(),
        );
        registry.register(
            "drains_ended",
            "Drains that ended, by how",
            self.drains.clone(),
        );
        registry.register(
            "cache_waits",
            "Reconciles put off because a cache did not show our last write yet",
            self.waits.clone(),
        );
        registry.register(
            "cache_expiries",
            "Reconciles that went on although a cache did not show our last write in time",
            self.expiries.clone(),
        );
        registry.register(
            "leader",
            "1 where this operator leads, 0 where it stands by for another",
            self.leader.clone(),
        );
        self
    }

    /// Those of what is sent to a collector, too.
    pub(super) fn with(mut self, traces: &Traces) -> Self {
        traces.register(self.registry.sub_registry_with_prefix("graceful_operator"));
        self
    }

    /// From now on these objects are told of; before, and in an operator that stands by, none is.
    pub(super) fn tell_of(&self, objects: Store<Guarded>) {
        self.standing.begin(objects);
    }

    /// What holds the object, as its last look found it.
    pub(super) fn held(&self, object: &ObjectRef<Guarded>, holds: &[Hold]) {
        self.standing.held(object, holds);
    }

    pub(super) fn reconciled(&self, took: Duration) {
        self.reconciles.observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self, error: &'static str) {
        self.errors.get_or_create(&What { error }).inc();
    }

    pub(super) fn called(&self, verb: &'static str, kind: &str) {
        let kind = kind.to_owned();
        self.calls.get_or_create(&Call { verb, kind }).inc();
    }

    pub(super) fn drain_ended(&self, outcome: String) {
        self.drains.get_or_create(&Ended { outcome }).inc();
    }

    /// An object is looked at: its series of pods that ended are shown from now on.
    pub(super) fn sees(&self, object: &ObjectRef<Guarded>) {
        self.ends.begin(object);
    }

    /// The ends of these pods of an object are on record.
    pub(super) fn ended(&self, object: &ObjectRef<Guarded>, counted: &[Counted]) {
        for one in counted {
            self.ends.count(object, one);
        }
    }

    /// Drops the series of an object that is gone.
    pub(super) fn forget(&self, object: &ObjectRef<Guarded>) {
        self.ends.forget(object);
        self.standing.forget(object);
    }

    pub(super) fn leads(&self) {
        self.leader.set(1);
    }

    pub(super) fn waited(&self) {
        self.waits.inc();
    }

    pub(super) fn expired(&self) {
        self.expiries.inc();
    }

    /// Everything as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// Every hold by its name in `graceful_held`, with what it says.
pub const HOLDS: &[(&str, &str)] = &holds::CAUSES;

#[cfg(test)]
mod what_is_counted {
    use super::*;

    #[test]
    fn every_kind_of_failure_is_counted_from_zero_on() {
        let text = Metrics::new().text();
        for error in VARIANTS {
            let line = format!("graceful_operator_errors_total{{error=\"{error}\"}} 0\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    /// B43.
    #[test]
    fn what_was_counted_is_printed() {
        let metrics = Metrics::new();
        metrics.called("patch", "Pod");
        metrics.failed("ScaleReplicaSet");
        metrics.drain_ended("Drained".into());
        metrics.reconciled(Duration::from_millis(3));
        let text = metrics.text();
        for line in [
            "graceful_operator_api_calls_total{verb=\"patch\",kind=\"Pod\"} 1",
            "graceful_operator_errors_total{error=\"ScaleReplicaSet\"} 1",
            "graceful_operator_drains_ended_total{outcome=\"Drained\"} 1",
            "graceful_operator_reconcile_seconds_bucket{le=\"0.005\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
