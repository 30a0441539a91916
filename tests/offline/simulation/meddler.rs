//! Those who do as they like: users with their wishes, and everybody whose deeds nobody asked for.

use graceful::api::{DELETION_COST, DRAIN, DRAINING, USER_DELETION_COST};
use serde_json::{Value, json};

use super::apiserver::kinds::{OBJECTS, PODS, REPLICA_SETS};
use super::apiserver::{Part, name, uid};
use super::informer::Reader;
use super::script::{Deed, template};
use super::world::{Event, Life, Who, World};

/// Up to here the operator takes it that its machine's clock was slewed, in milliseconds.
const SLEWED: i64 = 2000;

impl World {
    pub(super) fn commit(&mut self, deed: &Deed) {
        self.say(|| format!("meddler: {deed:?}"));
        match deed {
            Deed::Template(version) => self.wish(&json!({"template": template(version)})),
            Deed::Replicas(count) => self.wish(&json!({"replicas": count})),
            Deed::Pause(paused) => self.wish(&json!({"paused": paused})),
            Deed::DrainTimeout(seconds) => {
                self.wish(&json!({"drain": {"timeoutSeconds": seconds}}));
            }
            Deed::Bounds(bounds) => {
                if self.script.object["spec"]["strategy"]["type"] != "Recreate" {
                    self.wish(&json!({"strategy": {"rollingUpdate": bounds}}));
                }
            }
            Deed::Jump(milliseconds) => {
                self.ahead += milliseconds;
                if (self.ahead - self.followed).abs() > SLEWED {
                    self.followed = self.ahead;
                }
                self.judge.jumps += 1;
            }
            Deed::Crash => self.is_killed = true,
            Deed::Upgrade => {
                self.agent_image = "agent:2".into();
                self.is_killed = true;
            }
            Deed::Stall(which, length) => self.stall(operators(*which), *length),
            Deed::Relist(which) => self.relist(operators(*which)),
            Deed::Quota(count) => {
                self.quota = *count;
                self.judge.meddled = true;
            }
            Deed::KillNode(which) => {
                self.judge.meddled = true;
                self.kill_node(which % self.nodes.len());
            }
            Deed::ScaleSet(which, count) => {
                self.on_set(*which, |world, set| {
                    world.judge.meddle_with_set(&set);
                    let body = json!({"spec": {"replicas": count}});
                    let part = (&REPLICA_SETS, Part::Scale);
                    let _ = world.patch(Who::Meddler, part, name(&set), body);
                });
            }
            Deed::DeleteSet(which) => {
                self.on_set(*which, |world, set| {
                    world.judge.meddle_with_set(&set);
                    let options = json!({"propagationPolicy": "Background"});
                    let _ = world.delete(Who::Meddler, &REPLICA_SETS, name(&set), options);
                });
            }
            _ => self.commit_on_pod(deed),
        }
    }

    fn wish(&mut self, spec: &Value) {
        let patch = json!({"spec": spec});
        let _ = self.patch(Who::Meddler, (&OBJECTS, Part::Whole), "chat", patch);
    }

    fn on_set(&mut self, which: usize, act: impl FnOnce(&mut Self, Value)) {
        let sets = self.sets();
        self.judge.meddled = true;
        if let Some(set) = sets.get(which % sets.len().max(1)) {
            act(self, (**set).clone());
        }
    }

    fn commit_on_pod(&mut self, deed: &Deed) {
        let (Deed::DeletePod(which)
        | Deed::ForceDeletePod(which)
        | Deed::WipePod(which)
        | Deed::CostPod(which, _)
        | Deed::FlapPod(which, _)
        | Deed::KillAgent(which)) = deed
        else {
            return;
        };
        let pods = self.pods();
        let Some(pod) = pods.get(which % pods.len().max(1)).cloned() else {
            return;
        };
        self.judge.meddle_with_pod(uid(&pod));
        let annotate = |annotations: Value| json!({"metadata": {"annotations": annotations}});
        let part = (&PODS, Part::Whole);
        match deed {
            Deed::DeletePod(_) => {
                let _ = self.delete(Who::Meddler, &PODS, name(&pod), json!({}));
            }
            Deed::ForceDeletePod(_) => {
                let options = json!({"gracePeriodSeconds": 0});
                let _ = self.delete(Who::Meddler, &PODS, name(&pod), options);
            }
            Deed::WipePod(_) => {
                let mut patch = annotate(json!({
                    DRAIN: null, DELETION_COST: null, USER_DELETION_COST: null,
                }));
                patch["metadata"]["labels"] = json!({DRAINING: null});
                let _ = self.patch(Who::Meddler, part, name(&pod), patch);
            }
            Deed::CostPod(_, cost) => {
                let patch = annotate(json!({DELETION_COST: cost.to_string()}));
                let _ = self.patch(Who::Meddler, part, name(&pod), patch);
            }
            Deed::FlapPod(_, length) => {
                let until = self.now + length;
                self.change(uid(&pod), |body| body.flaps_until = until);
                self.life(length + 1, uid(&pod), Life::AppReady);
            }
            _ => {
                let lives = self.bodies.get(uid(&pod));
                if lives.is_some_and(|body| body.agent.is_running && !body.is_lost) {
                    self.agent_exits(uid(&pod), 137, None);
                }
            }
        }
    }

    /// The operator is started, or started again.
    pub(super) fn schedule_operator(&mut self) {
        self.wires = None;
        self.say(|| "operator: killed".into());
        self.judge.crashes += 1;
        let back = self.luck.within(200, 6000);
        self.later(back, Event::OperatorBack);
    }
}

fn operators(which: usize) -> Reader {
    Reader::OPERATOR[which % Reader::OPERATOR.len()]
}
