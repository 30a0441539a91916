//! The agents in the pods, and the work that they wait for: hears, withdraws, waits, reports, exits
//! once an epoch, and is back when the kubelet's back-off lets it.

use graceful::api::DRAIN;
use graceful::api::receipt::{MeasuredBy, Outcome, Receipt};
use serde_json::{Value, json};

use super::apiserver::kinds::SLICES;
use super::apiserver::name;
use super::script::Permanent;
use super::world::{Event, Life, World};

/// How long a route lives on after its EndpointSlice has forgotten the pod, at most.
const ROUTES: i64 = 1000;

impl World {
    /// The object's drain settings, as they are.
    pub(super) fn drain_settings(&self) -> Value {
        let object = self.object();
        object.map_or_else(
            || self.script.object["spec"]["drain"].clone(),
            |object| object["spec"]["drain"].clone(),
        )
    }

    /// The request on the pod, as it is.
    fn request(&self, uid: &str) -> Option<Value> {
        let pod = self.pod_of(uid)?;
        let text = pod["metadata"]["annotations"][DRAIN].as_str()?;
        serde_json::from_str(text).ok()
    }

    /// The agent reads what it is asked for.
    pub(super) fn hear(&mut self, uid: &str) {
        let asked = self.asked(uid);
        let now = self.now;
        let Some(body) = self.bodies.get_mut(uid) else {
            return;
        };
        let agent = &mut body.agent;
        if !agent.is_running || agent.heard == asked {
            return;
        }
        agent.heard.clone_from(&asked);
        agent.heard_at = now;
        agent.withdrawn = None;
        agent.finished = None;
        self.say(|| format!("agent of {uid} hears {asked:?}"));
        let tick = self.lives.within(10, 1000);
        self.life(tick, uid, Life::Probe);
    }

    /// The kubelet asks the agent whether the pod serves.
    pub(super) fn probe(&mut self, uid: &str) {
        let now = self.now;
        let Some(body) = self.bodies.get_mut(uid) else {
            return;
        };
        // While the pod terminates the agent keeps its last answer.
        if !body.agent.is_running || body.terminating.is_some() {
            return;
        }
        let serves = body.agent.heard.is_none();
        let is_new = body.agent.is_ready != serves;
        let begins = !serves && body.agent.withdrawn.is_none() && body.agent.finished.is_none();
        if begins {
            body.agent.withdrawn = Some(now);
        }
        if is_new {
            self.change(uid, |body| body.agent.is_ready = serves);
        }
        if begins {
            self.life(500, uid, Life::AgentLook);
        }
    }

    /// The agent looks at its connections.
    pub(super) fn agent_look(&mut self, uid: &str) {
        let now = self.now;
        let Some(request) = self.request(uid) else {
            return;
        };
        let seconds = |key: &str| request["drain"][key].as_i64().unwrap_or(5) * 1000;
        let (least, quiet) = (seconds("minSeconds"), seconds("quietSeconds"));
        let timeout = seconds("timeoutSeconds");
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        let agent = &body.agent;
        let epoch = request["epoch"].as_str().unwrap_or_default();
        let is_at_it = agent.is_running && agent.heard.as_deref() == Some(epoch);
        let (Some(withdrawn), true) = (agent.withdrawn, is_at_it && agent.finished.is_none())
        else {
            return;
        };
        if agent.is_silent {
            return;
        }
        let busy = body.busy(now);
        let closed = body.connections.iter().copied().max().unwrap_or(0);
        let drained = (withdrawn + least).max(closed.saturating_add(quiet));
        let deadline = agent.heard_at + timeout;
        let outcome = if now >= drained {
            Outcome::Drained
        } else if now >= deadline {
            Outcome::TimedOut
        } else {
            // Connections may still come, and settings may change: it looks again.
            let next = (drained.min(deadline) - now).min(1000);
            return self.life(next.max(1), uid, Life::AgentLook);
        };
        let receipt = Receipt {
            epoch: epoch.into(),
            uid: uid.into(),
            outcome,
            milliseconds: (now - agent.heard_at).unsigned_abs(),
            connections_at_start: 0,
            connections_at_end: u32::try_from(busy).unwrap_or(0),
            busy: u32::try_from(busy).unwrap_or(0),
            last: Some("connections".into()),
            why: None,
            measured_by: MeasuredBy::SockDiag,
            late_arrivals: Default::default(),
        };
        self.say(|| format!("agent of {uid} reports {outcome:?} for {}", receipt.epoch));
        self.agent_exits(uid, 0, Some(receipt));
    }

    /// The agent's container ends; the kubelet starts it again after its back-off.
    pub(super) fn agent_exits(&mut self, uid: &str, code: i64, receipt: Option<Receipt>) {
        let time = self.stamp();
        let mut back = 0;
        self.change(uid, |body| {
            let agent = &mut body.agent;
            if let Some(receipt) = &receipt {
                agent.finished = Some(receipt.epoch.clone());
                agent.was_late = receipt.outcome != Outcome::Drained;
            }
            let is_lost = std::mem::take(&mut agent.loses_receipt);
            agent.receipt = receipt.filter(|_| !is_lost);
            (agent.is_running, agent.exit_code) = (false, Some(code));
            agent.ended = time;
            // Not ready is what the kubelet makes of a container that does not run.
            agent.is_ready = false;
            back = match agent.exits {
                0 => 800,
                exits => 10_000 << (exits - 1).min(5),
            };
            agent.exits += 1;
        });
        self.life(back, uid, Life::AgentBack);
    }

    pub(super) fn agent_back(&mut self, uid: &str) {
        let Some(body) = self.bodies.get(uid) else {
            return;
        };
        if body.agent.is_running || body.exits_at.is_some() {
            return;
        }
        self.change(uid, |body| {
            body.agent.is_running = true;
            body.agent.restarts += 1;
        });
        self.life(0, uid, Life::Hear);
        self.life(300, uid, Life::Probe);
        self.life(800, uid, Life::AgentLook);
    }

    /// Clients come: each to a pod that the routes name.
    pub(super) fn open_connections(&mut self) {
        let next = self.traffic.within(300, 1200);
        self.later(next, Event::Traffic);
        if self.is_over {
            return;
        }
        let now = self.now;
        self.learn_routes();
        for body in self.bodies.values_mut() {
            body.connections.retain(|end| *end > now);
        }
        let routed = |world: &Self| -> Vec<String> {
            let routes = world.routes.iter();
            let fresh = routes.filter(|(_, seen)| now - **seen <= ROUTES);
            fresh.map(|(uid, _)| uid.clone()).collect()
        };
        for _ in 0..self.traffic.within(0, 3) {
            let open = routed(self);
            let length = match self.traffic.within(0, 9) {
                0 => self.traffic.within(5000, 40_000),
                1 | 2 => self.traffic.within(1000, 8000),
                _ => self.traffic.within(20, 800),
            };
            let Some(uid) = self.traffic.pick(&open).cloned() else {
                break;
            };
            if let Some(body) = self.bodies.get_mut(&uid)
                && body.is_started
                && body.exits_at.is_none()
                && !body.is_lost
            {
                body.connections.push(now + length);
            }
        }
    }

    /// Routes follow the EndpointSlices, and forget late.
    fn learn_routes(&mut self) {
        let now = self.now;
        let slices: Vec<_> = self.api.all(&SLICES).cloned().collect();
        for slice in slices {
            // Whoever asks for addresses that are not ready talks to pods that leave.
            if name(&slice) == "peers-slice" {
                continue;
            }
            let endpoints = slice["endpoints"].as_array();
            for endpoint in endpoints.into_iter().flatten() {
                if endpoint["conditions"]["ready"] == json!(true) {
                    let uid = endpoint["targetRef"]["uid"].as_str().unwrap_or_default();
                    self.routes.insert(uid.into(), now);
                }
            }
        }
    }

    /// What is to stay broken breaks.
    pub(super) fn break_for_good(&mut self) {
        let permanent = self.script.permanent;
        let now = self.now;
        for body in self.bodies.values_mut() {
            match permanent {
                Permanent::EndlessConnections
                    if body.is_ready(now) && body.terminating.is_none() =>
                {
                    body.connections.push(now + 100_000_000);
                }
                Permanent::SilentAgents => body.agent.is_silent = true,
                _ => {}
            }
        }
    }
}
