//! What the process knows of an object besides what the caches show: how fresh they are, what it wrote, and what it put
//! off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::Context;
use crate::observe::Objects;
use crate::operator::caches::Guarded;
use crate::operator::clock::Reading;
use crate::operator::memory::{Freshness, PutOff, postpone};
use crate::operator::report::Refusal;
use crate::rollout::Observation;

/// What the process remembers of an object, as a reconcile starts from it.
pub(super) struct Recalled {
    pub(super) freshness: Freshness,
    pub(super) put_off: Option<PutOff>,
    pub(super) deleted: BTreeSet<String>,
    pub(super) refusal: Option<Refusal>,
    pub(super) foreign: Option<Arc<ReplicaSet>>,
    pub(super) now: Timestamp,
    /// How far the wall clock was set ahead since the drains were last written.
    ahead: Duration,
    /// The same, since the process began.
    pub(super) ahead_now: Duration,
}

impl Recalled {
    /// Corrects what was read by what the process knows better: how late it is, what waits to be
    /// written, and which pods are deleted.
    pub(super) fn correct(&self, observation: &mut Observation) {
        for pod in &mut observation.pods {
            pod.terminating |= self.deleted.contains(&pod.uid);
        }
        let read = &mut observation.previous;
        postpone(&mut read.drains, self.ahead);
        if let Some(put_off) = &self.put_off {
            put_off.recall(&mut read.drains, self.ahead_now);
        }
    }
}

impl Context {
    pub(super) fn recall(&self, key: &ObjectRef<Guarded>, objects: &Objects<'_>) -> Recalled {
        let Reading { now, ahead } = self.clock.read();
        let status = objects.object.status.as_ref();
        let is_draining = status.is_some_and(|status| !status.drains.is_empty());
        self.memory.of(key, |notes| {
            // It can be read now: the same fault would be news.
            notes.unreadable = None;
            if !is_draining {
                notes.ahead = Some(ahead);
            }
            Recalled {
                freshness: notes.freshness(objects, Instant::now()),
                deleted: notes.deleted.clone(),
                put_off: notes.put_off.clone(),
                refusal: notes.refusal.clone(),
                foreign: notes.foreign.clone(),
                now,
                ahead: ahead.saturating_sub(*notes.ahead.get_or_insert(ahead)),
                ahead_now: ahead,
            }
        })
    }
}
