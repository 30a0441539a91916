//! The one ledger: how many pods may be made, taken out of service, or drained at the same time.
//!
//! Opened once per plan and spent by every step, so that no two steps spend the same room
//! (argo-rollouts#4221 lost availability to a restart and a scale-down that each looked for
//! themselves).

use super::observation::{Observation, Pod, Revision};
use super::target::{ReplacementPolicy, Target};
use crate::api::v1alpha1::{DrainCause, DrainWay};

/// Counts of one observation and what they leave room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Pods in service, and sure to stay.
    pub available: u32,
    /// Pods that are, or are asked to be, neither draining nor terminating: available and starting.
    pub total: u32,
    /// Of these, the wanted revision's.
    pub updated: u32,
    /// Pods whose drain is remembered and that are not being deleted.
    pub draining: u32,
    /// Pods that are being deleted.
    pub terminating: u32,
    /// Least pods in service: replicas − maxUnavailable.
    pub minimum: u32,
    /// Most pods: replicas + maxSurge.
    pub maximum: u32,
    /// Pods that may be made.
    pub create: u32,
    /// Pods in service that may be taken out.
    pub withdraw: u32,
    /// Old pods that may go without harm to the availability that could be reached again: those out
    /// of service, where the old pods alone could still make up the minimum with the available new
    /// ones. Deployment's `maxCleanupCount` (rolling.go): it keeps a bad revision from costing old
    /// pods that are only unready for a moment.
    pub clean_up: u32,
    /// Pods in service that may begin to drain.
    pub drain: u32,
}

impl Budget {
    /// Counts, and works out the room.
    #[must_use]
    pub fn open(observation: &Observation, target: &Target) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let is_available = |pod: &&Pod| {
            observation.is_available(pod, target.min_ready)
                && observation.unsure_until(pod).is_none()
        };
        let total = observation
            .revisions
            .iter()
            .map(|revision| expected(observation, revision))
            .sum();
        let updated = observation.updated();
        let updated_total = updated.map_or(0, |revision| expected(observation, revision));
        let updated_available = updated.map_or(0, |revision| {
            count(observation.active_of(revision).filter(is_available).count())
        });
        let available = count(observation.active().filter(is_available).count());
        let draining = count(
            observation
                .active()
                .filter(|pod| observation.drain_of(pod).is_some())
                .count(),
        );
        let terminating = count(
            observation
                .pods
                .iter()
                .filter(|pod| pod.terminating)
                .count(),
        );
        let minimum = target.replicas.saturating_sub(target.max_unavailable);
        let maximum = target.replicas.saturating_add(target.max_surge);
        let leaving = match target.replacement {
            ReplacementPolicy::DrainStarted => 0,
            ReplacementPolicy::TerminationComplete => draining + terminating,
        };
        let new_unavailable = updated_total.saturating_sub(updated_available);
        Self {
            available,
            total,
            updated: updated_total,
            draining,
            terminating,
            minimum,
            maximum,
            create: maximum.saturating_sub(total).saturating_sub(leaving),
            withdraw: available.saturating_sub(minimum),
            clean_up: total
                .saturating_sub(new_unavailable)
                .saturating_sub(minimum),
            drain: target
                .max_draining
                .saturating_sub(count(at_work(observation))),
        }
    }

    /// Takes a pod out that is not in service. False where that would go too far.
    pub(super) fn spend_clean_up(&mut self, cause: DrainCause) -> bool {
        let granted = self.has_spare(cause);
        if granted {
            self.leave();
        }
        granted
    }

    /// Takes a ready pod out; `costs_service` where it is in service, or may be. False where that would go
    /// too far.
    pub(super) fn spend_withdrawal(&mut self, costs_service: bool, cause: DrainCause) -> bool {
        let granted =
            self.drain > 0 && self.has_spare(cause) && (!costs_service || self.withdraw > 0);
        if granted {
            self.drain -= 1;
            if costs_service {
                self.withdraw -= 1;
                self.available -= 1;
            }
            self.leave();
        }
        granted
    }

    /// Old pods in service that may yet be taken out.
    pub(super) fn old_to_withdraw(&self) -> u32 {
        let old = self.total.saturating_sub(self.updated);
        old.min(self.clean_up).min(self.withdraw)
    }

    /// So many pods are made, or wanted again: those exist, but take room like others.
    pub(super) fn make(&mut self, count: u32, is_updated: bool) {
        self.total += count;
        self.updated += if is_updated { count } else { 0 };
        self.create = self.create.saturating_sub(count);
    }

    /// A surplus pod is not needed to make up the minimum: as many as are wanted stay.
    fn has_spare(&self, cause: DrainCause) -> bool {
        match cause {
            DrainCause::Rollout => self.clean_up > 0,
            DrainCause::ScaleDown => true,
        }
    }

    fn leave(&mut self) {
        self.clean_up = self.clean_up.saturating_sub(1);
        self.total = self.total.saturating_sub(1);
    }
}

/// Pods that a revision is expected to have in service: active ones without a drain, and those that
/// its ReplicaSet has still to make.
pub(super) fn expected(observation: &Observation, revision: &Revision) -> u32 {
    let (mut active, mut live) = (0_u32, 0_u32);
    for pod in observation.active_of(revision) {
        active += 1;
        live += u32::from(observation.drain_of(pod).is_none());
    }
    live + revision.replicas.saturating_sub(active)
}

/// Drains that reconnecting clients would notice: pods withdrawn by readiness, and pods that drain in
/// their preStop hook while still ready.
fn at_work(observation: &Observation) -> usize {
    observation
        .pods
        .iter()
        .filter(
            |pod| match observation.drain_of(pod).map(|drain| drain.way) {
                Some(DrainWay::Readiness) => !pod.terminating,
                Some(DrainWay::Termination) => pod.is_ready(),
                None => false,
            },
        )
        .count()
}
