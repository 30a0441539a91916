//! Which pods a ReplicaSet would delete first.
//!
//! The order is that of pkg/controller/controller_utils.go (`ActivePodsWithRanks`): unassigned,
//! Pending, not ready, lowest deletion cost, and then criteria that we never rely on (doubled up on a
//! node, restarts, age), because they change without us and are read from a cache that is not ours.

use super::observation::{Phase, Pod};
use crate::api::COST_DRAINING;
use crate::api::v1alpha1::DrainWay;

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
/// staying ones, whatever the criteria beyond the deletion cost say. Nor may it take a staying one that
/// serves or drains, whatever becomes of the pods before its controller gets to choose: that one may turn
/// NotReady and carry the cost of it, a leaving one that no agent withdrew may turn Ready, and a
/// Pending one start. (Pending and Ready are too far apart: else its Pending replacement, which goes
/// first, could never be told from it.)
#[must_use]
pub fn leave_first(
    leaving: &[&Pod],
    staying: &[&Pod],
    way: impl Fn(&Pod) -> Option<DrainWay>,
) -> bool {
    let latest = |pod: &Pod| match way(pod) {
        Some(DrainWay::Termination) => {
            let is_ready = pod.phase != Phase::Pending;
            (true, Phase::Running, is_ready, pod.deletion_cost)
        }
        Some(DrainWay::Readiness) | None => rank(pod),
    };
    let (Some(last), Some(very_last)) = (
        leaving.iter().map(|pod| rank(pod)).max(),
        leaving.iter().map(|pod| latest(pod)).max(),
    ) else {
        return true;
    };
    staying.iter().all(|pod| {
        let (is_scheduled, phase, _, cost) = rank(pod);
        match way(pod) {
            Some(_) => very_last < (is_scheduled, phase, false, cost.min(COST_DRAINING)),
            // One that is about to turn Ready must not stand beside one that serves.
            None if pod.is_ready() => very_last < rank(pod),
            None => last < rank(pod),
        }
    })
}

/// It is the deletion cost that puts a leaving pod before a staying one. A ReplicaSet's controller says
/// nothing by which one could tell that it has seen a cost.
#[must_use]
pub(super) fn rests_on_cost(
    leaving: &[&Pod],
    staying: &[&Pod],
    way: impl Fn(&Pod) -> Option<DrainWay>,
) -> bool {
    let state = |pod: &Pod| (pod.node.is_some(), pod.phase, pod.is_ready());
    let Some(last) = leaving.iter().map(|pod| state(pod)).max() else {
        return false;
    };
    staying.iter().any(|pod| {
        let (is_scheduled, phase, is_ready) = state(pod);
        last >= (is_scheduled, phase, is_ready && way(pod).is_none())
    })
}
