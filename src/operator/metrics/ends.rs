//! What the operator counts of the pods that left, by object. Each pod is counted once, by the status write
//! that puts its end on record; the series of an object go with it. They begin at 0 with the process.

use kube::runtime::reflector::ObjectRef;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::operator::caches::Guarded;
use crate::rollout::{Counted, KINDS};

/// Seconds: an idle pod takes ten with the defaults, a stream minutes, a job hours. Close together where
/// most drains are: a quantile lies somewhere within its bucket, and 68 s is not to read as 117 s.
const BUCKETS: [f64; 17] = [
    5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0,
    14_400.0, 43_200.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Object {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Drain {
    #[prometheus(flatten)]
    object: Object,
    confirmation: &'static str,
}

impl Object {
    fn of(object: &ObjectRef<Guarded>) -> Self {
        Self {
            namespace: object.namespace.clone().unwrap_or_default(),
            name: object.name.clone(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Ends {
    drains: Family<Drain, Histogram>,
    cut: Family<Object, Counter>,
    killed: Family<Object, Counter>,
    left_open: Family<Object, Counter>,
}

impl Ends {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let ends = Self {
            drains: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            cut: Family::default(),
            killed: Family::default(),
            left_open: Family::default(),
        };
        registry.register(
            "drain_seconds",
            "Planned drains of pods that left, by the kind of the confirmation that held last, or that did not hold until the deadline",
            ends.drains.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections with work left when their pod left",
            ends.cut.clone(),
        );
        registry.register(
            "forced_kills",
            "Pods of which a container was ended by SIGKILL",
            ends.killed.clone(),
        );
        registry.register(
            "pools_left_open",
            "Pools of connections to others that a pod left open",
            ends.left_open.clone(),
        );
        ends
    }

    /// Counts the end of one pod. All series of its object are there from the first on: one that begins
    /// with 1 is no increase to Prometheus.
    pub(super) fn count(&self, object: &ObjectRef<Guarded>, counted: &Counted) {
        let object = Object::of(object);
        let add = |family: &Family<Object, Counter>, by: u64| {
            family.get_or_create(&object).inc_by(by);
        };
        add(&self.cut, counted.connections_cut.into());
        add(&self.killed, counted.is_killed.into());
        add(&self.left_open, counted.pools_left_open.into());
        if let Some((milliseconds, confirmation)) = counted.drain {
            let seconds = std::time::Duration::from_millis(milliseconds).as_secs_f64();
            let drain = Drain {
                object,
                confirmation,
            };
            self.drains.get_or_create(&drain).observe(seconds);
        }
    }

    /// Shows an object's counters before anything is counted.
    pub(super) fn begin(&self, object: &ObjectRef<Guarded>) {
        self.count(object, &Counted::default());
    }

    /// Drops the series of an object that is gone.
    pub(super) fn forget(&self, object: &ObjectRef<Guarded>) {
        let object = Object::of(object);
        for family in [&self.cut, &self.killed, &self.left_open] {
            family.remove(&object);
        }
        for confirmation in KINDS {
            let object = object.clone();
            self.drains.remove(&Drain {
                object,
                confirmation,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn series_come_with_an_object_and_go_with_it() {
        let mut registry = Registry::with_prefix("graceful");
        let ends = Ends::registered(&mut registry);
        let chat = ObjectRef::new("chat").within("web");
        ends.begin(&chat);
        let labels = "{namespace=\"web\",name=\"chat\"}";
        assert!(text(&registry).contains(&format!("graceful_forced_kills_total{labels} 0")));
        let counted = Counted {
            uid: "u".into(),
            drain: Some((12_300, "httpGet")),
            is_killed: true,
            connections_cut: 3,
            pools_left_open: 2,
        };
        ends.count(&chat, &counted);
        let text_now = text(&registry);
        for line in [
            format!("graceful_forced_kills_total{labels} 1"),
            format!("graceful_connections_cut_total{labels} 3"),
            format!("graceful_pools_left_open_total{labels} 2"),
        ] {
            assert!(text_now.contains(&line), "{text_now}");
        }
        assert!(
            text_now.contains("confirmation=\"httpGet\"} 12.3"),
            "{text_now}"
        );
        ends.forget(&chat);
        assert!(!text(&registry).contains("chat"), "{}", text(&registry));
    }
}
