//! Many changes one after the other, drawn by chance: whatever was asked in between, the last wish is
//! fulfilled.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use super::bounds::bounds;
use super::scenarios;
use crate::world::trail::is_terminating;
use crate::world::{Arm, World};

scenarios! { both:
    random_changes_end_complete,
    random_changes_end_complete_from_another_seed,
}

/// Changes in a row, where nobody asks for more by `GRACEFUL_CHANGES`.
const STEPS: u32 = 25;

fn steps() -> u32 {
    let asked = std::env::var("GRACEFUL_CHANGES").ok();
    asked.map_or(STEPS, |text| text.parse().expect("a number of changes"))
}

/// Numbers by chance that are the same in every run: xorshift, 64 bits.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// B05: template edits, pauses, resumes, scalings, undos, restarts and killed pods.
async fn random_changes_end_complete<A: Arm>(world: World<A>) {
    change_by_chance(&world, 0x5eed_0001).await;
}

/// B05.
async fn random_changes_end_complete_from_another_seed<A: Arm>(world: World<A>) {
    change_by_chance(&world, 0x5eed_0002).await;
}

async fn change_by_chance<A: Arm>(world: &World<A>, seed: u64) {
    let mut chance = Chance(seed);
    // Changes come faster than a busy machine acts on them: what it does may rest on any of the last.
    world.watcher.terms.lock().unwrap().lag = SignedDuration::from_secs(30);
    world.create_complete(4, bounds(1, 1)).await;
    let mut replicas = 4;
    let mut image = "web:1".to_owned();
    for step in 1..=steps() {
        match chance.below(10) {
            0..=2 => {
                image = format!("web:{}", chance.below(6) + 1);
                world.set_image(&image).await;
            }
            3 => world.pause().await,
            4..=5 => world.resume().await,
            6..=7 => {
                replicas = i32::try_from(chance.below(6) + 1).unwrap();
                world.scale(replicas).await;
            }
            8 => kill_a_pod(world, &mut chance).await,
            _ => world.restart().await,
        }
        // From nothing to most of what follows from it: the next change meets every phase.
        let pause = Duration::from_millis(chance.below(1500));
        world.never(&format!("step {step}"), pause, |_| false).await;
    }
    world.resume().await;
    let view = world.complete().await;
    assert_eq!(view.wanted, i64::from(replicas));
    let count = usize::try_from(replicas).unwrap();
    world.until_only(&image, count).await;
    let sets = world.trail.now().replica_sets;
    let inhabited = sets
        .values()
        .filter(|set| set["spec"]["replicas"] != json!(0));
    assert_eq!(inhabited.count(), 1);
}

async fn kill_a_pod<A: Arm>(world: &World<A>, chance: &mut Chance) {
    let now = world.trail.now();
    let mut alive: Vec<_> = now
        .pods
        .iter()
        .filter(|(_, pod)| !is_terminating(pod))
        .collect();
    if alive.is_empty() {
        return;
    }
    let chosen = usize::try_from(chance.below(alive.len() as u64)).unwrap();
    let (name, _) = alive.swap_remove(chosen);
    let pods: Api<Pod> = world.api();
    // Gone already, perhaps.
    let _ = pods.delete(name, &DeleteParams::default()).await;
}
