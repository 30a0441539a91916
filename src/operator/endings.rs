//! Pods that are gone and whose end no status counts yet. Filled by the watch of pods at the edge, when a
//! pod's last container has ended or when the pod is deleted, and emptied by the status that counts them.
//! Holds nothing that a decision depends on: what is lost in a crash is counted as unseen, or not at all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::caches::Guarded;
use crate::api::v1alpha1::{GracefulDeploymentStatus, RolloutRecord};
use crate::observe::{Objects, end, has_ended};
use crate::rollout::{Counted, End, Observation, Plan};

/// No more are kept for one object: its status cannot be written, or nobody writes it.
const MOST: usize = 1000;

/// The pods that are gone, by object.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings(Arc<Mutex<HashMap<ObjectRef<Guarded>, Waiting>>>);

#[derive(Debug, Default)]
struct Waiting {
    ends: Vec<End>,
    /// What the last write would have made of the record, where nobody knows whether it arrived.
    tried: Option<(Tried, Vec<Counted>)>,
}

/// What tells a record from the one before: pods are only ever added to it.
#[derive(Debug, PartialEq, Eq)]
struct Tried {
    revision: String,
    counted: i32,
}

impl Tried {
    fn of(status: &GracefulDeploymentStatus) -> Option<Self> {
        let RolloutRecord {
            revision,
            ended,
            unseen,
            ..
        } = status.last_rollout.as_ref()?;
        Some(Self {
            revision: revision.clone(),
            counted: ended.saturating_add(*unseen),
        })
    }
}

impl Endings {
    /// Takes in what a pod is now, or was last, given whether it had ended before. Only the change counts:
    /// a pod that had ended when it was first seen is somebody else's to count.
    pub(super) fn note(
        &self,
        owner: Option<ObjectRef<Guarded>>,
        now: &Pod,
        (had_ended, is_deleted): (bool, bool),
    ) {
        let is_over = is_deleted || has_ended(now);
        let Some(owner) = owner.filter(|_| is_over && !had_ended) else {
            return;
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = &mut all.entry(owner).or_default().ends;
        let uid = now.uid();
        if ends.len() < MOST && !ends.iter().any(|known| Some(&known.uid) == uid.as_ref()) {
            ends.push(end(now));
        }
    }

    /// Adds to the observation the pods that are gone and that its status does not count. Returns those
    /// of which it turns out that it does.
    ///
    /// A pod that had ended when this process first saw it is counted where the status remembers its
    /// drain: then nobody has counted it yet.
    pub(super) fn recall(
        &self,
        object: &ObjectRef<Guarded>,
        objects: &Objects<'_>,
        observation: &mut Observation,
    ) -> Vec<Counted> {
        let (mut ends, arrived) = self.of(object, &observation.previous);
        for drain in &observation.previous.drains {
            let is_it = |pod: &&Arc<Pod>| pod.metadata.uid.as_ref() == Some(&drain.uid);
            let pod = objects.pods.iter().find(is_it);
            let is_known = ends.iter().any(|end| end.uid == drain.uid);
            ends.extend(
                pod.filter(|pod| !is_known && has_ended(pod))
                    .map(|pod| end(pod)),
            );
        }
        observation.ends = ends;
        arrived
    }

    fn of(
        &self,
        object: &ObjectRef<Guarded>,
        status: &GracefulDeploymentStatus,
    ) -> (Vec<End>, Vec<Counted>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = all.get_mut(object) else {
            return (Vec::new(), Vec::new());
        };
        let now = Tried::of(status);
        let arrived = waiting
            .tried
            .take_if(|(tried, _)| now.as_ref() == Some(tried));
        let arrived = arrived.map(|(_, counted)| counted).unwrap_or_default();
        waiting.forget(&arrived);
        (waiting.ends.clone(), arrived)
    }

    /// The plan's status is about to be written.
    pub(super) fn tries(&self, object: &ObjectRef<Guarded>, plan: &Plan) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Some(waiting)) = (plan.counted.is_empty(), all.get_mut(object)) {
            let tried = plan.status.as_ref().and_then(Tried::of);
            waiting.tried = tried.map(|tried| (tried, plan.counted.clone()));
        }
    }

    /// The status that counts these is written.
    pub(super) fn are_counted(&self, object: &ObjectRef<Guarded>, counted: &[Counted]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = all.get_mut(object) {
            waiting.tried = None;
            waiting.forget(counted);
        }
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, object: &ObjectRef<Guarded>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(object);
    }

    /// Forgets what another operator has counted, which led until now.
    pub(super) fn clear(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }
}

impl Waiting {
    fn forget(&mut self, counted: &[Counted]) {
        self.ends
            .retain(|end| !counted.iter().any(|one| one.uid == end.uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "chat-1", "uid": "u"}, "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn object() -> ObjectRef<Guarded> {
        ObjectRef::new("chat").within("web")
    }

    fn status(ended: i32) -> GracefulDeploymentStatus {
        let rollout = json!({
            "revision": "chat-1", "started": "2026-01-01T00:00:00.000000Z",
            "progressed": "2026-01-01T00:00:00.000000Z", "ended": ended,
        });
        serde_json::from_value(json!({"lastRollout": rollout})).unwrap()
    }

    fn waiting(endings: &Endings, ended: i32) -> usize {
        endings.of(&object(), &status(ended)).0.len()
    }

    fn one() -> Counted {
        Counted {
            uid: "u".into(),
            ..Counted::default()
        }
    }

    #[test]
    fn a_pod_is_gone_once_whether_it_ends_or_is_deleted_first() {
        let endings = Endings::default();
        let note = |before: &str, now: &str, is_deleted| {
            let ended = (has_ended(&pod(before)), is_deleted);
            endings.note(Some(object()), &pod(now), ended);
            waiting(&endings, 0)
        };
        assert_eq!(note("Running", "Running", false), 0);
        assert_eq!(note("Running", "Failed", false), 1);
        endings.are_counted(&object(), &[one()]);
        assert_eq!(note("Failed", "Failed", true), 0);
        assert_eq!(note("Running", "Running", true), 1);
        assert_eq!(note("Running", "Running", true), 1);
    }

    #[test]
    fn an_end_is_counted_once_though_the_answer_to_the_write_was_lost() {
        let endings = Endings::default();
        endings.note(Some(object()), &pod("Failed"), (false, true));
        let plan = Plan {
            status: Some(status(1)),
            counted: vec![one()],
            ..Plan::default()
        };
        endings.tries(&object(), &plan);
        assert_eq!(waiting(&endings, 0), 1, "it did not arrive");
        let (left, arrived) = endings.of(&object(), &status(1));
        assert_eq!((left.len(), arrived), (0, vec![one()]));
        assert_eq!(endings.of(&object(), &status(1)).1, Vec::new());
    }
}
