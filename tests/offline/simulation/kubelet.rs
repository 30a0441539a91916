//! Kubelets: pods start, are probed, are told, and exit within their grace period.

use graceful::api::receipt::Receipt;
use graceful::api::{AGENT, DRAIN};
use serde_json::{Value, json};

use super::apiserver::kinds::PODS;
use super::apiserver::{Part, is_leaving, name, uid};
use super::world::{Event, Life, NAMESPACE, Who, World};

/// A pod as its node has it: what is true, and not only what was published.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that come and go by themselves"
)]
pub(super) struct Body {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) is_started: bool,
    pub(super) is_app_ready: bool,
    /// Until then the app is not ready.
    pub(super) flaps_until: i64,
    pub(super) is_lost: bool,
    pub(super) agent: Agent,
    /// When the open connections close.
    pub(super) connections: Vec<i64>,
    /// Milliseconds of the deletion, once the kubelet has seen it.
    pub(super) terminating: Option<i64>,
    /// When the kubelet kills what is left.
    pub(super) killed_at: i64,
    pub(super) exits_at: Option<i64>,
    /// Its containers have.
    has_ended: bool,
    /// A publication is on its way.
    is_publishing: bool,
    /// When its readiness last changed, as the API shows it.
    pub(super) ready_since: (bool, String),
}

/// The agent in a pod. Its memory is `heard` and `finished`: they outlive the container.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that come and go by themselves"
)]
pub(super) struct Agent {
    pub(super) is_running: bool,
    /// What its readiness probe last said.
    pub(super) is_ready: bool,
    pub(super) heard: Option<String>,
    pub(super) heard_at: i64,
    /// When it first answered 503.
    pub(super) withdrawn: Option<i64>,
    pub(super) finished: Option<String>,
    pub(super) receipt: Option<Receipt>,
    pub(super) exit_code: Option<i64>,
    pub(super) ended: String,
    pub(super) restarts: u32,
    /// Exits of the last minutes, for the back-off.
    pub(super) exits: u32,
    /// It reported the end of its patience.
    pub(super) was_late: bool,
    /// It finishes no drain.
    pub(super) is_silent: bool,
    /// It loses its next receipt.
    pub(super) loses_receipt: bool,
}

impl Body {
    pub(super) fn is_ready(&self, now: i64) -> bool {
        self.is_started && self.is_app_ready && now >= self.flaps_until && self.agent.is_ready
    }

    /// Connections with work left.
    pub(super) fn busy(&self, now: i64) -> usize {
        self.connections.iter().filter(|end| **end > now).count()
    }
}

impl World {
    /// The API server has a pod in a new version, has a new one, or has lost one.
    pub(super) fn pod_changed(&mut self, who: Who, before: Option<&Value>, after: Option<&Value>) {
        let Some(pod) = after else {
            if let Some(gone) = before {
                self.judge_gone(gone);
                self.bodies.remove(uid(gone));
                self.retry_pending();
            }
            return;
        };
        let id = uid(pod).to_owned();
        if before.is_none() {
            let image = pod["spec"]["containers"][0]["image"].as_str();
            let mut body = Body {
                name: name(pod).into(),
                image: image.unwrap_or_default().into(),
                ..Body::default()
            };
            body.agent.is_silent = self.lives.percent(4);
            body.agent.loses_receipt = self.lives.percent(4);
            self.bodies.insert(id.clone(), body);
            let delay = self.lives.within(5, 200);
            self.later(delay, Event::Schedule(id));
            return;
        }
        let asked = |pod: Option<&Value>| {
            pod.map(|pod| pod["metadata"]["annotations"].clone())
                .unwrap_or_default()
        };
        if asked(before) != asked(after) {
            // One that comes while the kubelet writes for an earlier one waits for its next full sync.
            let delay = if self.lives.percent(5) {
                self.lives.within(55_000, 85_000)
            } else {
                self.lives.within(50, 1200)
            };
            self.later(delay, Event::Pod(id.clone(), Life::Hear));
        }
        let left = |pod: Option<&Value>| {
            pod.map(|pod| pod["metadata"]["deletionGracePeriodSeconds"].clone())
        };
        if is_leaving(pod) && left(before) != left(after) {
            let delay = self.lives.within(5, 200);
            self.later(delay, Event::Pod(id, Life::Terminate));
        }
        let _ = who;
    }

    pub(super) fn live(&mut self, uid: &str, life: &Life) {
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        let is_lost = body.is_lost;
        match life {
            Life::NodeLost => self.lose_pod(uid),
            Life::Forget => self.remove_pod(uid),
            _ if is_lost => {}
            Life::Start => self.start(uid),
            Life::AppReady => {
                let now = self.now;
                let is_broken = body.image == "broken";
                self.change(uid, |body| {
                    body.is_app_ready = !is_broken && now >= body.flaps_until;
                });
            }
            Life::Hear => self.hear(uid),
            Life::Probe => self.probe(uid),
            Life::AgentLook => self.agent_look(uid),
            Life::AgentBack => self.agent_back(uid),
            Life::Publish => self.publish(uid),
            Life::Terminate => self.terminate(uid),
            Life::HookLook => self.hook_look(uid),
            Life::Exit => self.end(uid),
        }
    }

    /// Changes a pod on its node; its status is published a moment later.
    pub(super) fn change(&mut self, uid: &str, change: impl FnOnce(&mut Body)) {
        let delay = self.lives.within(10, 300);
        let Some(body) = self.bodies.get_mut(uid) else {
            return;
        };
        change(body);
        if !std::mem::replace(&mut body.is_publishing, true) {
            self.later(delay, Event::Pod(uid.into(), Life::Publish));
        }
    }

    pub(super) fn life(&mut self, delay: i64, uid: &str, life: Life) {
        self.later(delay, Event::Pod(uid.into(), life));
    }

    fn start(&mut self, uid: &str) {
        self.change(uid, |body| {
            body.is_started = true;
            body.agent.is_running = true;
        });
        let ready = self.lives.within(100, 4000);
        self.life(ready, uid, Life::AppReady);
        self.life(0, uid, Life::Hear);
        self.life(50, uid, Life::Probe);
    }

    /// Writes down what is true of the pod by now.
    fn publish(&mut self, uid: &str) {
        let (now, time) = (self.now, self.stamp());
        let Some(body) = self.bodies.get_mut(uid) else {
            return;
        };
        body.is_publishing = false;
        let is_ready = body.is_ready(now);
        if body.ready_since.0 != is_ready || body.ready_since.1.is_empty() {
            body.ready_since = (is_ready, time);
        }
        let status = status_of(uid, body, is_ready);
        let named = body.name.clone();
        let is_there = self.api.get(&PODS, NAMESPACE, &named);
        if is_there.is_some_and(|pod| super::apiserver::uid(pod) == uid) {
            let patch = json!({"status": status});
            let _ = self.patch(Who::Kubelet, (&PODS, Part::Status), &named, patch);
        }
    }

    /// The kubelet sees that the pod is being deleted.
    fn terminate(&mut self, uid: &str) {
        let Some(pod) = self.pod_of(uid) else { return };
        let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
        let now = self.now;
        let Some(body) = self.bodies.get_mut(uid) else {
            return;
        };
        body.killed_at = now + grace.unwrap_or(30) * 1000;
        body.terminating.get_or_insert(now);
        if body.is_started {
            self.life(0, uid, Life::HookLook);
        } else {
            self.life(300, uid, Life::Exit);
        }
    }

    /// preStop returns where the drain is over and unbroken, or where nothing is left to wait for; then
    /// SIGTERM, and the app's own shutdown.
    fn hook_look(&mut self, uid: &str) {
        let now = self.now;
        let asked = self.asked(uid);
        let drain = self.drain_settings();
        let seconds = |key: &str| drain[key].as_i64().unwrap_or(5) * 1000;
        let (least, quiet) = (seconds("minSeconds"), seconds("quietSeconds"));
        let most = seconds("deletionTimeoutSeconds");
        let Some(body) = self.bodies.get_mut(uid) else {
            return;
        };
        let Some(began) = body.terminating else {
            return;
        };
        if body.exits_at.is_some() {
            return;
        }
        let is_finished = asked.is_some() && body.agent.finished == asked;
        let closed = body.connections.iter().copied().max().unwrap_or(0);
        let over = (began + least)
            .max(closed.saturating_add(quiet))
            .min(began + most);
        if !is_finished && now < over {
            // Connections may still come: it looks again.
            let next = (over - now).min(1000);
            self.life(next, uid, Life::HookLook);
            return;
        }
        // The app finishes what it can within its own time.
        let shutdown = 5000;
        let exit = closed
            .clamp(now, now + shutdown)
            .min(body.killed_at.max(now));
        let exit = exit + 200;
        body.exits_at = Some(exit);
        self.judge_exit(uid, exit);
        self.life(exit - now, uid, Life::Exit);
    }

    /// What became of the containers is published last, and then the pod goes.
    fn end(&mut self, uid: &str) {
        if let Some(body) = self.bodies.get_mut(uid) {
            body.has_ended = true;
        }
        self.publish(uid);
        self.remove_pod(uid);
    }

    /// The last word of a kubelet on a pod, or of whoever speaks for it.
    pub(super) fn remove_pod(&mut self, uid: &str) {
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        let named = body.name.clone();
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        let _ = self.delete(Who::Kubelet, &PODS, &named, options);
    }

    pub(super) fn pod_of(&self, uid: &str) -> Option<std::sync::Arc<Value>> {
        let body = self.bodies.get(uid)?;
        let pod = self.api.get(&PODS, NAMESPACE, &body.name)?;
        (super::apiserver::uid(pod) == uid).then(|| pod.clone())
    }

    /// The epoch that the pod is asked for by now.
    pub(super) fn asked(&self, uid: &str) -> Option<String> {
        let pod = self.pod_of(uid)?;
        let text = pod["metadata"]["annotations"][DRAIN].as_str()?;
        let request: Value = serde_json::from_str(text).ok()?;
        Some(request["epoch"].as_str()?.to_owned())
    }
}

fn status_of(uid: &str, body: &Body, is_ready: bool) -> Value {
    let agent = &body.agent;
    let ended = agent.exit_code.map(|code| {
        let message = agent
            .receipt
            .as_ref()
            .map(|receipt| json!(receipt).to_string());
        json!({"terminated": {
            "exitCode": code, "finishedAt": agent.ended, "message": message.unwrap_or_default(),
        }})
    });
    let (state, last) = if agent.is_running {
        (json!({"running": {}}), ended.unwrap_or_else(|| json!({})))
    } else if let Some(ended) = ended {
        (ended, json!({}))
    } else {
        (json!({"waiting": {"reason": "PodInitializing"}}), json!({}))
    };
    let (phase, app) = match (body.has_ended, body.is_started) {
        (true, _) => ("Succeeded", json!({"terminated": {"exitCode": 0}})),
        (false, true) => ("Running", json!({"running": {}})),
        (false, false) => (
            "Pending",
            json!({"waiting": {"reason": "ContainerCreating"}}),
        ),
    };
    let truth = |is: bool| if is { "True" } else { "False" };
    let last_octet = uid.trim_start_matches("uid-");
    json!({
        "phase": phase,
        "podIP": format!("10.0.0.{last_octet}"),
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": truth(is_ready), "lastTransitionTime": body.ready_since.1},
        ],
        "initContainerStatuses": [{
            "name": AGENT, "image": "agent", "imageID": "",
            "ready": agent.is_running && agent.is_ready,
            "started": agent.is_running,
            "restartCount": agent.restarts,
            "state": state,
            "lastState": last,
        }],
        "containerStatuses": [{
            "name": "app", "image": body.image, "imageID": "",
            "ready": body.is_app_ready,
            "started": body.is_started,
            "restartCount": 0,
            "state": app,
            "lastState": {},
        }],
    })
}
