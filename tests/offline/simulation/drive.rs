//! Runs one script: the real operator on the simulated cluster, in a time that stands still while
//! anybody works.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use graceful::operator::{Host, live_in};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep_until;

use super::chance::Chance;
use super::door::Shared;
use super::informer::Reader;
use super::script::Script;
use super::wires::Wires;
use super::world::World;

/// What a run that went well came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) steps: usize,
    pub(super) writes: usize,
    pub(super) crashes: usize,
    /// Milliseconds of the cluster's time.
    pub(super) time: i64,
}

/// The operator's machine.
struct Machine {
    shared: Shared,
    chance: std::sync::Mutex<Chance>,
}

impl Host for Machine {
    fn wall(&self) -> Timestamp {
        let world = self.shared.world();
        world.time() + SignedDuration::from_millis(world.ahead)
    }

    /// Asked for with each look at the caches.
    fn random(&self) -> u64 {
        self.shared.world().remember_view();
        let mut chance = self.chance.lock().expect("no other thread");
        chance.next()
    }
}

/// Runs a script to its end, or to the first broken promise.
pub(super) fn run(script: Script) -> Result<Tally, String> {
    play(World::new(script, false)).0
}

/// The same, with the story of it.
pub(super) fn run_told(script: Script) -> (Result<Tally, String>, Vec<String>) {
    play(World::new(script, true))
}

fn play(world: World) -> (Result<Tally, String>, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let shared = Shared::new(world);
        // A panic in the operator's task or in the simulation is a broken promise too.
        let result = AssertUnwindSafe(drive(&shared)).catch_unwind().await;
        let result = result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
        let trace = shared.world().take_trace();
        (result, trace)
    })
}

type Operator = Pin<Box<dyn Future<Output = ()>>>;

async fn drive(shared: &Shared) -> Result<Tally, String> {
    let seed = shared.world().script.seed;
    let machine = Arc::new(Machine {
        shared: shared.clone(),
        chance: std::sync::Mutex::new(Chance::new(seed, "machine")),
    });
    let mut operator: Option<Operator> = None;
    loop {
        let next = {
            let mut world = shared.world();
            if let Some(what) = world.failure.clone() {
                return Err(what);
            }
            if world.is_over {
                return Ok(world.tally());
            }
            if std::mem::take(&mut world.is_killed) && world.wires.is_some() {
                world.schedule_operator();
                drop(world);
                operator = None;
                continue;
            }
            if operator.is_none() && world.is_wanted {
                world.is_wanted = false;
                let (wires, watches) = Wires::lay();
                world.wires = Some(wires);
                world.followed = world.ahead;
                for reader in Reader::OPERATOR {
                    world.relist(reader);
                }
                let image = world.agent_image.clone();
                drop(world);
                let (client, machine) = (shared.client(), machine.clone());
                operator = Some(Box::pin(async move {
                    live_in(client, watches, machine, &image).await;
                }));
                continue;
            }
            world.next()
        };
        let next = next.unwrap_or(0).unsigned_abs();
        let wake = shared.start() + Duration::from_millis(next);
        let work = async {
            match &mut operator {
                Some(operator) => operator.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = work => panic!("the operator ended by itself"),
            () = shared.stirred.notified() => {}
            () = sleep_until(wake) => {}
        }
    }
}

impl World {
    fn tally(&self) -> Tally {
        Tally {
            steps: self.steps,
            writes: self.writes,
            crashes: self.judge.crashes,
            time: self.now,
        }
    }

    pub(super) fn start_operator(&mut self) {
        self.say(|| "operator: starts".into());
        self.is_wanted = true;
    }
}
