//! Kubelets and agents: pods start, hear, withdraw, finish, report and exit.

use graceful::api::receipt::{MeasuredBy, Outcome, Receipt};
use graceful::api::v1alpha1::{DrainEnd, DrainWay};
use graceful::rollout::{ConditionStatus, Overdue, Phase, Readiness};

use super::super::fixtures::PodSentence;
use super::{Body, Event, Fault, World};

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake | Event::Look => {}
            Event::Sync(set) => self.sync_set(&set),
            Event::Slices(pod) => self.follow_pod(&pod),
            Event::Schedule(pod) => {
                let node = format!("node-{}", self.chance() % 3);
                self.touch(&pod, |body| body.pod.node = Some(node));
            }
            Event::Run(pod) => {
                if self.lives(&pod) {
                    self.touch(&pod, |body| body.pod.phase = Phase::Running);
                }
            }
            Event::Start(pod) => self.start(&pod),
            Event::Hear(pod) => self.hear(&pod),
            Event::Withdraw(pod, epoch) => self.withdraw(&pod, &epoch),
            Event::Finish(pod, epoch) => self.finish(&pod, &epoch),
            Event::Publish(pod, epoch) => self.publish(&pod, &epoch),
            Event::AgentBack(pod) => {
                self.touch(&pod, |body| body.pod.agent.running = true);
                self.schedule(self.pace.withdraw, Event::Serve(pod));
            }
            Event::Serve(pod) => self.serve(&pod),
            Event::Gone(pod) => self.remove(&pod),
        }
    }

    pub(in crate::rollout) fn body(&self, uid: &str) -> Option<&Body> {
        self.bodies.iter().find(|body| body.pod.uid == uid)
    }

    /// Changes a pod; whoever watches it hears of it.
    pub(super) fn touch(&mut self, uid: &str, change: impl FnOnce(&mut Body)) {
        let Some(body) = self.bodies.iter_mut().find(|body| body.pod.uid == uid) else {
            return;
        };
        change(body);
        body.version += 1;
        body.pod.resource_version = body.version.to_string();
        let owner = body.pod.owner.clone();
        self.schedule(self.pace.controller, Event::Sync(owner));
        self.schedule(self.pace.slices, Event::Slices(uid.into()));
    }

    /// The pod's kubelet can still do something for it.
    fn lives(&self, uid: &str) -> bool {
        self.body(uid)
            .is_some_and(|body| !body.pod.terminating && !body.pod.node_lost)
    }

    fn start(&mut self, uid: &str) {
        if !self.lives(uid) {
            return;
        }
        let since = self.time();
        self.touch(uid, |body| {
            let mut pod = body.pod.clone().running();
            match body.fault {
                Some(Fault::NeverReady) => pod.trouble = "CrashLoopBackOff".into(),
                Some(Fault::NoAgent) => {
                    pod.agent = graceful::rollout::Agent::default();
                    pod.readiness = Readiness::Ready(since);
                }
                _ => pod.readiness = Readiness::Ready(since),
            }
            body.pod = pod;
        });
    }

    /// The agent reads its annotation.
    fn hear(&mut self, uid: &str) {
        let Some(body) = self.body(uid) else { return };
        let (asked, heard) = (body.pod.request.clone(), body.heard.clone());
        if !self.lives(uid) || !body.pod.agent.running || body.fault == Some(Fault::Deaf) {
            return;
        }
        match asked {
            Some(request) if heard.as_ref() != Some(&request.epoch) => {
                self.say(&format!("{uid}: hears {}", request.epoch));
                let (withdraw, finish) = (self.pace.withdraw, self.pace.withdraw + self.pace.least);
                let epoch = request.epoch;
                let now = self.now;
                self.touch(uid, |body| {
                    body.heard = Some(epoch.clone());
                    body.drains_since.get_or_insert(now);
                });
                let since = self.body(uid).and_then(|body| body.drains_since);
                let rest = since.unwrap_or(now) + self.pace.work - now;
                let timeout = i64::try_from(self.target.drain_timeout.as_millis());
                let end = rest.min(timeout.unwrap_or(i64::MAX)).max(finish);
                self.schedule(withdraw, Event::Withdraw(uid.into(), epoch.clone()));
                self.schedule(end, Event::Finish(uid.into(), epoch));
            }
            None if heard.is_some() => {
                self.touch(uid, |body| body.heard = None);
                self.schedule(self.pace.withdraw, Event::Serve(uid.into()));
            }
            _ => {}
        }
    }

    fn is_at(&self, uid: &str, epoch: &str) -> bool {
        let body = self.body(uid);
        self.lives(uid) && body.is_some_and(|body| body.heard.as_deref() == Some(epoch))
    }

    fn withdraw(&mut self, uid: &str, epoch: &str) {
        if self.is_at(uid, epoch) {
            self.touch(uid, |body| {
                body.pod.agent.ready = false;
                body.pod.readiness = Readiness::NotReady;
            });
        }
    }

    fn finish(&mut self, uid: &str, epoch: &str) {
        let is_silent = self
            .body(uid)
            .is_some_and(|body| body.fault == Some(Fault::Silent));
        if self.is_at(uid, epoch) && !is_silent {
            let (now, work) = (self.now, self.pace.work);
            let since = self.body(uid).and_then(|body| body.drains_since);
            let is_over = since.is_none_or(|since| now >= since + work);
            self.say(&format!("{uid}: work is over: {is_over}"));
            self.touch(uid, |body| body.is_finished = is_over);
            self.schedule(self.pace.publish, Event::Publish(uid.into(), epoch.into()));
        }
    }

    fn publish(&mut self, uid: &str, epoch: &str) {
        if !self.is_at(uid, epoch) {
            return;
        }
        let is_over = self.body(uid).is_some_and(|body| body.is_finished);
        let receipt = Receipt {
            epoch: epoch.into(),
            uid: uid.into(),
            outcome: if is_over {
                Outcome::Drained
            } else {
                Outcome::TimedOut
            },
            milliseconds: self.pace.work.unsigned_abs(),
            connections_at_start: 2,
            connections_at_end: 0,
            busy: u32::from(!is_over),
            last: None,
            why: None,
            measured_by: MeasuredBy::SockDiag,
            late_arrivals: 0,
        };
        let now = self.time();
        self.touch(uid, |body| {
            let agent = &mut body.pod.agent;
            agent.running = false;
            agent.exited = Some(now);
            agent.restarts += 1;
            if body.fault == Some(Fault::LosesReceipt) {
                body.fault = None;
            } else {
                agent.receipts = vec![receipt];
            }
        });
        self.schedule(1000, Event::AgentBack(uid.into()));
    }

    /// The agent answers 200 again where nothing is asked of it.
    fn serve(&mut self, uid: &str) {
        let is_asked = self
            .body(uid)
            .is_some_and(|body| body.pod.request.is_some());
        if !self.lives(uid) || is_asked {
            return self.hear(uid);
        }
        let now = self.time();
        self.touch(uid, |body| {
            body.heard = None;
            body.drains_since = None;
            body.is_finished = false;
            body.pod.agent.ready = body.pod.agent.running;
            if body.pod.agent.ready && !body.pod.is_ready() {
                body.pod.readiness = Readiness::Ready(now);
            }
        });
    }

    /// The pod terminates: preStop drains what is not drained yet.
    pub(super) fn delete(&mut self, uid: &str, by: &str) {
        let Some(body) = self.body(uid) else { return };
        if body.pod.terminating {
            return;
        }
        let is_started = body.pod.agent.running || body.pod.is_ready();
        let work = if body.is_finished || !is_started {
            0
        } else {
            self.pace.work
        };
        let is_lost = body.pod.node_lost;
        self.say(&format!("{uid}: deleted by {by}"));
        self.touch(uid, |body| body.pod.terminating = true);
        if !is_lost {
            self.schedule(work + self.pace.exit, Event::Gone(uid.into()));
        }
    }

    fn remove(&mut self, uid: &str) {
        let Some(index) = self.bodies.iter().position(|body| body.pod.uid == uid) else {
            return;
        };
        let body = self.bodies.remove(index);
        self.say(&format!("{uid}: gone"));
        self.schedule(self.pace.controller, Event::Sync(body.pod.owner));
        self.schedule(self.pace.slices, Event::Slices(uid.into()));
    }

    /// Work is left, and whoever may say so says that it does not matter.
    fn may_leave_overdue(&self, body: &Body) -> bool {
        self.target.on_timeout == Overdue::Leaves || body.pod.is_released
    }

    /// A person lets the pod go.
    pub(in crate::rollout) fn release(&mut self, uid: &str) {
        self.say(&format!("user: {uid} may leave"));
        self.touch(uid, |body| body.pod.is_released = true);
    }

    /// Another controller says something of the pod.
    pub(in crate::rollout) fn set_condition(
        &mut self,
        uid: &str,
        kind: &str,
        status: ConditionStatus,
    ) {
        self.say(&format!("{kind} of {uid} is {status:?}"));
        self.touch(uid, |body| {
            body.pod.conditions.insert(kind.into(), status);
        });
    }

    /// A pod that the operator gives up has finished, or its drain has another end that is allowed.
    pub(super) fn judge_leaving(&self, uid: &str) {
        let Some(body) = self.body(uid) else { return };
        let drain = self.drain_of(uid);
        let is_allowed = drain.is_some_and(|drain| {
            drain.way == DrainWay::Termination
                || matches!(drain.outcome, Some(DrainEnd::Silent | DrainEnd::NodeLost))
                || drain.outcome == Some(DrainEnd::TimedOut) && self.may_leave_overdue(body)
                || body.is_finished && !self.named.contains(uid)
        });
        // Nothing is lost with a pod that serves nobody: a ReplicaSet takes an unready one when it likes.
        let is_idle = body.pod.node_lost || !body.pod.is_ready() && body.heard.is_none();
        if !is_allowed && !is_idle {
            self.fail(&format!("{uid} leaves, its drain is {drain:?}"));
        }
    }
}
