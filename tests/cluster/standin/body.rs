//! One pod as its kubelet has it: what is seen of the API and what was ordered in, what the pod's status
//! is to say out. Decides by the time that it is given; writes nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::agent::Agent;
use super::orders::{Manner, Pace, Start};

/// What is to be done for a pod now.
pub(super) struct Step {
    pub(super) status: Value,
    /// The pod has ended and its object is to go.
    pub(super) is_gone: bool,
    pub(super) again: Option<Instant>,
}

/// What the kubelet remembers of a pod.
pub(super) struct Body {
    born: Instant,
    started: String,
    ip: String,
    agent: Agent,
    /// The app's readiness and since when, as the Ready condition wants it.
    ready: (bool, String),
    terminating: Option<Instant>,
}

impl Body {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            born: now,
            started: now_in_seconds(),
            ip: next_ip(),
            agent: Agent::default(),
            ready: (false, now_in_seconds()),
            terminating: None,
        }
    }

    pub(super) fn step(&mut self, pod: &Pod, manner: Manner, now: Instant) -> Step {
        let has_agent = Agent::is_in(pod);
        let mut again = vec![];
        let begins = match manner.start {
            Start::Ready(after) => Some(self.born + after),
            _ => None,
        };
        again.extend(begins.filter(|begins| *begins > now));
        if pod.metadata.deletion_timestamp.is_some() {
            let began = *self.terminating.get_or_insert(now);
            let end = self.end(pod, manner, began);
            again.push(end);
            if end <= now {
                return Step {
                    status: self.status(pod, manner, now, true),
                    is_gone: true,
                    again: None,
                };
            }
        } else if has_agent {
            again.extend(self.agent.step(pod, manner, now));
        }
        let is_ready =
            begins.is_some_and(|begins| begins <= now) && (!has_agent || self.agent.is_ready(now));
        // A terminating pod keeps its last answer.
        if is_ready != self.ready.0 && self.terminating.is_none() {
            self.ready = (is_ready, now_in_seconds());
        }
        Step {
            status: self.status(pod, manner, now, false),
            is_gone: false,
            again: again.into_iter().min(),
        }
    }

    /// When a terminating pod has ended: its hook, its exit, and its grace period at the latest.
    fn end(&self, pod: &Pod, manner: Manner, began: Instant) -> Instant {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let last = began + Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let runs = matches!(manner.start, Start::Ready(_) | Start::NeverReady);
        if !runs {
            return began;
        }
        match manner.exit {
            Pace::After(exit) => (began + self.agent.prestop(pod, manner) + exit).min(last),
            Pace::Never => last,
        }
    }

    fn status(&self, pod: &Pod, manner: Manner, now: Instant, has_ended: bool) -> Value {
        let phase = match manner.start {
            _ if has_ended => "Succeeded",
            Start::ImagePullError => "Pending",
            _ => "Running",
        };
        let (is_ready, since) = &self.ready;
        let is_ready = *is_ready && !has_ended;
        let since = if has_ended { &now_in_seconds() } else { since };
        let condition = |kind: &str, is_so: bool, since: &str| {
            let status = if is_so { "True" } else { "False" };
            json!({"type": kind, "status": status, "lastTransitionTime": since})
        };
        let mut status = json!({
            "phase": phase,
            "startTime": self.started,
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "conditions": [
                condition("Initialized", true, &self.started),
                condition("ContainersReady", is_ready, since),
                condition("Ready", is_ready, since),
            ],
            "containerStatuses": containers(pod, manner, is_ready, has_ended),
        });
        if Agent::is_in(pod) {
            let agent = if has_ended {
                self.agent.ended(pod, manner)
            } else {
                self.agent.status(now)
            };
            status["initContainerStatuses"] = json!([agent]);
        }
        status
    }
}

/// The app's containers. They are as ready as the pod, but for the agent's answer.
fn containers(pod: &Pod, manner: Manner, is_ready: bool, has_ended: bool) -> Vec<Value> {
    let (state, runs) = match manner.start {
        _ if has_ended => {
            let ended = json!({"exitCode": manner.code, "finishedAt": now_in_seconds()});
            (json!({"terminated": ended}), false)
        }
        Start::ImagePullError => (json!({"waiting": {"reason": "ImagePullBackOff"}}), false),
        Start::Crash => (json!({"waiting": {"reason": "CrashLoopBackOff"}}), false),
        Start::Ready(_) | Start::NeverReady => (json!({"running": {}}), true),
    };
    let restarts = u32::from(manner.start == Start::Crash) * 3;
    let spec = pod.spec.iter().flat_map(|spec| &spec.containers);
    spec.map(|container| {
        json!({
            "name": container.name, "image": container.image, "imageID": "app",
            "restartCount": restarts, "started": runs, "state": state,
            "ready": runs && (is_ready || matches!(manner.start, Start::Ready(_))),
        })
    })
    .collect()
}

/// Now, as Kubernetes' `Time` has it.
pub(super) fn now_in_seconds() -> String {
    Timestamp::now().strftime("%FT%TZ").to_string()
}

/// An address that no other pod has.
fn next_ip() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10.{}.{middle}.{low}", 128 + (high & 63))
}
