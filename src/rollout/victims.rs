//! Which pods a ReplicaSet would delete first.
//!
//! The order is that of pkg/controller/controller_utils.go (`ActivePodsWithRanks`): unassigned,
//! Pending, not ready, lowest deletion cost, and then criteria that we never rely on (doubled up on a
//! node, restarts, age), because they change without us and are read from a cache that is not ours.

use super::observation::{Phase, Pod};
use crate::api::COST_DRAINING;

/// The criteria that we rely on; the smallest goes first.
fn rank(pod: &Pod) -> (bool, Phase, bool, i32) {
    (
        pod.node.is_some(),
        pod.phase,
        pod.is_ready(),
        pod.deletion_cost,
    )
}

/// A ReplicaSet that has to choose among these pods takes all of the leaving ones before any of the
/// staying ones, whatever the criteria beyond the deletion cost say. A staying pod that drains may
/// turn NotReady, and carry the cost of it, before the ReplicaSet's controller gets to choose.
#[must_use]
pub fn leave_first(leaving: &[&Pod], staying: &[&Pod], is_draining: impl Fn(&Pod) -> bool) -> bool {
    let Some(last) = leaving.iter().map(|pod| rank(pod)).max() else {
        return true;
    };
    staying.iter().all(|pod| {
        let (is_scheduled, phase, is_ready, cost) = rank(pod);
        let soonest = if is_draining(pod) {
            (is_scheduled, phase, false, cost.min(COST_DRAINING))
        } else {
            (is_scheduled, phase, is_ready, cost)
        };
        last < soonest
    })
}
