//! Caches that lag: everybody who watches sees one kind of object in its order, later than it happened,
//! and in no order with another kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::apiserver::kinds::{OBJECTS, PODS, RECORDS, REPLICA_SETS, Resource, SERVICES, SLICES};
use super::apiserver::{is_leaving, name, uid};
use super::sets::{is_active, is_labelled, is_ready, owner, owner_uid};
use super::world::{Event, World};

/// Whose cache of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reader {
    OperatorObjects,
    OperatorSets,
    OperatorPods,
    OperatorServices,
    OperatorSlices,
    OperatorRecords,
    /// The ReplicaSet controller's own objects.
    ControllerSets,
    ControllerPods,
    SlicePods,
}

impl Reader {
    pub(super) const ALL: [Self; 9] = [
        Self::OperatorObjects,
        Self::OperatorSets,
        Self::OperatorPods,
        Self::OperatorServices,
        Self::OperatorSlices,
        Self::OperatorRecords,
        Self::ControllerSets,
        Self::ControllerPods,
        Self::SlicePods,
    ];

    pub(super) const OPERATOR: [Self; 6] = [
        Self::OperatorObjects,
        Self::OperatorSets,
        Self::OperatorPods,
        Self::OperatorServices,
        Self::OperatorSlices,
        Self::OperatorRecords,
    ];

    pub(super) fn resource(self) -> &'static Resource {
        match self {
            Self::OperatorObjects => &OBJECTS,
            Self::OperatorSets | Self::ControllerSets => &REPLICA_SETS,
            Self::OperatorPods | Self::ControllerPods | Self::SlicePods => &PODS,
            Self::OperatorServices => &SERVICES,
            Self::OperatorSlices => &SLICES,
            Self::OperatorRecords => &RECORDS,
        }
    }

    pub(super) fn is_operators(self) -> bool {
        Self::OPERATOR.contains(&self)
    }
}

/// One cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Informer {
    /// By name.
    pub(super) seen: BTreeMap<String, Arc<Value>>,
    /// Changes that it has seen.
    cursor: usize,
    /// When the last change that was sent to it arrives.
    due: i64,
    /// It hears nothing before.
    stalled: i64,
}

impl World {
    /// Sends a change on its way to every cache of its kind.
    pub(super) fn announce(&mut self, resource: &Resource, upto: usize) {
        for reader in Reader::ALL {
            if reader.resource() != resource {
                continue;
            }
            let most = if reader.is_operators() {
                self.script.lag
            } else if reader == Reader::SlicePods {
                self.script.controller_lag.min(400)
            } else {
                self.script.controller_lag
            };
            // Mostly at once, and sometimes late.
            let lag = if self.lags.percent(80) {
                self.lags.within(1, 20.min(most))
            } else {
                self.lags.within(1, most)
            };
            let now = self.now;
            let Some(informer) = self.informers.get_mut(&reader) else {
                continue;
            };
            let due = (now + lag).max(informer.due).max(informer.stalled);
            informer.due = due;
            self.at(due, Event::Deliver(reader, upto));
        }
    }

    /// A cache hears nothing for so long.
    pub(super) fn stall(&mut self, reader: Reader, length: i64) {
        let until = self.now + length;
        if let Some(informer) = self.informers.get_mut(&reader) {
            informer.stalled = until;
        }
    }

    pub(super) fn deliver(&mut self, reader: Reader, upto: usize) {
        let Some(mut informer) = self.informers.remove(&reader) else {
            return;
        };
        let from = informer.cursor;
        informer.cursor = from.max(upto);
        let changes: Vec<_> = (from..informer.cursor)
            .filter_map(|index| self.api.changes.get(index))
            .filter(|change| change.resource == reader.resource())
            .cloned()
            .collect();
        for change in changes {
            let Some(object) = change.after.as_ref().or(change.before.as_ref()) else {
                continue;
            };
            let old = if change.after.is_some() {
                informer.seen.insert(name(object).into(), object.clone())
            } else {
                informer.seen.remove(name(object))
            };
            if reader.is_operators() {
                if let Some(wires) = &self.wires {
                    wires.send(reader, object, change.after.is_some());
                }
            } else {
                self.hear_of(reader, old.as_deref(), object, change.after.is_some());
            }
        }
        self.informers.insert(reader, informer);
        if self.script.is_flattered
            && [Reader::OperatorSets, Reader::OperatorPods].contains(&reader)
        {
            self.flatter();
        }
    }

    /// Shows the operator ReplicaSets that agree with whatever it sees.
    fn flatter(&self) {
        let Some(wires) = &self.wires else { return };
        for set in self.seen_by(Reader::OperatorSets) {
            let pods = self.seen_by(Reader::OperatorPods);
            let pods = pods.filter(|pod| is_active(pod) && owner_uid(pod) == Some(uid(set)));
            let (active, ready, labelled) =
                pods.fold((0, 0, 0), |(active, ready, labelled), pod| {
                    let is_labelled = i64::from(is_labelled(pod, set));
                    (
                        active + 1,
                        ready + i64::from(is_ready(pod)),
                        labelled + is_labelled,
                    )
                });
            let mut set = (**set).clone();
            set["status"] = json!({
                "replicas": active,
                "readyReplicas": ready,
                "fullyLabeledReplicas": labelled,
                "observedGeneration": set["metadata"]["generation"],
            });
            wires.send(Reader::OperatorSets, &set, true);
        }
    }

    /// A controller's cache shows another object.
    fn hear_of(&mut self, reader: Reader, old: Option<&Value>, object: &Value, exists: bool) {
        match reader {
            Reader::ControllerSets => self.wake_set(name(object)),
            Reader::ControllerPods => {
                let Some(set) = owner(object) else { return };
                let was_leaving = old.is_some_and(is_leaving);
                let expected = self.expectations.entry(set.to_owned()).or_default();
                if old.is_none() && exists {
                    expected.made = expected.made.saturating_sub(1);
                }
                if !exists || is_leaving(object) && !was_leaving {
                    expected.deleted.remove(uid(object));
                }
                self.wake_set(set);
            }
            _ => self.wake_slices(),
        }
    }

    /// The operator's watch begins anew: it shows what is there, at once.
    pub(super) fn relist(&mut self, reader: Reader) {
        let all: Vec<_> = self.api.all(reader.resource()).cloned().collect();
        let cursor = self.api.changes.len();
        let Some(informer) = self.informers.get_mut(&reader) else {
            return;
        };
        informer.cursor = informer.cursor.max(cursor);
        informer.seen = all
            .iter()
            .map(|object| (name(object).to_owned(), object.clone()))
            .collect();
        if let Some(wires) = &self.wires {
            wires.restart(reader, &all);
        }
    }

    /// What the operator's caches show now is what it goes by until it looks again.
    pub(super) fn remember_view(&mut self) {
        self.viewed_at = self.time() + SignedDuration::from_millis(self.followed);
        self.view = Reader::OPERATOR
            .into_iter()
            .map(|reader| (reader, self.seen_by(reader).cloned().collect()))
            .collect();
    }

    /// What the operator's caches showed when it last looked.
    pub(super) fn viewed(&self, reader: Reader) -> impl Iterator<Item = &Arc<Value>> {
        self.view.get(&reader).into_iter().flatten()
    }

    /// What a cache shows.
    pub(super) fn seen_by(&self, reader: Reader) -> impl Iterator<Item = &Arc<Value>> {
        self.informers
            .get(&reader)
            .into_iter()
            .flat_map(|informer| informer.seen.values())
    }
}
