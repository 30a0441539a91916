//! What the judge says of the numbers that ReplicaSets are asked for: within the bounds, and for each spec once up and
//! then down.

use std::sync::Arc;

use serde_json::Value;

use super::apiserver::{name, uid};
use super::judge::{Seen, count, drains, number, replicas};
use super::sets::{is_active, is_ready, owner_uid};
use super::world::World;

impl World {
    /// Pods are given up by a status, which says by its guard of which spec it is.
    pub(super) fn note_retired(&mut self, seen: &Seen, after: &Value) {
        let drains = drains(after);
        let retired = drains
            .iter()
            .filter(|(_, drain)| drain["retired"].is_string());
        for (uid, _) in retired {
            let retired = self.judge.retired.entry((*uid).to_owned());
            retired.or_insert(generation(seen));
        }
    }

    pub(super) fn judge_scale(&mut self, seen: &Seen, before: &Value, after: &Value) {
        let (from, to) = (replicas(before), replicas(after));
        let set = uid(after).to_owned();
        let now = generation(seen);
        if to > from {
            self.judge_surge(seen, &set, to, from);
            let flips = self.judge.lowered.get(&set) == Some(&now);
            if flips && !self.judge.meddled && self.judge.crashes == 0 {
                self.fail(format!("{} goes up again after it went down", name(after)));
            }
        }
        if to < from {
            let of = |pod: &&Arc<Value>| owner_uid(pod) == Some(set.as_str()) && is_active(pod);
            let active: Vec<_> = seen.pods.iter().filter(of).collect();
            let given_up: Vec<_> = active
                .iter()
                .filter(|pod| self.is_given_up(uid(pod)))
                .collect();
            let missing = (from - count(active.len())).max(0);
            let idle = active
                .iter()
                .filter(|pod| !is_ready(pod) && !self.is_given_up(uid(pod)));
            let allowed = count(given_up.len()) + missing + count(idle.count());
            if from - to > allowed {
                self.fail(format!(
                    "{} goes down by {} and {allowed} were given up",
                    name(after),
                    from - to
                ));
            }
            // There is no way back for what was given up before the spec became what it is.
            let owed = given_up
                .iter()
                .filter(|pod| self.judge.retired.get(uid(pod)).is_some_and(|at| *at < now));
            if from - to > count(owed.count()) && !self.makes_room(seen, after, to) {
                self.judge.lowered.insert(set, now);
            }
        }
    }

    /// The ReplicaSet would be beyond the bounds with one pod more, even beside the least old pods: after a change to a
    /// smaller size it makes room, and grows again with the rollout.
    fn makes_room(&self, seen: &Seen, set: &Value, to: i64) -> bool {
        let spec = &seen.object["spec"];
        let bounds = &spec["strategy"]["rollingUpdate"];
        let least = number(&spec["replicas"]) - number(&bounds["maxUnavailable"]);
        let most = number(&spec["replicas"]) + number(&bounds["maxSurge"]);
        let is_own = |pod: &&Arc<Value>| owner_uid(pod) == Some(uid(set));
        let (own, others): (Vec<_>, Vec<_>) = seen.pods.iter().partition(is_own);
        let own = own.iter().filter(|pod| self.is_available(pod)).count();
        let others = others.iter().filter(|pod| self.is_available(pod)).count();
        let old = (least - count(own)).clamp(0, count(others));
        to + 1 + old > most
    }

    /// Not more pods than may be, draining ones apart.
    pub(super) fn judge_surge(&mut self, seen: &Seen, raised: &str, to: i64, from: i64) {
        let spec = &seen.object["spec"];
        let surge = number(&spec["strategy"]["rollingUpdate"]["maxSurge"]);
        let most = number(&spec["replicas"]) + surge;
        let object = self.object();
        let drains = object.as_deref().map(drains).unwrap_or_default();
        let mut total = 0;
        let mut sets: Vec<_> = seen
            .sets
            .iter()
            .map(|set| (uid(set), replicas(set)))
            .collect();
        if !sets.iter().any(|(uid, _)| *uid == raised) {
            sets.push((raised, to));
        }
        for (set, replicas) in sets {
            let wanted = if set == raised { to } else { replicas };
            let of = |pod: &&Arc<Value>| owner_uid(pod) == Some(set) && is_active(pod);
            let active = seen.pods.iter().filter(of).count();
            let live = seen.pods.iter().filter(of);
            let live = live.filter(|pod| !drains.contains_key(uid(pod))).count();
            total += count(live) + (wanted - count(active)).max(0);
        }
        if total > most && to > from && !self.judge.meddled {
            self.fail(format!("{total} pods of at most {most}"));
        }
    }
}

fn generation(seen: &Seen) -> i64 {
    number(&seen.object["metadata"]["generation"])
}
