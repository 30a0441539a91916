//! The ReplicaSet controller and the EndpointSlice controller, and the hands of people.

use graceful::rollout::{Phase, Readiness, Revision, Strategy};

use super::super::fixtures::{PodSentence, pod};
use super::super::ranking;
use super::{Body, Event, World};

/// A pod that runs is asked for its readiness first: it does not come from Pending to Ready at once.
const PROBED: i64 = 200;

impl World {
    /// One sync of a ReplicaSet, as pkg/controller/replicaset does it: it counts first, then makes or
    /// deletes, so what it writes is older than what it did.
    pub(super) fn sync_set(&mut self, uid: &str) {
        let Some(index) = self.sets.iter().position(|set| set.uid == uid) else {
            return;
        };
        let active: Vec<String> = self
            .bodies
            .iter()
            .filter(|body| body.pod.owner == uid && !body.pod.terminating)
            .map(|body| body.pod.uid.clone())
            .collect();
        let ready = self
            .bodies
            .iter()
            .filter(|body| active.contains(&body.pod.uid) && body.pod.is_ready())
            .count();
        let labelled = self
            .bodies
            .iter()
            .filter(|body| active.contains(&body.pod.uid) && body.pod.is_labelled)
            .count();
        let replicas = self.sets[index].replicas as usize;
        let failure = if active.len() < replicas {
            self.make_pods(uid, replicas - active.len())
        } else {
            self.delete_pods(&active, active.len() - replicas);
            None
        };
        let set = &mut self.sets[index];
        let before = (
            set.settled,
            set.counted,
            set.counted_ready,
            set.counted_labelled,
            set.failure.clone(),
        );
        set.settled = true;
        set.counted = u32::try_from(active.len()).expect("few pods");
        set.counted_ready = u32::try_from(ready).expect("few pods");
        set.counted_labelled = Some(u32::try_from(labelled).expect("few pods"));
        set.failure = failure;
        if before
            != (
                set.settled,
                set.counted,
                set.counted_ready,
                set.counted_labelled,
                set.failure.clone(),
            )
        {
            bump(set);
        }
    }

    fn make_pods(&mut self, owner: &str, count: usize) -> Option<String> {
        for _ in 0..count {
            if self.bodies.len() >= self.quota {
                self.schedule(5000, Event::Sync(owner.into()));
                return Some("exceeded quota: pods".into());
            }
            self.made += 1;
            let name = format!("{owner}-{}", self.made);
            let mut made = pod(&name).of(owner);
            made.config.clone_from(&self.target.drain_settings);
            let fault = self
                .faults
                .iter()
                .find(|(prefix, _)| name.starts_with(prefix.as_str()))
                .map(|(_, fault)| *fault);
            self.say(&format!("{owner}: makes {name} {fault:?}"));
            self.bodies.push(Body {
                pod: made,
                version: 1,
                fault,
                heard: None,
                drains_since: None,
                is_finished: false,
            });
            self.schedule(50, Event::Schedule(name.clone()));
            self.schedule((self.pace.start - PROBED).max(0), Event::Run(name.clone()));
            self.schedule(self.pace.start, Event::Start(name));
        }
        self.schedule(self.pace.controller, Event::Sync(owner.into()));
        self.judge_making(owner);
        None
    }

    /// New pods stay within the bounds, and with Recreate beside nobody.
    fn judge_making(&self, owner: &str) {
        let active = self.bodies.iter().filter(|body| !body.pod.terminating);
        let live = active
            .filter(|body| self.drain_of(&body.pod.uid).is_none())
            .count();
        let maximum = self.ceiling as usize + self.spare;
        if self.is_strict && live > maximum {
            self.fail(&format!("{live} starting and available, at most {maximum}"));
        }
        let is_crowded = self.bodies.iter().any(|body| body.pod.owner != owner);
        if self.is_strict && self.target.strategy == Strategy::Recreate && is_crowded {
            self.fail("a new pod beside an old one");
        }
    }

    fn delete_pods(&mut self, active: &[String], count: usize) {
        if count == 0 {
            return;
        }
        let pods: Vec<_> = self
            .bodies
            .iter()
            .filter(|body| active.contains(&body.pod.uid))
            .map(|body| body.pod.clone())
            .collect();
        let seed = self.chance();
        let refs: Vec<_> = pods.iter().collect();
        let order = ranking::victims_first(&refs, ranking::chance(seed));
        for victim in order.into_iter().take(count) {
            self.judge_leaving(&victim.uid);
            self.delete(&victim.uid, "its ReplicaSet");
        }
    }

    /// The slices follow the pod.
    pub(super) fn follow_pod(&mut self, uid: &str) {
        let body = self.bodies.iter().find(|body| body.pod.uid == uid);
        let should = body.is_some_and(|body| body.pod.is_ready() && !body.pod.terminating);
        if should {
            self.named.insert(uid.into());
        } else {
            self.named.remove(uid);
        }
    }

    /// Somebody deletes a pod.
    pub(in crate::rollout) fn delete_by_hand(&mut self, uid: &str) {
        self.serving = 0;
        self.delete(uid, "hand");
    }

    /// A pod's readiness probe is answered otherwise from now on.
    pub(in crate::rollout) fn answer_probe(&mut self, uid: &str, is_ready: bool) {
        self.say(&format!("{uid}: ready {is_ready}"));
        let now = self.time();
        self.touch(uid, |body| {
            body.pod.readiness = if is_ready {
                Readiness::Ready(now)
            } else {
                Readiness::NotReady
            };
        });
        self.serving = 0;
    }

    /// Somebody takes every mark of ours off a pod.
    pub(in crate::rollout) fn undo_by_hand(&mut self, uid: &str) {
        self.say(&format!("{uid}: unmarked by hand"));
        self.touch(uid, |body| {
            body.pod.request = None;
            body.pod.is_marked = false;
            body.pod.deletion_cost = 0;
        });
        self.schedule(self.pace.hear, Event::Hear(uid.into()));
    }

    /// A node goes, and takes its pods along; the garbage collector finds them after 40 s.
    pub(in crate::rollout) fn lose_node_of(&mut self, uid: &str) {
        let node = self
            .bodies
            .iter()
            .find(|body| body.pod.uid == uid)
            .and_then(|body| body.pod.node.clone());
        self.say(&format!("node {node:?} is lost"));
        let lost: Vec<_> = self
            .bodies
            .iter()
            .filter(|body| body.pod.node == node)
            .map(|body| body.pod.uid.clone())
            .collect();
        for uid in lost {
            self.touch(&uid, |body| {
                body.pod.node_lost = true;
                body.pod.readiness = Readiness::NotReady;
                body.pod.agent.ready = false;
                body.pod.phase = Phase::Running;
            });
            self.schedule(40_000, Event::Gone(uid));
        }
        self.serving = 0;
    }
}

/// A new version of the object.
pub(super) fn bump(set: &mut Revision) {
    let version: u64 = set.resource_version.parse().unwrap_or(0);
    set.resource_version = (version + 1).to_string();
}
