//! The drain agent of a pod that nobody runs: hears the annotation, withdraws the pod, reports in its
//! termination message and is back after a while; in preStop, drains what is left. As `src/agent` does
//! it, with work that tests order.

use std::time::{Duration, Instant};

use graceful::api::farewell::Farewell;
use graceful::api::receipt::{MeasuredBy, Outcome, Receipt};
use graceful::api::request::DrainRequest;
use graceful::api::v1alpha1::Drain;
use graceful::api::{AGENT, CONFIG, DRAIN};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::body::now_in_seconds;
use super::orders::{Hearing, Manner, Pace};

/// From the annotation to the kubelet's view of the 503; up to a second in truth.
const WITHDRAWAL: Duration = Duration::from_millis(100);

/// From the agent's exit until it runs again: 1.8 s in truth.
const RESTART: Duration = Duration::from_millis(300);

/// What the agent of one pod has done.
#[derive(Default)]
pub(super) struct Agent {
    drain: Option<Heard>,
    /// Its last exit.
    end: Option<Value>,
    restarts: u32,
    back: Option<Instant>,
}

struct Heard {
    epoch: String,
    at: Instant,
    finished: bool,
}

impl Agent {
    /// Whether the pod has an agent at all.
    pub(super) fn is_in(pod: &Pod) -> bool {
        let containers = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.init_containers.as_ref());
        containers.is_some_and(|all| all.iter().any(|one| one.name == AGENT))
    }

    /// Goes on by what the pod's annotations say; tells when to look again.
    pub(super) fn step(&mut self, pod: &Pod, manner: Manner, now: Instant) -> Option<Instant> {
        if self.back.is_some_and(|back| back <= now) {
            self.back = None;
        }
        let request = pod.annotations().get(DRAIN).and_then(|text| read(text));
        let Some(request) = request.filter(|_| manner.hearing != Hearing::Deaf) else {
            self.drain = None;
            return self.back;
        };
        let heard = match self.drain.take() {
            Some(heard) if heard.epoch == request.epoch => heard,
            _ => Heard {
                epoch: request.epoch,
                at: now + WITHDRAWAL,
                finished: false,
            },
        };
        let heard = self.drain.insert(heard);
        if heard.at > now {
            return Some(heard.at);
        }
        if heard.finished || manner.hearing == Hearing::Silent || self.back.is_some() {
            return self.back;
        }
        let deadline = heard.at + seconds(request.drain.timeout_seconds);
        let done = work(&request.drain, manner).map(|work| heard.at + work);
        let end = done.map_or(deadline, |done| done.min(deadline));
        if end > now {
            return Some(end);
        }
        heard.finished = true;
        let is_drained = done.is_some_and(|done| done <= deadline);
        let epoch = heard.epoch.clone();
        self.end = Some(json!({"terminated": {
            "exitCode": 0, "reason": "Completed", "finishedAt": now_in_seconds(),
            "message": receipt(pod, epoch, is_drained),
        }}));
        self.restarts += 1;
        self.back = Some(now + RESTART);
        self.back
    }

    /// What its readiness probe was last told.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.back.is_none() && self.drain.as_ref().is_none_or(|heard| heard.at > now)
    }

    /// How long the preStop hook drains. A finished drain is not done twice.
    pub(super) fn prestop(&self, pod: &Pod, manner: Manner) -> Duration {
        if self.drain.as_ref().is_some_and(|heard| heard.finished) {
            return Duration::ZERO;
        }
        let config = pod.annotations().get(CONFIG);
        let Some(drain) = config.and_then(|text| serde_json::from_str::<Drain>(text).ok()) else {
            return Duration::ZERO;
        };
        let limit = seconds(drain.deletion_timeout_seconds);
        work(&drain, manner).map_or(limit, |work| work.min(limit))
    }

    /// Its container's status.
    pub(super) fn status(&self, now: Instant) -> Value {
        let running = json!({"running": {}});
        let (state, last) = match (self.back, self.end.clone()) {
            (Some(_), Some(end)) => (end, json!({})),
            (_, Some(end)) => (running, end),
            (_, None) => (running, json!({})),
        };
        json!({
            "name": AGENT, "image": "agent", "imageID": "agent", "restartCount": self.restarts,
            "ready": self.is_ready(now), "started": true, "state": state, "lastState": last,
        })
    }

    /// Its container's status when the pod has ended: its last words, and the receipt before.
    pub(super) fn ended(&self, pod: &Pod, manner: Manner) -> Value {
        let uid = pod.uid().unwrap_or_default();
        let exit = manner.said;
        let said = json!(Farewell { uid, exit }).to_string();
        json!({
            "name": AGENT, "image": "agent", "imageID": "agent", "restartCount": self.restarts,
            "ready": false, "started": false, "lastState": self.end.clone().unwrap_or(json!({})),
            "state": {"terminated": {
                "exitCode": 0, "finishedAt": now_in_seconds(), "message": said,
            }},
        })
    }
}

fn read(text: &str) -> Option<DrainRequest> {
    serde_json::from_str(text).ok()
}

fn work(drain: &Drain, manner: Manner) -> Option<Duration> {
    let least = seconds(drain.min_seconds.max(drain.quiet_seconds));
    match manner.work {
        Pace::After(work) => Some(work.max(least)),
        Pace::Never => None,
    }
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

fn receipt(pod: &Pod, epoch: String, is_drained: bool) -> String {
    let outcome = if is_drained {
        Outcome::Drained
    } else {
        Outcome::TimedOut
    };
    let receipt = Receipt {
        epoch,
        uid: pod.uid().unwrap_or_default(),
        outcome,
        milliseconds: 100,
        connections_at_start: 1,
        connections_at_end: 0,
        busy: u32::from(!is_drained),
        late_arrivals: 0,
        last: Some("connections".into()),
        why: None,
        measured_by: MeasuredBy::SockDiag,
    };
    json!(receipt).to_string()
}
