//! Two operators and one Lease: one leads, and only that one writes; the other goes on where it stopped.

use std::process::Command;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::wait;
use crate::proxy::{Proxy, Refusal};
use crate::world::{Graceful, Operator, WEB, World};

/// What a lease is good for, and the pause between two looks (`src/operator/lease/election.rs`).
const LEASE: Duration = Duration::from_secs(17);

/// One operator of two, and what it says to the API server.
struct One {
    operator: Operator,
    proxy: Proxy,
}

impl One {
    async fn start(namespace: &str) -> Self {
        let proxy = Proxy::start().await;
        let lease = format!("{namespace}/graceful-operator");
        let operator = Operator::start_with_lease(namespace, &proxy.kubeconfig(), &lease);
        Self { operator, proxy }
    }

    /// When it wrote what leaders write.
    fn writes(&self) -> Vec<Instant> {
        let calls = self.proxy.calls().into_iter();
        let led = calls.filter(|(_, call)| call.resource != "leases");
        led.map(|(at, _)| at).collect()
    }

    /// Whether it holds the Lease or held it. What it wrote there names what it saw.
    fn has_led(&self) -> bool {
        let calls = self.proxy.calls();
        let mut leases = calls.iter().filter(|(_, call)| call.resource == "leases");
        leases.any(|(_, call)| {
            let version = call
                .body
                .as_ref()
                .map(|body| &body["metadata"]["resourceVersion"]);
            let is_guarded = version.is_none_or(Value::is_string);
            assert!(call.verb == "create" || is_guarded, "{call:?}");
            call.code < 300
        })
    }
}

/// One that leads and is in the middle of a rollout, and one that stands by.
async fn two_at_work(world: &mut World<Graceful>) -> (One, One) {
    drop(world.operator.take());
    // The one takes over after what the other did not live to say.
    world.watcher.terms.lock().unwrap().lag = SignedDuration::from_secs(60);
    let first = One::start(&world.namespace).await;
    wait(|| first.has_led()).await;
    let second = One::start(&world.namespace).await;
    let bounds = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    world.create_complete(4, json!({"strategy": bounds})).await;
    let before = first.writes().len();
    world.set_image(&format!("{WEB}:2")).await;
    wait(|| first.writes().len() > before + 4).await;
    let silent = second.writes();
    assert!(silent.is_empty(), "{silent:?}");
    (first, second)
}

/// How long it took from then on until the other one wrote; the rollout comes to its end.
async fn taken_over(world: &World<Graceful>, second: &One, since: Instant) -> Duration {
    wait(|| !second.writes().is_empty()).await;
    let took = second.writes()[0].saturating_duration_since(since);
    println!("taken over after {} ms", took.as_millis());
    world.complete().await;
    world.until_only(&format!("{WEB}:2"), 4).await;
    took
}

/// R07, R38.
#[test]
fn rollout_of_a_killed_leader_is_gone_on_with_once_its_lease_has_run_out() {
    crate::world::run::<Graceful, _>("lease-killed", async |mut world| {
        let (mut first, second) = two_at_work(&mut world).await;
        first.operator.kill();
        let took = taken_over(&world, &second, Instant::now()).await;
        assert!(took < LEASE * 2, "{took:?}");
    });
}

/// R38.
#[test]
fn leader_that_is_stopped_gives_its_lease_back() {
    crate::world::run::<Graceful, _>("lease-stopped", async |mut world| {
        let (first, second) = two_at_work(&mut world).await;
        let stopped = Instant::now();
        let process = first.operator.id().to_string();
        let told = Command::new("kill").args(["-TERM", &process]).status();
        assert!(told.expect("kill").success());
        let took = taken_over(&world, &second, stopped).await;
        let last = first.writes().last().copied();
        assert!(last < second.writes().first().copied());
        // Not for its lease to run out.
        assert!(took < LEASE / 2, "{took:?}");
    });
}

/// R06, R07: it reaches the API server all the time, and does not know whether it still leads.
#[test]
fn leader_that_cannot_renew_writes_nothing_more_and_ends() {
    crate::world::run::<Graceful, _>("lease-lost", async |mut world| {
        let (mut first, second) = two_at_work(&mut world).await;
        first.proxy.set(|faults| {
            faults.refusals = vec![Refusal {
                of: |about| about.resource == "leases",
                code: 500,
                retry_after: None,
                times: usize::MAX,
            }];
        });
        world.pause().await;
        wait(|| second.has_led()).await;
        world.set_image(&format!("{WEB}:3")).await;
        world.resume().await;
        world.complete().await;
        let (last, first_of_other) = (first.writes(), second.writes());
        assert!(last.last() < first_of_other.first());
        assert!(!first.operator.ended().await.success());
        world.until_only(&format!("{WEB}:3"), 4).await;
    });
}
