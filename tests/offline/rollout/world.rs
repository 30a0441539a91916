//! A small cluster that keeps its own time: ReplicaSet controller, kubelets, agents and EndpointSlices
//! around the real planner. It knows the truth about every pod, and stops where a plan breaks it.

mod cluster;
mod kubelet;
mod operator;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use graceful::api::v1alpha1::GracefulDeploymentStatus;
use graceful::rollout::{Action, NewRevision, Pod, Revision, Strategy, Target};
use jiff::Timestamp;

use super::fixtures::{INJECTED, at_milliseconds};
use super::ranking;
use view::View;

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From a pod's creation until its containers are ready.
    pub(super) start: i64,
    /// A pod's work, from when it heard of its drain.
    pub(super) work: i64,
    /// Request to agent, as measured.
    pub(super) hear: i64,
    /// From hearing to NotReady: one probe period.
    pub(super) withdraw: i64,
    /// From the agent's exit until its receipt is published.
    pub(super) publish: i64,
    /// From SIGTERM until the pod is gone.
    pub(super) exit: i64,
    /// EndpointSlices behind pods.
    pub(super) slices: i64,
    /// ReplicaSet controller behind pods and ReplicaSets.
    pub(super) controller: i64,
    /// For how long the operator collects what it hears before it looks.
    pub(super) collect: i64,
    /// One write of the operator.
    pub(super) write: i64,
    /// How long the agent drains at least.
    pub(super) least: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            start: 10_000,
            work: 20_000,
            hear: 74,
            withdraw: 1000,
            publish: 800,
            exit: 500,
            slices: 20,
            controller: 15,
            collect: 0,
            write: 10,
            least: 5000,
        }
    }
}

/// What goes wrong with pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It never turns ready.
    NeverReady,
    /// Its agent never hears of a request.
    Deaf,
    /// Its agent withdraws the pod and says nothing more.
    Silent,
    /// Its agent's first receipt is lost.
    LosesReceipt,
    /// It has no agent.
    NoAgent,
}

/// A pod, and what only the world knows of it.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) pod: Pod,
    pub(super) version: u64,
    pub(super) fault: Option<Fault>,
    /// The epoch that the agent heard.
    pub(super) heard: Option<String>,
    /// When its work began to come to its end: it takes no more.
    pub(super) drains_since: Option<i64>,
    /// Its work is over, and it takes no more.
    pub(super) is_finished: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    Sync(String),
    Schedule(String),
    Run(String),
    Start(String),
    Hear(String),
    Withdraw(String, String),
    Finish(String, String),
    Publish(String, String),
    AgentBack(String),
    Serve(String),
    Slices(String),
    Gone(String),
    Wake,
    /// A watch delivers what happened a while ago.
    Look,
}

/// Writes of the operator since the counters were last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Writes {
    /// Statuses whose drains, or the status or reason of a condition, are others.
    pub(super) memory: usize,
    /// Statuses with other counts or messages only.
    pub(super) counts: usize,
    pub(super) pods: usize,
    pub(super) sets: usize,
}

impl Writes {
    /// Every call.
    pub(super) fn all(self) -> usize {
        self.memory + self.counts + self.pods + self.sets
    }
}

pub(super) struct World {
    pub(super) now: i64,
    pub(super) pace: Pace,
    pub(super) target: Target,
    pub(super) wanted: NewRevision,
    pub(super) sets: Vec<Revision>,
    pub(super) bodies: Vec<Body>,
    pub(super) status: GracefulDeploymentStatus,
    pub(super) writes: Writes,
    /// Faults by the beginning of a pod's name.
    pub(super) faults: BTreeMap<String, Fault>,
    /// Pods that the namespace's quota allows.
    pub(super) quota: usize,
    /// The operator crashes before this many more writes.
    pub(super) crash_after: Option<usize>,
    /// Names that other ReplicaSets have.
    pub(super) taken: BTreeSet<String>,
    /// The bounds are checked; off once a fault has moved pods.
    pub(super) is_strict: bool,
    /// Pods beyond the bounds that have their reason: one deleted by name is replaced before its
    /// ReplicaSet is scaled, and one whose drain is cancelled was there anyway.
    pub(super) spare: usize,
    /// By how many milliseconds the operator's watches lag: pods, ReplicaSets, EndpointSlices.
    pub(super) lag: [i64; 3],
    past: VecDeque<View>,
    /// Events that the operator told, as `Reason: message`.
    pub(super) told: Vec<String>,
    pub(super) generation: i64,
    /// Most pods that the user allowed, now or before the last change: a ReplicaSet may be at work.
    ceiling: u32,
    named: BTreeSet<String>,
    queue: BTreeMap<(i64, u64), Event>,
    counter: u64,
    made: u32,
    log: Vec<String>,
    serving: usize,
}

impl World {
    pub(super) fn new(target: Target) -> Self {
        let ceiling = target.replicas + target.max_surge;
        Self {
            now: 0,
            pace: Pace::default(),
            target,
            wanted: NewRevision::default(),
            sets: Vec::new(),
            bodies: Vec::new(),
            status: GracefulDeploymentStatus::default(),
            writes: Writes::default(),
            faults: BTreeMap::new(),
            quota: usize::MAX,
            taken: BTreeSet::new(),
            crash_after: None,
            is_strict: true,
            spare: 0,
            lag: [0; 3],
            past: VecDeque::new(),
            told: Vec::new(),
            generation: 0,
            ceiling,
            named: BTreeSet::new(),
            queue: BTreeMap::new(),
            counter: 0,
            made: 0,
            log: Vec::new(),
            serving: 0,
        }
    }

    /// The user applies a template.
    pub(super) fn apply(&mut self, revision: &str) {
        self.generation += 1;
        self.wanted = NewRevision {
            name: revision.into(),
            injected: INJECTED.into(),
            name_taken: false,
            remarks: Vec::new(),
        };
        self.say(&format!("user: template {revision}"));
    }

    /// The user changes the spec.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Target)) {
        self.generation += 1;
        change(&mut self.target);
        self.ceiling = self
            .ceiling
            .max(self.target.replicas + self.target.max_surge);
        self.say(&format!("user: {:?}", self.target));
    }

    /// Runs until the object is complete; returns the milliseconds that it took.
    pub(super) fn settle(&mut self) -> i64 {
        let begin = self.now;
        self.run_until("complete", 3_600, Self::is_complete);
        self.now - begin
    }

    /// Lets that much time pass.
    pub(super) fn run_for(&mut self, milliseconds: i64) {
        let end = self.now + milliseconds;
        self.schedule(milliseconds, Event::Wake);
        self.run_until("time", 36_000, |world| world.now >= end);
    }

    /// Runs until something is so, or fails after that many seconds.
    pub(super) fn run_until(&mut self, what: &str, seconds: i64, is_so: impl Fn(&Self) -> bool) {
        let end = self.now + seconds * 1000;
        loop {
            self.reconcile();
            if is_so(self) {
                return;
            }
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = next.filter(|next| *next <= end) else {
                self.fail(&format!("never {what}"));
            };
            self.pass(next - self.now + self.pace.collect);
        }
    }

    /// Time passes, and what is due happens.
    pub(super) fn pass(&mut self, milliseconds: i64) {
        let end = self.now + milliseconds.max(0);
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            self.now = self.now.max(entry.key().0);
            let event = entry.remove();
            if matches!(event, Event::Look) {
                continue;
            }
            self.happen(event);
            self.check();
            self.remember_view();
        }
        self.now = end;
    }

    pub(super) fn schedule(&mut self, delay: i64, event: Event) {
        self.counter += 1;
        self.queue.insert((self.now + delay, self.counter), event);
    }

    pub(super) fn time(&self) -> Timestamp {
        at_milliseconds(self.now)
    }

    pub(super) fn chance(&mut self) -> u64 {
        self.counter += 1;
        ranking::chance(self.counter)()
    }

    pub(super) fn is_complete(&self) -> bool {
        let is_so = |known: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            known.type_ == "Ready" && known.status == "True"
        };
        self.status.observed_generation == self.generation
            && self.status.conditions.iter().any(is_so)
    }

    /// The condition's reason, as last written.
    pub(super) fn reason(&self, kind: &str) -> &str {
        let known = self
            .status
            .conditions
            .iter()
            .find(|known| known.type_ == kind);
        known.map_or("", |known| known.reason.as_str())
    }

    /// Pods that are not gone, by the beginning of their name.
    pub(super) fn pods(&self, prefix: &str) -> Vec<&Body> {
        self.bodies
            .iter()
            .filter(|body| body.pod.name.starts_with(prefix))
            .collect()
    }

    pub(super) fn is_serving(&self, pod: &Pod) -> bool {
        pod.is_ready() && !pod.terminating && !pod.node_lost && self.named.contains(&pod.uid)
    }

    /// Pods in service, in truth.
    pub(super) fn serving(&self) -> usize {
        let is_serving = |body: &&Body| self.is_serving(&body.pod);
        self.bodies.iter().filter(is_serving).count()
    }

    pub(super) fn drain_of(&self, uid: &str) -> Option<&graceful::api::v1alpha1::DrainRecord> {
        self.status.drains.iter().find(|drain| drain.uid == uid)
    }

    /// Safety, by the truth and not by the planner's counts.
    pub(super) fn check(&mut self) {
        let is_available = |body: &&Body| {
            // An agent that has not heard yet that its drain is cancelled may still turn the pod NotReady.
            let is_wanted = body.heard.is_none()
                && body.pod.request.is_none()
                && self.drain_of(&body.pod.uid).is_none();
            is_wanted && self.is_serving(&body.pod)
        };
        let serving = self.bodies.iter().filter(is_available).count();
        let minimum = self
            .target
            .replicas
            .saturating_sub(self.target.max_unavailable) as usize;
        let is_recreated = self.target.strategy == Strategy::Recreate;
        if self.is_strict && !is_recreated && serving < minimum.min(self.serving) {
            self.fail(&format!(
                "{} in service became {serving}, at least {minimum}",
                self.serving
            ));
        }
        self.serving = serving;
    }

    pub(super) fn say(&mut self, line: &str) {
        let (seconds, rest) = (self.now / 1000, self.now % 1000);
        self.log.push(format!("{seconds:5}.{rest:03} {line}"));
    }

    /// The trace has it.
    pub(super) fn says(&self, what: &str) -> bool {
        self.log.iter().any(|line| line.contains(what))
    }

    pub(super) fn fail(&self, what: &str) -> ! {
        /// What happened before is seldom why.
        const LINES: usize = 80;
        let from = self.log.len().saturating_sub(LINES);
        let mut lines = self.log[from..].to_vec();
        lines.extend(self.bodies.iter().map(|body| format!("  {:?}", body.pod)));
        lines.extend(self.sets.iter().map(|set| format!("  {set:?}")));
        let conditions = self.status.conditions.iter();
        lines.extend(
            conditions
                .map(|known| format!("  {}: {} {}", known.type_, known.reason, known.message)),
        );
        lines.extend(
            self.status
                .drains
                .iter()
                .map(|drain| format!("  {drain:?}")),
        );
        let text = lines.join("\n");
        panic!(
            "{text}\nin service {}: {what} at {} ms",
            self.serving(),
            self.now
        );
    }
}
