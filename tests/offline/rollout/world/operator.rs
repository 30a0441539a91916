//! The operator's hands: writes the status first, then carries the actions out one by one, each only on
//! the version that was seen, and can crash between any two.

use graceful::api::reason::Reason;
use graceful::api::v1alpha1::{DrainRecord, GracefulDeploymentStatus};
use graceful::api::{COST_DRAINING, COST_NEXT};
use graceful::rollout::{ObjectRef, Plan, Request, plan};

use super::super::fixtures::revision;
use super::cluster::bump;
use super::{Action, Event, World, at_milliseconds};

impl World {
    /// Plans and writes until there is nothing to write.
    pub(super) fn reconcile(&mut self) {
        /// More rounds at one time are a loop.
        const ROUNDS: usize = 200;
        for _ in 0..ROUNDS {
            let seen = self.see();
            let plan = plan(&seen);
            let is_quiet = plan.actions.is_empty()
                && plan
                    .status
                    .as_ref()
                    .is_none_or(|status| *status == self.status);
            if is_quiet {
                self.is_honest(&plan);
                if let Some(wake) = plan.wake {
                    let delay = wake.as_millisecond() - self.time().as_millisecond();
                    self.schedule(delay.max(1), Event::Wake);
                }
                return;
            }
            if !self.carry_out(plan) {
                // A conflict is a reason to look again, once there is something new to see.
                self.schedule(20, Event::Wake);
                return;
            }
            self.pass(0);
        }
        self.fail("the operator never rests");
    }

    fn is_honest(&self, plan: &Plan) {
        if !self.is_complete()
            && plan.holds.is_empty()
            && self.generation == self.status.observed_generation
        {
            self.fail("short of the target without a hold");
        }
    }

    /// False where an object was another one than was seen.
    fn carry_out(&mut self, plan: Plan) -> bool {
        if let Some(status) = plan.status
            && status != self.status
        {
            if self.crashes() {
                return true;
            }
            if remembers(&status) == remembers(&self.status) {
                self.writes.counts += 1;
            } else {
                self.writes.memory += 1;
            }
            self.status = status;
            for event in plan.events {
                self.say(&format!("event: {} {}", event.reason, event.message));
                self.spare += usize::from(event.reason == Reason::DrainCancelled);
                self.told
                    .push(format!("{}: {}", event.reason, event.message));
            }
            self.pass(self.pace.write);
        }
        for action in plan.actions {
            if self.crashes() {
                return true;
            }
            if !self.act(&action) {
                return false;
            }
            self.check();
            self.remember_view();
            self.pass(self.pace.write);
        }
        true
    }

    /// The operator dies here and is back three seconds later.
    fn crashes(&mut self) -> bool {
        let crashes = self.crash_after == Some(0);
        self.crash_after = match self.crash_after {
            Some(0) | None => None,
            Some(left) => Some(left - 1),
        };
        if crashes {
            self.say("operator: crashes");
            self.pass(3000);
        }
        crashes
    }

    /// One call. False where the object is another one by now.
    fn act(&mut self, action: &Action) -> bool {
        self.say(&format!("operator: {action:?}"));
        match action {
            Action::CreateReplicaSet {
                name,
                number,
                replicas,
            } => {
                if self.sets.iter().any(|set| set.name == *name) {
                    return false;
                }
                self.writes.sets += 1;
                let mut set = revision(name, *number, *replicas);
                set.settled = false;
                (set.counted, set.counted_ready, set.counted_labelled) = (0, 0, Some(0));
                set.is_recorded = false;
                set.sized_for = Some(self.target.size());
                set.config.clone_from(&self.target.drain_settings);
                self.sets.push(set);
                self.schedule(self.pace.controller, Event::Sync(name.clone()));
                true
            }
            Action::RecordRevision { replica_set, .. } => {
                let recorded = self.sets.iter_mut().find(|set| set.uid == replica_set.uid);
                recorded.is_some_and(|set| {
                    set.is_recorded = true;
                    true
                })
            }
            Action::RefreshReplicaSet {
                replica_set,
                number,
            } => {
                let (injected, config) = (
                    self.wanted.injected.clone(),
                    self.target.drain_settings.clone(),
                );
                self.write_set(replica_set, |set| {
                    set.number = *number;
                    set.injected = injected;
                    set.config = config;
                })
            }
            Action::ConfigureReplicaSet { replica_set } => {
                let config = self.target.drain_settings.clone();
                self.write_set(replica_set, |set| set.config = config)
            }
            Action::ScaleReplicaSet {
                replica_set,
                to,
                sized_for,
                ..
            } => self.write_set(replica_set, |set| {
                set.replicas = *to;
                set.sized_for = sized_for.or(set.sized_for);
            }),
            Action::DeleteReplicaSet { replica_set } => {
                self.sets.retain(|set| set.uid != replica_set.uid);
                self.writes.sets += 1;
                true
            }
            _ => self.write_pod(action),
        }
    }

    fn write_set(
        &mut self,
        seen: &ObjectRef,
        change: impl FnOnce(&mut graceful::rollout::Revision),
    ) -> bool {
        let Some(set) = self.sets.iter_mut().find(|set| set.uid == seen.uid) else {
            return false;
        };
        if set.resource_version != seen.resource_version {
            return false;
        }
        change(set);
        set.settled = false;
        bump(set);
        self.writes.sets += 1;
        self.schedule(self.pace.controller, Event::Sync(seen.uid.clone()));
        true
    }

    fn write_pod(&mut self, action: &Action) -> bool {
        let (Action::RequestDrain { pod: seen, .. }
        | Action::CancelDrain { pod: seen }
        | Action::SetDeletionCost { pod: seen }
        | Action::ConfigurePod { pod: seen }
        | Action::DeletePod { pod: seen }) = action
        else {
            return false;
        };
        let uid = seen.uid.clone();
        let is_same = self
            .body(&uid)
            .is_some_and(|body| body.pod.resource_version == seen.resource_version);
        if !is_same {
            self.say(&format!("operator: conflict on {uid}"));
            return false;
        }
        self.writes.pods += 1;
        let settings = self.target.drain_settings.clone();
        let hear = self.pace.hear;
        let asked = self.time();
        match action {
            Action::RequestDrain { epoch, .. } => {
                let epoch = epoch.clone();
                self.touch(&uid, |body| {
                    body.pod.request = Some(Request {
                        epoch,
                        settings,
                        asked: Some(asked),
                    });
                    body.pod.is_marked = true;
                    body.pod.deletion_cost = COST_DRAINING;
                });
                self.schedule(hear, Event::Hear(uid));
            }
            Action::CancelDrain { .. } => {
                let now = at_milliseconds(self.now);
                self.touch(&uid, |body| {
                    body.pod.request = None;
                    body.pod.cancelled = Some(now);
                    body.pod.is_labelled = true;
                    body.pod.is_marked = false;
                    body.pod.deletion_cost = 0;
                });
                self.schedule(hear, Event::Hear(uid));
            }
            Action::SetDeletionCost { .. } => self.touch(&uid, |body| {
                body.pod.deletion_cost = COST_NEXT;
                body.pod.is_labelled = false;
                body.pod.is_marked = true;
            }),
            Action::DeletePod { .. } => {
                self.judge_leaving(&uid);
                self.spare += 1;
                self.delete(&uid, "the operator");
            }
            _ => self.touch(&uid, |body| body.pod.config = settings),
        }
        true
    }
}

/// What a status says beyond counts and messages.
fn remembers(status: &GracefulDeploymentStatus) -> (&[DrainRecord], Vec<(&str, &str, &str)>) {
    let conditions = status.conditions.iter().map(|known| {
        (
            known.type_.as_str(),
            known.status.as_str(),
            known.reason.as_str(),
        )
    });
    (&status.drains, conditions.collect())
}
