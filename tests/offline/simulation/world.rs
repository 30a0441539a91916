//! The simulated cluster: one API server, one queue of what happens next, and everybody who acts on
//! them. Deterministic: the same script tells the same story.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::apiserver::kinds::{OBJECTS, PODS, REPLICA_SETS, Resource};
use super::apiserver::{Answer, ApiServer, Part, Request, Verb};
use super::chance::Chance;
use super::informer::{Informer, Reader};
use super::judge::Judge;
use super::kubelet::Body;
use super::script::{Deed, Permanent, Script};
use super::sets::Expectations;
use super::wires::Wires;

/// Where everything happens.
pub(super) const NAMESPACE: &str = "web";

/// Nodes of the cluster, until one is lost.
const NODES: usize = 4;

/// What happens at some time.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A cache shows what happened up to this change.
    Deliver(Reader, usize),
    SyncSet(String),
    SyncSlices,
    Schedule(String),
    Collect,
    Pod(String, Life),
    Traffic,
    Deed(Deed),
    OperatorBack,
    /// The storm is over.
    Clear,
    /// Is everything as it should be?
    Look,
}

/// What happens to one pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Life {
    Start,
    AppReady,
    /// The kubelet has written the annotations into the pod.
    Hear,
    /// The agent's readiness probe.
    Probe,
    /// The agent looks whether its drain is over.
    AgentLook,
    AgentBack,
    /// The kubelet publishes the pod's status.
    Publish,
    /// The kubelet sees the deletion.
    Terminate,
    /// preStop looks whether the work is over.
    HookLook,
    Exit,
    /// The node controller notices that the node is lost.
    NodeLost,
    /// The pod's object is removed though no kubelet said so.
    Forget,
}

/// Who asks the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Operator,
    ReplicaSets,
    Slices,
    Kubelet,
    Nodes,
    Scheduler,
    Collector,
    Meddler,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that come and go by themselves"
)]
pub(super) struct World {
    pub(super) script: Script,
    pub(super) api: ApiServer,
    pub(super) now: i64,
    queue: BTreeMap<(i64, u64), Event>,
    order: u64,
    noticed: usize,
    pub(super) informers: BTreeMap<Reader, Informer>,
    pub(super) wires: Option<Wires>,
    pub(super) bodies: BTreeMap<String, Body>,
    pub(super) expectations: BTreeMap<String, Expectations>,
    /// Which nodes live.
    pub(super) nodes: Vec<bool>,
    pub(super) quota: i64,
    /// Steps so far: things that happened.
    pub(super) steps: usize,
    pub(super) judge: Judge,
    pub(super) failure: Option<String>,
    pub(super) trace: Option<Vec<String>>,
    pub(super) lags: Chance,
    pub(super) lives: Chance,
    pub(super) traffic: Chance,
    pub(super) luck: Chance,
    /// How far the clock of the operator's machine is ahead.
    pub(super) ahead: i64,
    /// How much of that the operator's process goes by: it does not follow what looks like slewing.
    pub(super) followed: i64,
    pub(super) is_calm: bool,
    pub(super) writes: usize,
    pub(super) last_write: i64,
    pub(super) is_killed: bool,
    pub(super) agent_image: String,
    pub(super) is_over: bool,
    /// Nobody works: an operator is to be started.
    pub(super) is_wanted: bool,
    /// When each pod was last named ready.
    pub(super) routes: BTreeMap<String, i64>,
    pub(super) settled: Option<i64>,
    /// What the operator's caches showed when it last looked.
    pub(super) view: BTreeMap<Reader, Vec<Arc<Value>>>,
    /// The time that it went by then.
    pub(super) viewed_at: Timestamp,
}

impl World {
    pub(super) fn new(script: Script, with_trace: bool) -> Self {
        let seed = script.seed;
        let informers = Reader::ALL.map(|reader| (reader, Informer::default()));
        let mut world = Self {
            api: ApiServer::default(),
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            noticed: 0,
            informers: informers.into(),
            wires: None,
            bodies: BTreeMap::new(),
            expectations: BTreeMap::new(),
            nodes: vec![true; NODES],
            quota: i64::MAX,
            steps: 0,
            judge: Judge::default(),
            failure: None,
            trace: with_trace.then(Vec::new),
            lags: Chance::new(seed, "lags"),
            lives: Chance::new(seed, "lives"),
            traffic: Chance::new(seed, "traffic"),
            luck: Chance::new(seed, "luck"),
            ahead: 0,
            followed: 0,
            is_calm: false,
            writes: 0,
            last_write: 0,
            is_killed: false,
            agent_image: "agent:1".into(),
            is_over: false,
            is_wanted: false,
            routes: BTreeMap::new(),
            settled: None,
            view: BTreeMap::new(),
            viewed_at: Timestamp::UNIX_EPOCH,
            script,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for service in self.script.services.clone() {
            let _ = self.create(Who::Meddler, &super::apiserver::kinds::SERVICES, service);
        }
        let object = self.script.object.clone();
        let _ = self.create(Who::Meddler, &OBJECTS, object);
        for (at, deed) in self.script.deeds.clone() {
            self.at(at, Event::Deed(deed));
        }
        self.at(super::script::STORM, Event::Clear);
        self.at(0, Event::OperatorBack);
        self.at(500, Event::Traffic);
    }

    /// The moment, as the cluster's clocks show it.
    pub(super) fn time(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
            + SignedDuration::from_hours(500_000)
            + SignedDuration::from_millis(self.now)
    }

    /// The moment, as objects have it: their times are whole seconds.
    pub(super) fn stamp(&self) -> String {
        let second = Timestamp::from_second(self.time().as_second());
        second.expect("a time").to_string()
    }

    /// So many milliseconds from now.
    pub(super) fn later(&mut self, delay: i64, event: Event) {
        self.at(self.now + delay.max(0), event);
    }

    pub(super) fn at(&mut self, at: i64, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<i64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due by then, each thing at its time.
    pub(super) fn pass(&mut self, until: i64) {
        while self.failure.is_none()
            && let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= until
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            if !matches!(event, Event::Traffic | Event::Look) {
                self.steps += 1;
            }
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(reader, upto) => self.deliver(reader, upto),
            Event::SyncSet(name) => self.sync_set(&name),
            Event::SyncSlices => self.sync_slices(),
            Event::Schedule(uid) => self.schedule(&uid),
            Event::Collect => self.collect(),
            Event::Pod(uid, life) => self.live(&uid, &life),
            Event::Traffic => self.open_connections(),
            Event::Deed(deed) => self.commit(&deed),
            Event::OperatorBack => self.start_operator(),
            Event::Clear => self.clear(),
            Event::Look => self.look(),
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.say(|| format!("BROKEN: {what}"));
        self.failure.get_or_insert(what);
    }

    /// One request to the API server, judged where it is the operator's; whoever watches hears of it.
    pub(super) fn ask(&mut self, who: Who, request: &Request) -> Answer {
        if who == Who::Operator {
            self.judge_request(request);
        }
        let before = self
            .api
            .get(request.resource, &request.namespace, &request.name)
            .cloned();
        let answer = self.api.call(request, self.time());
        if who == Who::Operator || who == Who::Meddler || who == Who::ReplicaSets {
            self.say_call(who, request, &answer);
        }
        if let (Who::Operator, Ok(after)) = (who, &answer) {
            self.judge_write(request, before.as_deref(), after);
        }
        self.notice(who);
        answer
    }

    pub(super) fn create(&mut self, who: Who, resource: &'static Resource, body: Value) -> Answer {
        self.ask(who, &request(Verb::Create, resource, "", body))
    }

    pub(super) fn patch(
        &mut self,
        who: Who,
        (resource, part): (&'static Resource, Part),
        name: &str,
        body: Value,
    ) -> Answer {
        let request = Request {
            part,
            ..request(Verb::MergePatch, resource, name, body)
        };
        self.ask(who, &request)
    }

    pub(super) fn delete(
        &mut self,
        who: Who,
        resource: &'static Resource,
        name: &str,
        options: Value,
    ) -> Answer {
        self.ask(who, &request(Verb::Delete, resource, name, options))
    }

    /// Tells whoever watches what changed.
    fn notice(&mut self, who: Who) {
        while let Some(change) = self.api.changes.get(self.noticed).cloned() {
            self.noticed += 1;
            let upto = self.noticed;
            self.announce(change.resource, upto);
            if *change.resource == PODS {
                self.pod_changed(who, change.before.as_deref(), change.after.as_deref());
            }
            let is_leaving = change
                .after
                .as_deref()
                .is_none_or(super::apiserver::is_leaving);
            let owns = [&OBJECTS, &REPLICA_SETS].contains(&change.resource);
            // One that a controller made though its owner is gone already is collected too.
            let is_new = change.before.is_none() && *change.resource == PODS;
            if owns && is_leaving || is_new {
                self.later(50, Event::Collect);
            }
            if change.after.is_none() && *change.resource == REPLICA_SETS {
                self.judge.forget_set(change.before.as_deref());
            }
        }
    }

    /// The user's object as it is.
    pub(super) fn object(&self) -> Option<Arc<Value>> {
        self.api.get(&OBJECTS, NAMESPACE, "chat").cloned()
    }

    /// Pods as they are.
    pub(super) fn pods(&self) -> Vec<Arc<Value>> {
        self.api.all(&PODS).cloned().collect()
    }

    pub(super) fn sets(&self) -> Vec<Arc<Value>> {
        self.api.all(&REPLICA_SETS).cloned().collect()
    }

    /// The storm is over: what is to stay broken breaks, the rest is well, and the user wants one thing.
    fn clear(&mut self) {
        self.is_calm = true;
        self.quota = i64::MAX;
        let template = if self.script.permanent == Permanent::BrokenTemplate {
            "broken"
        } else {
            "last"
        };
        if self.script.permanent != Permanent::FullNodes {
            self.nodes = vec![true; NODES];
        }
        let permanent = self.script.permanent;
        self.say(|| format!("the storm is over; what stays: {permanent:?}"));
        self.break_for_good();
        let wanted = json!({"spec": {
            "paused": false,
            "template": super::script::template(template),
        }});
        let _ = self.patch(Who::Meddler, (&OBJECTS, Part::Whole), "chat", wanted);
        self.retry_pending();
        self.later(5000, Event::Look);
    }
}

/// A request in the one namespace that there is.
pub(super) fn request(verb: Verb, resource: &'static Resource, name: &str, body: Value) -> Request {
    Request {
        verb,
        resource,
        part: Part::Whole,
        namespace: NAMESPACE.into(),
        name: name.into(),
        body,
    }
}
