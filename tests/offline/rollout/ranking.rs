//! Whom a ReplicaSet deletes when it scales down: a model of pkg/controller/controller_utils.go
//! (`ActivePodsWithRanks`), all of its criteria, with chance where they are equal.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use graceful::rollout::{Phase, Pod, Readiness};
use jiff::Timestamp;

/// The pods in the order in which their ReplicaSet deletes them. `chance` stands for what the planner
/// cannot see: the age, and the order of equals.
pub(super) fn victims_first<'a>(pods: &[&'a Pod], mut chance: impl FnMut() -> u64) -> Vec<&'a Pod> {
    let mut crowd: BTreeMap<Option<&str>, u64> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.phase == Phase::Running) {
        *crowd.entry(pod.node.as_deref()).or_default() += 1;
    }
    let mut ranked: Vec<_> = pods
        .iter()
        .map(|pod| {
            let doubled_up = crowd.get(&pod.node.as_deref()).copied().unwrap_or(0);
            // Ready for less time goes first; among equals the one that restarted most, then chance.
            let ready_since = match pod.readiness {
                Readiness::NotReady => Timestamp::MAX,
                Readiness::Ready(since) => since,
            };
            let key = (
                (pod.node.is_some(), pod.phase, pod.is_ready()),
                pod.deletion_cost,
                Reverse(doubled_up),
                Reverse(ready_since),
                Reverse(pod.agent.restarts),
                chance(),
            );
            (key, *pod)
        })
        .collect();
    ranked.sort_by_key(|(key, _)| *key);
    ranked.into_iter().map(|(_, pod)| pod).collect()
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(super) fn chance(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
