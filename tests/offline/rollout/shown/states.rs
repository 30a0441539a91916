//! The states that a person meets, made in the model: what users expect of tools that wait for an object
//! or show its health.

use std::time::Duration;

use graceful::api::crd;
use graceful::api::v1alpha1::{DrainRecord, GracefulDeployment, validate};
use graceful::rollout::{Invalid, Overdue, Target, plan};
use serde_json::{Value, json};

use crate::rollout::fixtures::target;
use crate::rollout::scenarios::until_draining;
use crate::rollout::world::{Fault, World};

/// Names of the two revisions, as an operator would make them.
const OLD: &str = "chat-5d8f6c7b9";
const NEW: &str = "chat-7b9c4d5f8";

/// What Argo CD's message is.
pub(super) enum Says {
    /// The operator has not seen the spec.
    Unseen,
    /// That of a condition.
    Condition(&'static str),
}

/// One object, and what is to be said of it.
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) target: Target,
    pub(super) image: String,
    pub(super) generation: i64,
    pub(super) status: Value,
    /// A patch that makes the spec one that cannot be acted on.
    pub(super) broken: Option<Value>,
    pub(super) is_deleting: bool,
    pub(super) kstatus: &'static str,
    pub(super) health: &'static str,
    pub(super) says: Says,
}

impl State {
    /// What is in a world now; Argo CD's message is that of the condition Ready.
    fn of(name: &'static str, world: &World, kstatus: &'static str, health: &'static str) -> Self {
        let image = if world.wanted.name == NEW { 2 } else { 1 };
        Self {
            name,
            target: world.target.clone(),
            image: format!("chat:{image}"),
            generation: world.generation,
            status: json!(world.status),
            broken: None,
            is_deleting: false,
            kstatus,
            health,
            says: Says::Condition("Ready"),
        }
    }

    fn stalled(name: &'static str, world: &World) -> Self {
        Self {
            says: Says::Condition("Stalled"),
            ..Self::of(name, world, "Failed", "Degraded")
        }
    }
}

fn complete(change: impl FnOnce(&mut Target)) -> World {
    let mut target = target();
    change(&mut target);
    let mut world = World::new(target);
    world.apply(OLD);
    world.settle();
    world
}

/// A rollout a while after it began.
fn rolling(milliseconds: i64, change: impl FnOnce(&mut World)) -> World {
    let mut world = complete(|_| {});
    change(&mut world);
    world.apply(NEW);
    world.run_for(milliseconds);
    world
}

/// A rollout in which a pod has reached its deadline, with another one starting slowly.
fn kept(on_timeout: Overdue) -> World {
    let mut world = complete(|target| {
        target.on_timeout = on_timeout;
        target.drain_timeout = Duration::from_secs(60);
    });
    (world.pace.work, world.pace.start) = (400_000, 100_000);
    world.apply(NEW);
    world.run_until("kept", 900, |world| {
        world.status.drains.iter().any(DrainRecord::is_kept)
    });
    world
}

/// Every state, in the order of a life.
pub(super) fn states() -> Vec<State> {
    let mut states = Vec::from(before_completion());
    states.extend(after_completion());
    states.extend(in_a_rollout());
    states.extend(stuck());
    states
}

fn before_completion() -> [State; 3] {
    let mut world = World::new(target());
    world.apply(OLD);
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/status/default";
    let stored = crd::definition().pointer(schema).cloned();
    let created = State {
        status: stored.expect("a default of the status"),
        says: Says::Unseen,
        ..State::of("created", &world, "InProgress", "Progressing")
    };
    let first = plan(&world.see()).status;
    let unobserved = State {
        status: json!(first.expect("a first status")),
        ..State::of("first-written", &world, "InProgress", "Progressing")
    };
    world.run_for(2000);
    let starting = State::of("starting", &world, "InProgress", "Progressing");
    [created, unobserved, starting]
}

fn after_completion() -> [State; 7] {
    let mut world = complete(|_| {});
    let done = State::of("complete", &world, "Current", "Healthy");
    let deleting = State {
        is_deleting: true,
        generation: world.generation + 1,
        ..State::of("deleting", &world, "Terminating", "")
    };
    let edited = State {
        generation: world.generation + 1,
        image: "chat:2".into(),
        says: Says::Unseen,
        ..State::of("edited", &world, "InProgress", "Progressing")
    };
    world.edit(|target| target.replicas = 6);
    world.run_for(2000);
    let growing = State::of("scaling-up", &world, "InProgress", "Progressing");
    world.edit(|target| target.replicas = 3);
    until_draining(&mut world, OLD, 1);
    let shrinking = State::of("scaling-down", &world, "InProgress", "Progressing");
    world.edit(|target| target.replicas = 0);
    world.settle();
    let none = State::of("scaled-to-none", &world, "Current", "Healthy");
    let mut world = complete(|_| {});
    world.edit(|target| target.paused = true);
    world.run_for(2000);
    let paused = State::of("paused-when-complete", &world, "Current", "Suspended");
    [done, deleting, edited, growing, shrinking, none, paused]
}

fn in_a_rollout() -> [State; 5] {
    let world = rolling(2000, |_| {});
    let begun = State::of("rolling-out", &world, "InProgress", "Progressing");
    let mut world = rolling(0, |_| {});
    until_draining(&mut world, OLD, 1);
    world.run_for(3000);
    let draining = State::of("draining", &world, "InProgress", "Progressing");
    world.edit(|target| target.paused = true);
    world.run_for(60_000);
    let paused = State::of("paused-in-the-middle", &world, "InProgress", "Suspended");
    let world = rolling(5000, |world| world.quota = 4);
    let quota = State::of("quota-exceeded", &world, "InProgress", "Progressing");
    let world = kept(Overdue::Pauses);
    let waiting = State::of("paused-by-a-drain", &world, "InProgress", "Progressing");
    [begun, draining, paused, quota, waiting]
}

fn stuck() -> [State; 3] {
    let world = rolling(700_000, |world| {
        world.faults.insert(NEW.into(), Fault::NeverReady);
    });
    let overdue = State::stalled("deadline-exceeded", &world);
    let held = State::stalled("held", &kept(Overdue::IsHeld));
    let mut world = complete(|_| {});
    let broken = json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}});
    let mut spec = super::spec(&world.target, "chat:1");
    crate::merge::merge(&mut spec, &broken);
    let object = json!({"metadata": {}, "spec": spec});
    let object: GracefulDeployment = serde_json::from_value(object).expect("an object");
    let problems = validate(&object.spec)
        .expect_err("no room to move")
        .problems;
    world.generation += 1;
    let mut seen = world.see();
    seen.target = Err(Invalid(problems.iter().map(ToString::to_string).collect()));
    let invalid = State {
        status: json!(plan(&seen).status.expect("a status")),
        broken: Some(broken),
        ..State::stalled("invalid-spec", &world)
    };
    [overdue, held, invalid]
}
