//! How long rollouts were held, and by what: the planner names what it waits for at each look, and the
//! time until the next look is that hold's. An object that is gone leaves its time behind and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use crate::operator::caches::Guarded;
use crate::rollout::Hold;

/// Every hold by its name, and what it says.
pub(super) const CAUSES: [(&str, &str); 17] = [
    ("AwaitingPods", "new pods are not in service yet"),
    ("AtMinimum", "no more pods may leave (maxUnavailable)"),
    ("AtMaximum", "no more pods may be made (maxSurge)"),
    (
        "AtMaxDraining",
        "no more pods may drain at the same time (maxDraining)",
    ),
    ("Draining", "a pod drains, within its deadline"),
    (
        "AwaitingCondition",
        "the agent is done, and a condition of the pod that another controller sets is not True yet",
    ),
    (
        "Held",
        "a pod is past its deadline and kept until a person lets it go (onTimeout: Hold)",
    ),
    (
        "DrainPaused",
        "a pod is past its deadline, and the rollout stops for it (onTimeout: Pause)",
    ),
    ("NotHeard", "a pod's agent has not heard for 10 s"),
    ("MinSeconds", "routes get their least time (minSeconds)"),
    (
        "StillNamed",
        "a pod is drained, but an EndpointSlice still names it ready",
    ),
    (
        "ReplicaSetBehind",
        "the controller of a ReplicaSet has not caught up",
    ),
    ("VictimOrder", "a ReplicaSet would take another pod first"),
    ("AwaitingTermination", "old pods are not gone yet"),
    ("Claiming", "a ReplicaSet changes hands"),
    ("Paused", "paused by spec.paused"),
    (
        "NameTaken",
        "the name of the new ReplicaSet is taken; the next one is tried",
    ),
];

/// The hold's name.
pub(super) fn cause(hold: &Hold) -> &'static str {
    match hold {
        Hold::AwaitingPods { .. } => "AwaitingPods",
        Hold::AtMinimum { .. } => "AtMinimum",
        Hold::AtMaximum { .. } => "AtMaximum",
        Hold::AtMaxDraining { .. } => "AtMaxDraining",
        Hold::Draining { .. } => "Draining",
        Hold::AwaitingCondition { .. } => "AwaitingCondition",
        Hold::Held { .. } => "Held",
        Hold::DrainPaused { .. } => "DrainPaused",
        Hold::NotHeard { .. } => "NotHeard",
        Hold::MinSeconds { .. } => "MinSeconds",
        Hold::StillNamed { .. } => "StillNamed",
        Hold::ReplicaSetBehind { .. } => "ReplicaSetBehind",
        Hold::VictimOrder { .. } => "VictimOrder",
        Hold::AwaitingTermination { .. } => "AwaitingTermination",
        Hold::Claiming { .. } => "Claiming",
        Hold::Paused => "Paused",
        Hold::NameTaken { .. } => "NameTaken",
    }
}

/// What holds each object since its last look, and the time of all holds that ended.
#[derive(Debug, Default)]
pub(super) struct Holds {
    current: HashMap<ObjectRef<Guarded>, (Instant, BTreeSet<&'static str>)>,
    ended: BTreeMap<&'static str, Duration>,
}

impl Holds {
    /// Takes what a look found; the time since the last one goes to what was found then. An object that
    /// nothing holds is not remembered.
    pub(super) fn note(&mut self, object: &ObjectRef<Guarded>, holds: &[Hold], now: Instant) {
        self.forget(object, now);
        let causes: BTreeSet<_> = holds.iter().map(cause).collect();
        if !causes.is_empty() {
            self.current.insert(object.clone(), (now, causes));
        }
    }

    /// An object that is gone is held by nothing.
    pub(super) fn forget(&mut self, object: &ObjectRef<Guarded>, now: Instant) {
        let Some((since, causes)) = self.current.remove(object) else {
            return;
        };
        for cause in causes {
            let time = self.ended.entry(cause).or_default();
            *time = time.saturating_add(now.saturating_duration_since(since));
        }
    }

    /// Each object that is held, with one of its causes, in a fixed order.
    pub(super) fn current(&self) -> BTreeSet<(&str, &str, &'static str)> {
        let each = self.current.iter().flat_map(|(object, (_, causes))| {
            let namespace = object.namespace.as_deref().unwrap_or_default();
            let name = object.name.as_str();
            causes.iter().map(move |cause| (namespace, name, *cause))
        });
        each.collect()
    }

    /// The time of every hold, those that go on included. A cause that never held is there with none: a
    /// counter that begins above zero has no increase for Prometheus.
    pub(super) fn seconds(&self, now: Instant) -> BTreeMap<&'static str, f64> {
        let mut all: BTreeMap<_, _> = CAUSES
            .iter()
            .map(|(cause, _)| (*cause, self.ended.get(cause).copied().unwrap_or_default()))
            .collect();
        for (since, causes) in self.current.values() {
            for cause in causes {
                let time = all.entry(*cause).or_default();
                *time = time.saturating_add(now.saturating_duration_since(*since));
            }
        }
        all.into_iter()
            .map(|(cause, time)| (cause, time.as_secs_f64()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> ObjectRef<Guarded> {
        ObjectRef::new("chat").within("shop")
    }

    fn draining() -> Hold {
        Hold::Draining {
            pod: "a".into(),
            deadline: None,
        }
    }

    #[test]
    fn time_until_the_next_look_is_that_of_the_holds_found() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut holds = Holds::default();
        holds.note(&chat(), &[draining(), draining()], start);
        holds.note(&chat(), &[draining(), Hold::Paused], start + 2 * second);
        let seconds = holds.seconds(start + 5 * second);
        assert!((seconds["Draining"] - 5.0).abs() < 1e-9, "{seconds:?}");
        assert!((seconds["Paused"] - 3.0).abs() < 1e-9, "{seconds:?}");
        assert!(seconds["AtMaximum"].abs() < 1e-9, "{seconds:?}");
    }

    #[test]
    fn object_that_is_gone_leaves_its_time_alone() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut holds = Holds::default();
        holds.note(&chat(), &[Hold::Paused], start);
        assert_eq!(holds.current(), [("shop", "chat", "Paused")].into());
        holds.forget(&chat(), start + second);
        assert_eq!(holds.current(), BTreeSet::new());
        let seconds = holds.seconds(start + 9 * second);
        assert!((seconds["Paused"] - 1.0).abs() < 1e-9, "{seconds:?}");
    }

    #[test]
    fn every_cause_is_listed() {
        let listed: BTreeSet<_> = CAUSES.iter().map(|(cause, _)| *cause).collect();
        assert_eq!(listed.len(), CAUSES.len());
        for hold in [draining(), Hold::Paused] {
            assert!(listed.contains(cause(&hold)));
        }
    }
}
