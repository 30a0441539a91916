//! Revisions: what their new pods are born with, their numbers, and how many old ones are kept.

use super::observation::{Observation, Revision};
use super::plan::{Action, Draft};
use super::target::Target;

/// Brings the injected parts of ReplicaSets and the settings of running pods up to date. No pod is
/// replaced for it.
pub(super) fn refresh(observation: &Observation, target: &Target, draft: &mut Draft) {
    for revision in &observation.revisions {
        if draft.scales(revision) {
            // One write at a time: the second would meet a conflict.
            continue;
        }
        let is_wanted = revision.name == observation.wanted.name;
        let is_configured = revision.config == target.drain_settings;
        let number = observation.next_number();
        if is_wanted {
            let is_fresh = revision.injected == observation.wanted.injected
                && is_configured
                && revision.is_current;
            // A revision that is wanted again becomes the newest (as in Deployment's rollback).
            let is_newest = revision.number + 1 == number;
            if !(is_fresh && is_newest) {
                let number = if is_newest { revision.number } else { number };
                draft.actions.push(Action::RefreshReplicaSet {
                    replica_set: revision.into(),
                    number,
                });
            } else if !revision.is_recorded {
                let number = revision.number;
                draft.actions.push(Action::RecordRevision {
                    replica_set: revision.into(),
                    number,
                });
            }
        } else if !is_configured && revision.replicas > 0 && !revision.injected.is_empty() {
            draft.actions.push(Action::ConfigureReplicaSet {
                replica_set: revision.into(),
            });
        }
    }
    for pod in observation.active() {
        if pod.agent.present && pod.config != target.drain_settings && !draft.writes(pod) {
            draft.actions.push(Action::ConfigurePod { pod: pod.into() });
        }
    }
}

/// Deletes empty old ReplicaSets beyond the limit, the oldest first, once the rollout is over.
pub(super) fn prune(observation: &Observation, target: &Target, draft: &mut Draft) {
    let old = observation.old();
    let is_empty = |revision: &Revision| {
        revision.replicas == 0
            && revision.counted == 0
            && revision.settled
            && observation.pods.iter().all(|pod| pod.owner != revision.uid)
    };
    if target.paused
        || observation.updated().is_none()
        || !old.iter().all(|revision| is_empty(revision))
    {
        return;
    }
    let beyond = old.len().saturating_sub(target.history_limit);
    for revision in old.into_iter().take(beyond) {
        draft.actions.push(Action::DeleteReplicaSet {
            replica_set: revision.into(),
        });
    }
}

impl Observation {
    /// The number after the highest one.
    pub(super) fn next_number(&self) -> i64 {
        self.revisions
            .iter()
            .map(|revision| revision.number)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// The revision that takes new pods: the wanted one; while paused, and before that exists, the
    /// newest.
    pub(super) fn lead(&self, target: &Target) -> Option<&Revision> {
        self.updated().or_else(|| {
            self.revisions
                .iter()
                .filter(|_| target.paused)
                .max_by_key(|revision| revision.number)
        })
    }
}
