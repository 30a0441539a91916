//! Which pods a ReplicaSet would delete first.
//!
//! The order is that of pkg/controller/controller_utils.go (`ActivePodsWithRanks`): unassigned,
//! Pending, not ready, lowest deletion cost, and then criteria that we never rely on (doubled up on a
//! node, restarts, age), because they change without us and are read from a cache that is not ours.

use super::observation::{Phase, Pod};

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
/// staying ones, whatever the criteria beyond the deletion cost say.
#[must_use]
pub fn leave_first(leaving: &[&Pod], staying: &[&Pod]) -> bool {
    let Some(last) = leaving.iter().map(|pod| rank(pod)).max() else {
        return true;
    };
    staying.iter().all(|pod| last < rank(pod))
}
