//! What a plan does to a cluster, worked out from the design and not from the planner's own counts:
//! who is in service, whom each ReplicaSet would delete, and how many pods there will be.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use graceful::api::COST_DRAINING;
use graceful::api::v1alpha1::{DrainEnd, DrainRecord, DrainWay};
use graceful::rollout::{Action, Observation, Plan, Pod, Readiness, Target};

use super::ranking::{chance, victims_first};

/// A plan beside what it was made from.
pub(super) struct Judge<'a> {
    pub(super) seen: &'a Observation,
    pub(super) plan: &'a Plan,
    pub(super) target: &'a Target,
    /// UIDs that ReplicaSets delete because of this plan.
    pub(super) victims: BTreeSet<&'a str>,
}

impl<'a> Judge<'a> {
    /// `luck` decides what the planner cannot see: the order of a ReplicaSet's equals.
    pub(super) fn new(
        seen: &'a Observation,
        plan: &'a Plan,
        target: &'a Target,
        luck: u64,
    ) -> Self {
        let mut victims = BTreeSet::new();
        for action in &plan.actions {
            let Action::ScaleReplicaSet {
                replica_set,
                from,
                to,
                ..
            } = action
            else {
                continue;
            };
            if to >= from {
                continue;
            }
            let active: Vec<_> = seen
                .active()
                .filter(|pod| pod.owner == replica_set.uid)
                .collect();
            let doomed = active.len().saturating_sub(*to as usize);
            let overtaken: Vec<_> = active.iter().map(|pod| overtake(seen, pod, luck)).collect();
            let order = victims_first(&overtaken.iter().collect::<Vec<_>>(), chance(luck));
            let first: BTreeSet<_> = order.iter().take(doomed).map(|pod| &pod.uid).collect();
            let of = active.iter().filter(|pod| first.contains(&pod.uid));
            victims.extend(of.map(|pod| pod.uid.as_str()));
        }
        Self {
            seen,
            plan,
            target,
            victims,
        }
    }

    /// The drains that the plan remembers.
    fn remembered(&self) -> &[DrainRecord] {
        match &self.plan.status {
            Some(status) => &status.drains,
            None => &self.seen.previous.drains,
        }
    }

    pub(super) fn remembers(&self, pod: &Pod) -> bool {
        self.remembered().iter().any(|drain| drain.uid == pod.uid)
    }

    /// The pod will not go on serving: it leaves already, or is about to be made not ready.
    pub(super) fn is_out(&self, pod: &Pod) -> bool {
        let by_readiness =
            |drain: &DrainRecord| drain.uid == pod.uid && drain.way == DrainWay::Readiness;
        self.remembered_before(pod).is_some() || self.remembered().iter().any(by_readiness)
    }

    pub(super) fn remembered_before(&self, pod: &Pod) -> Option<&DrainRecord> {
        self.seen
            .previous
            .drains
            .iter()
            .find(|drain| drain.uid == pod.uid)
    }

    /// Pods whose drain begins with this plan.
    pub(super) fn newly_draining(&self) -> impl Iterator<Item = &Pod> {
        self.seen
            .active()
            .filter(|pod| self.remembers(pod) && self.remembered_before(pod).is_none())
    }

    fn is_deleted(&self, pod: &Pod) -> bool {
        let by_name =
            |action: &Action| matches!(action, Action::DeletePod { pod: it } if it.uid == pod.uid);
        self.victims.contains(pod.uid.as_str()) || self.plan.actions.iter().any(by_name)
    }

    /// Pods that the plan deletes, by their ReplicaSet or by name.
    pub(super) fn deleted(&self) -> impl Iterator<Item = &Pod> {
        self.seen.active().filter(|pod| self.is_deleted(pod))
    }

    pub(super) fn is_named_ready(&self, pod: &Pod) -> bool {
        let names = |service: &graceful::rollout::Service| {
            service.ready.iter().any(|endpoint| endpoint.id == pod.uid)
        };
        self.seen
            .services
            .iter()
            .any(|service| !service.publishes_not_ready && names(service))
    }

    /// Ready for minReadySeconds, named ready by all its Services, neither draining nor terminating.
    pub(super) fn is_available_before(&self, pod: &Pod) -> bool {
        let is_ripe = match pod.readiness {
            Readiness::Ready(since) => {
                self.seen.now.duration_since(since) >= signed(self.target.min_ready)
            }
            Readiness::NotReady => false,
        };
        let is_named = self.seen.services.iter().all(|service| {
            !service.selects.contains(&pod.uid)
                || service.ready.iter().any(|endpoint| endpoint.id == pod.uid)
        });
        let is_asked = pod.request.is_some() || self.remembered_before(pod).is_some();
        let is_sure = pod.cancelled.is_none_or(|cancelled| {
            !(0..5).contains(&self.seen.now.duration_since(cancelled).as_secs())
        });
        is_ripe && is_named && !pod.terminating && !is_asked && is_sure
    }

    pub(super) fn available_before(&self) -> usize {
        let seen = self.seen.active();
        seen.filter(|pod| self.is_available_before(pod)).count()
    }

    /// What is left of the available pods; those that become available are not counted on.
    pub(super) fn available_after(&self) -> usize {
        let asked = |pod: &Pod| {
            self.plan.actions.iter().any(
                |action| matches!(action, Action::RequestDrain { pod: it, .. } if it.uid == pod.uid),
            )
        };
        let stays = |pod: &&Pod| {
            self.is_available_before(pod)
                && !self.remembers(pod)
                && !self.is_deleted(pod)
                && !asked(pod)
        };
        self.seen.active().filter(stays).count()
    }

    /// Pods that there are, or will be, neither draining nor terminating, once the plan is carried out.
    pub(super) fn total_after(&self) -> usize {
        let mut total = 0;
        for revision in &self.seen.revisions {
            let scaled = self.plan.actions.iter().find_map(|action| match action {
                Action::ScaleReplicaSet {
                    replica_set, to, ..
                } if replica_set.uid == revision.uid => Some(*to),
                _ => None,
            });
            let replicas = scaled.unwrap_or(revision.replicas) as usize;
            let active: Vec<_> = self.seen.active_of(revision).collect();
            let live = active
                .iter()
                .filter(|pod| !self.remembers(pod) && !self.is_deleted(pod))
                .count();
            total += live + replicas.saturating_sub(active.len());
        }
        total + self.created_sets()
    }

    fn created_sets(&self) -> usize {
        let pods = |action: &Action| match action {
            Action::CreateReplicaSet { replicas, .. } => *replicas as usize,
            _ => 0,
        };
        self.plan.actions.iter().map(pods).sum()
    }

    /// The plan asks for pods that were not asked for before.
    pub(super) fn makes_pods(&self) -> bool {
        let grows = |action: &Action| matches!(action, Action::ScaleReplicaSet { from, to, .. } if to > from);
        self.created_sets() > 0 || self.plan.actions.iter().any(grows)
    }

    /// Pods that are leaving once the plan is carried out.
    pub(super) fn leaving_after(&self) -> usize {
        let is_leaving = |pod: &&Pod| pod.terminating || self.remembers(pod);
        self.seen.pods.iter().filter(is_leaving).count()
    }

    /// Drains that clients notice, once the plan is carried out.
    pub(super) fn noticed_drains_after(&self) -> usize {
        let is_noticed = |pod: &&Pod| {
            let drain = self.remembered().iter().find(|drain| drain.uid == pod.uid);
            match drain.map(|drain| drain.way) {
                Some(DrainWay::Readiness) => !pod.terminating,
                Some(DrainWay::Termination) => pod.is_ready(),
                None => false,
            }
        };
        self.seen.pods.iter().filter(is_noticed).count()
    }

    /// The pod's remembered drain allows to take it out for good.
    pub(super) fn may_leave(&self, pod: &Pod) -> bool {
        let Some(drain) = self.remembered_before(pod) else {
            return false;
        };
        let had_its_least = drain.withdrawn.as_ref().is_some_and(|withdrawn| {
            self.seen.now.duration_since(withdrawn.0) >= signed(self.target.drain_min)
        });
        match (drain.way, drain.outcome) {
            (DrainWay::Termination, _) | (_, Some(DrainEnd::Silent | DrainEnd::NodeLost)) => true,
            (DrainWay::Readiness, None) => false,
            (DrainWay::Readiness, Some(_)) => had_its_least && !self.is_named_ready(pod),
        }
    }

    /// The plan and its reasons, to be read by a person.
    pub(super) fn trace(&self) -> String {
        let mut text = String::new();
        let seen = self.seen;
        let _ = writeln!(text, "target {:?}", self.target);
        for revision in &seen.revisions {
            let _ = writeln!(
                text,
                "  {} #{} replicas {} counted {}/{} settled {}",
                revision.name,
                revision.number,
                revision.replicas,
                revision.counted_ready,
                revision.counted,
                revision.settled
            );
        }
        for pod in &seen.pods {
            let _ = writeln!(
                text,
                "  {} of {} {:?} {:?} terminating {} cost {} agent {}/{} available {} asked {:?}\n      {:?}",
                pod.name,
                pod.owner,
                pod.phase,
                pod.readiness,
                pod.terminating,
                pod.deletion_cost,
                pod.agent.running,
                pod.agent.ready,
                self.is_available_before(pod),
                pod.request,
                self.remembered_before(pod),
            );
        }
        for service in &seen.services {
            let _ = writeln!(text, "  {service:?}");
        }
        let _ = writeln!(text, "actions {:#?}", self.plan.actions);
        let _ = writeln!(
            text,
            "holds {:?}\nwake {:?}",
            self.plan.holds, self.plan.wake
        );
        let _ = writeln!(text, "drains {:#?}", self.remembered());
        text
    }
}

/// The pod as its ReplicaSet's controller may see it: one that drains turns NotReady at any moment.
fn overtake(seen: &Observation, pod: &Pod, luck: u64) -> Pod {
    let mut pod = pod.clone();
    let drains = seen.previous.drains.iter().any(|drain| {
        drain.uid == pod.uid && drain.way == DrainWay::Readiness && drain.retired.is_none()
    });
    if drains && luck.is_multiple_of(2) {
        pod.readiness = Readiness::NotReady;
        pod.deletion_cost = pod.deletion_cost.min(COST_DRAINING);
    }
    pod
}

fn signed(length: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(length).unwrap_or(jiff::SignedDuration::MAX)
}
