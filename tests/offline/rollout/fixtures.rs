//! Builders that read as sentences: `pod("a").of("old").ready(60).asked("e1")`. They make plain
//! planner data and decide nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use graceful::api::v1alpha1::{DrainCause, DrainEnd, DrainRecord, DrainWay};
use graceful::rollout::{
    Agent, Claims, Endpoint, NewRevision, Observation, Overdue, Phase, Pod, Readiness,
    ReplacementPolicy, Request, Revision, Service, Strategy, Target, Withdrawal,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// The settings of a drain in force, where a test does not change them.
pub(super) const SETTINGS: &str = "settings-1";

/// What is injected into new pods, where a test does not change it.
pub(super) const INJECTED: &str = "injected-1";

/// A point in time, in milliseconds from when every test begins.
pub(super) fn at_milliseconds(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).expect("a time in range")
}

/// A point in time, in seconds from when every test begins.
pub(super) fn at(seconds: i64) -> Timestamp {
    at_milliseconds(seconds * 1000)
}

pub(super) fn micro(seconds: i64) -> MicroTime {
    MicroTime(at(seconds))
}

/// Four replicas, one more while they are replaced, none less.
pub(super) fn target() -> Target {
    Target {
        replicas: 4,
        strategy: Strategy::RollingUpdate,
        max_surge: 1,
        max_unavailable: 0,
        max_draining: 4,
        replacement: ReplacementPolicy::DrainStarted,
        min_ready: Duration::ZERO,
        progress_deadline: Duration::from_mins(10),
        history_limit: 10,
        paused: false,
        withdrawal: Withdrawal::Auto,
        drain_timeout: Duration::from_mins(5),
        drain_min: Duration::from_secs(5),
        drain_quiet: Duration::from_secs(3),
        shutdown_timeout: Duration::from_secs(30),
        drain_settings: SETTINGS.into(),
        conditions: Vec::new(),
        on_timeout: Overdue::Leaves,
        unconfirmed: None,
        scale_selector: "app=chat,!graceful.dev/draining".into(),
    }
}

pub(super) fn observation(target: Target, now: Timestamp) -> Observation {
    Observation {
        now,
        entropy: 7,
        name: "chat".into(),
        generation: 1,
        deleting: false,
        target: Ok(target),
        wanted: NewRevision {
            name: "new".into(),
            injected: INJECTED.into(),
            name_taken: false,
            remarks: Vec::new(),
        },
        revisions: Vec::new(),
        claims: Claims::default(),
        pods: Vec::new(),
        services: Vec::new(),
        ends: Vec::new(),
        previous: graceful::api::v1alpha1::GracefulDeploymentStatus::default(),
    }
}

/// A ReplicaSet that has what it was asked for.
pub(super) fn revision(name: &str, number: i64, replicas: u32) -> Revision {
    Revision {
        name: name.into(),
        uid: name.into(),
        resource_version: "1".into(),
        number,
        replicas,
        sized_for: None,
        settled: true,
        counted: replicas,
        counted_ready: replicas,
        counted_labelled: Some(replicas),
        injected: INJECTED.into(),
        config: SETTINGS.into(),
        is_current: true,
        is_recorded: true,
        failure: None,
    }
}

/// A pod that was made and no more.
pub(super) fn pod(name: &str) -> Pod {
    Pod {
        name: name.into(),
        uid: name.into(),
        resource_version: "1".into(),
        owner: String::new(),
        node: None,
        phase: Phase::Pending,
        readiness: Readiness::NotReady,
        terminating: false,
        node_lost: false,
        deletion_cost: 0,
        agent: Agent {
            present: true,
            ..Agent::default()
        },
        request: None,
        is_labelled: true,
        is_marked: false,
        config: SETTINGS.into(),
        injected: INJECTED.into(),
        trouble: String::new(),
        conditions: BTreeMap::new(),
        is_released: false,
        cancelled: None,
    }
}

/// A Service that selects no pod yet.
pub(super) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        ..Service::default()
    }
}

/// A drain that was decided then and not asked for yet.
pub(super) fn drain(pod: &str, way: DrainWay, since: i64) -> DrainRecord {
    DrainRecord {
        pod: pod.into(),
        uid: pod.into(),
        epoch: format!("epoch-of-{pod}"),
        cause: DrainCause::Rollout,
        way,
        since: micro(since),
        withdrawn: None,
        deadline: None,
        overdue: None,
        condition: None,
        outcome: None,
        retired: None,
    }
}

/// What can be said of a pod.
pub(super) trait PodSentence: Sized {
    fn of(self, revision: &str) -> Self;
    fn on(self, node: &str) -> Self;
    fn running(self) -> Self;
    fn ready(self, since: i64) -> Self;
    fn asked(self, epoch: &str) -> Self;
}

impl PodSentence for Pod {
    fn of(mut self, revision: &str) -> Self {
        self.owner = revision.into();
        self
    }

    fn on(mut self, node: &str) -> Self {
        self.node = Some(node.into());
        self
    }

    fn running(mut self) -> Self {
        self.phase = Phase::Running;
        self.agent.running = true;
        self.agent.ready = true;
        self.node.get_or_insert_with(|| "node-1".into());
        self
    }

    fn ready(self, since: i64) -> Self {
        let mut pod = self.running();
        pod.readiness = Readiness::Ready(at(since));
        pod
    }

    fn asked(mut self, epoch: &str) -> Self {
        self.request = Some(Request {
            epoch: epoch.into(),
            settings: SETTINGS.into(),
            asked: None,
        });
        self.is_marked = true;
        self
    }
}

/// What can be said of a Service.
pub(super) trait ServiceSentence: Sized {
    fn naming_ready(self, pod: &Pod) -> Self;
}

impl ServiceSentence for Service {
    fn naming_ready(mut self, pod: &Pod) -> Self {
        self.selects.insert(pod.uid.clone());
        self.ready.push(Endpoint {
            id: pod.uid.clone(),
            node: pod.node.clone(),
        });
        self
    }
}

/// What can be said of a drain.
pub(super) trait DrainSentence: Sized {
    fn withdrawn(self, since: i64) -> Self;
    fn ended(self, how: DrainEnd) -> Self;
    fn retired(self, since: i64) -> Self;
}

impl DrainSentence for DrainRecord {
    fn withdrawn(mut self, since: i64) -> Self {
        self.withdrawn = Some(micro(since));
        self.deadline = Some(micro(since + 300));
        self
    }

    fn ended(mut self, how: DrainEnd) -> Self {
        self.outcome = Some(how);
        self
    }

    fn retired(mut self, since: i64) -> Self {
        self.retired = Some(micro(since));
        self
    }
}
