//! Whose ReplicaSets change hands: those that match and have no owner are adopted, and those that match
//! no longer are released, as Deployment does (ControllerRefManager in pkg/controller). No pod is touched.

use super::observation::Observation;
use super::plan::{Action, Draft, Hold};
use crate::api::reason::Reason;

/// Adopts and releases. True where there is something to wait for: while it is open whose a pod is,
/// nothing is made and nothing is withdrawn, or an adopted pod would be replaced by a newer one that
/// nobody needs.
pub(super) fn claim(observation: &Observation, draft: &mut Draft) -> bool {
    let claims = &observation.claims;
    for set in &claims.release {
        let pods = observation.active().filter(|pod| pod.owner == set.uid);
        for pod in pods.filter(|pod| observation.drain_of(pod).is_some()) {
            draft.forget(pod);
            let message = format!(
                "drain of {} is cancelled: its ReplicaSet is released",
                pod.name
            );
            draft.tell(false, Reason::DrainCancelled, message);
        }
        let replica_set = set.clone();
        draft
            .actions
            .push(Action::ReleaseReplicaSet { replica_set });
    }
    for set in &claims.adopt {
        let replica_set = set.clone();
        draft.actions.push(Action::AdoptReplicaSet { replica_set });
    }
    let all = claims.release.iter().chain(&claims.adopt);
    let holds = all.map(|set| Hold::Claiming {
        replica_set: set.name.clone(),
    });
    let before = draft.holds.len();
    draft.holds.extend(holds);
    draft.holds.len() > before
}
