//! What must hold in every state between the first and the last, judged on the trail.

use serde_json::{Value, json};

use crate::world::trail::{Now, image, is_ready, is_terminating};
use crate::world::{Arm, World};

/// The bounds of a rolling update, as part of a spec.
pub(super) fn bounds(surge: i32, unavailable: i32) -> Value {
    json!({"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}})
}

/// Pods that serve.
pub(super) fn serving(now: &Now) -> usize {
    let pods = now.pods.values();
    pods.filter(|pod| is_ready(pod) && !is_terminating(pod))
        .count()
}

/// Pods that ReplicaSets are asked to have, without those that drain: what the surge is about. Pods
/// themselves are made and deleted by another controller, whose order is nobody's promise. Deployment
/// has no draining pods; ours are in the object's status before anything else happens to them.
pub(super) fn asked(now: &Now) -> usize {
    let drains = now
        .object
        .as_ref()
        .map(|object| &object["status"]["drains"]);
    let drains: Vec<_> = drains
        .and_then(|drains| drains.as_array())
        .into_iter()
        .flatten()
        .map(|drain| &drain["uid"])
        .collect();
    let of_set = |set: &Value| {
        let active = now.pods.values().filter(|pod| {
            !is_terminating(pod)
                && pod.pointer("/metadata/ownerReferences/0/uid") == set.pointer("/metadata/uid")
        });
        let (mut count, mut draining) = (0_usize, 0_usize);
        for pod in active {
            count += 1;
            draining += usize::from(drains.contains(&&pod["metadata"]["uid"]));
        }
        let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(0)).unwrap();
        // Of the draining ones those that are no longer wanted are about to be deleted.
        let wanted_draining = draining.saturating_sub(count.saturating_sub(wanted));
        wanted.saturating_sub(wanted_draining)
    };
    now.replica_sets.values().map(|set| of_set(set)).sum()
}

impl<A: Arm> World<A> {
    /// A mark in the trail, from which bounds are judged.
    pub(super) fn mark(&self) -> u64 {
        let changes = self.trail.changes();
        changes.last().map_or(0, |change| change.version)
    }

    /// Waits until there are so many pods, all of one image.
    pub(crate) async fn until_only(&self, wanted: &str, count: usize) -> Now {
        let what = format!("{count} pods of {wanted} and no other");
        self.until(&what, |now| {
            now.pods.len() == count && now.pods.values().all(|pod| image(pod) == wanted)
        })
        .await
    }

    /// In every state since the mark at least so many pods served, and at most so many were asked for.
    pub(super) fn assert_bounds(&self, since: u64, least: usize, most: usize) {
        let states = self.trail.states();
        for (version, now) in states.iter().filter(|(version, _)| *version > since) {
            let (serving, asked) = (serving(now), asked(now));
            assert!(
                serving >= least,
                "{serving} serve at {version}, not {least}"
            );
            assert!(
                asked <= most,
                "{asked} are asked for at {version}, not {most}"
            );
        }
    }
}
