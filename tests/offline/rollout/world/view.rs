//! What the operator sees of the cluster: each kind of object as old as its watch lags.

use std::collections::BTreeSet;

use graceful::rollout::{Endpoint, Observation, Pod, Revision};

use super::super::fixtures::{observation, service};
use super::{Event, World};

/// The cluster at one moment.
#[derive(Clone)]
pub(super) struct View {
    pub(super) at: i64,
    pub(super) pods: Vec<Pod>,
    pub(super) sets: Vec<Revision>,
    pub(super) named: BTreeSet<String>,
}

impl World {
    pub(in crate::rollout) fn see(&mut self) -> Observation {
        let mut seen = observation(self.target.clone(), self.time());
        seen.entropy = self.chance();
        seen.generation = self.generation;
        seen.wanted = self.wanted.clone();
        if let Some(collisions) = self.status.collision_count {
            seen.wanted.name = format!("{}-{collisions}", self.wanted.name);
        }
        seen.wanted.name_taken = self.taken.contains(&seen.wanted.name);
        let view = self.view();
        seen.revisions = view.sets;
        // As `observe` does: a pod is ours by its ReplicaSet.
        seen.pods = view.pods;
        seen.pods
            .retain(|pod| seen.revisions.iter().any(|set| set.uid == pod.owner));
        let mut web = service("web");
        for pod in &seen.pods {
            web.selects.insert(pod.uid.clone());
            if view.named.contains(&pod.uid) {
                web.ready.push(Endpoint {
                    id: pod.uid.clone(),
                    node: pod.node.clone(),
                });
            }
        }
        seen.services.push(web);
        seen.previous = self.status.clone();
        seen
    }

    /// What the operator sees now: each kind as old as its watch.
    fn view(&self) -> View {
        let current = View {
            at: self.now,
            pods: self.bodies.iter().map(|body| body.pod.clone()).collect(),
            sets: self.sets.clone(),
            named: self.named.clone(),
        };
        let at = |lag: i64| {
            let seen = |view: &&View| lag > 0 && view.at <= self.now - lag;
            let old = self.past.iter().rev().find(seen);
            if lag == 0 {
                &current
            } else {
                old.or(self.past.front()).unwrap_or(&current)
            }
        };
        let [pods, sets, slices] = self.lag;
        View {
            at: self.now,
            pods: at(pods).pods.clone(),
            sets: at(sets).sets.clone(),
            named: at(slices).named.clone(),
        }
    }

    pub(super) fn remember_view(&mut self) {
        let longest = self.lag.into_iter().max().unwrap_or(0);
        if longest == 0 {
            return;
        }
        for lag in self.lag {
            self.counter += 1;
            self.queue
                .insert((self.now + lag, self.counter), Event::Look);
        }
        let lag = std::mem::take(&mut self.lag);
        let view = self.view();
        self.lag = lag;
        self.past.push_back(view);
        while self
            .past
            .get(1)
            .is_some_and(|next| next.at <= self.now - longest)
        {
            self.past.pop_front();
        }
    }
}
