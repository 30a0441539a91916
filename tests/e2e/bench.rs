//! What only `cargo xtask bench` measures, because it takes a machine of its own: a
//! GracefulDeployment beside a Deployment with a preStop sleep, the answer that people give today.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Namespaced, Verdict, World, names, test_alone, test_under_load};
use crate::figure::{assert_at_most, count, median, seconds, show, slack};
use crate::load::{Arm, Clients, Load};
use crate::rollout::{ROLLOUT, ROUNDS, new_ready};
use crate::timeline::Timeline;

/// The sleep of the Deployment beside us.
pub(crate) const SLEEP: u32 = 10;

/// Keep-alive connections and nothing else; 400 requests a second for each arm.
const CONNECTIONS: Clients = Clients {
    new_per_second: 0,
    keep_alive: 200,
    pause_millis: 500,
    kept_millis: 0,
    slow: 0,
    streams: 0,
};

/// The same app both ways.
struct Pair {
    graceful: App,
    deployment: App,
    timeline: Timeline,
}

/// What the changes of one workload took, in seconds.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Until all new pods were ready.
    pub(crate) ready: Vec<f64>,
    /// Until all old pods were gone.
    pub(crate) gone: Vec<f64>,
}

#[test]
fn keep_alive_without_notice_fails_no_more_than_with_a_sleep_and_turns_ready_as_soon() {
    test_under_load("keep-alive", |world| async move {
        let pair = Pair::start(&world).await;
        Load::prepare(&world).await;
        let arms = [("graceful", CONNECTIONS), ("deployment", CONNECTIONS)];
        let load = Load::start(&world, &arms).await;
        let (own, theirs) = pair.change(&world).await;
        let found = load.finish().await;
        println!("graceful {own:.1?}; deployment {theirs:.1?}");
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        let (graceful, deployment) = (found.arm("graceful"), found.arm("deployment"));
        for arm in [graceful, deployment] {
            println!("{}: {} requests, {:?}", arm.name, arm.requests, arm.lost_by);
        }
        // Both are shown before either fails.
        let broken = format!(
            "keep-alive connections broken in three changes, a Deployment's with a sleep: {}",
            failed(deployment)
        );
        let limit = most_by_chance(failed(deployment));
        let within = failed(graceful) <= limit;
        show(
            &broken,
            count(failed(graceful)),
            Some(count(limit)),
            "connections",
        );
        assert_at_most(
            "new pods ready, median; limit: the Deployment's + 1.5 s",
            median(&own.ready),
            slack() * (median(&theirs.ready) + 1.5),
            "s",
        );
        assert!(
            within,
            "{broken}; ours: {}: {:#?}",
            failed(graceful),
            graceful.failures
        );
        Verdict::Held
    });
}

#[test]
fn idle_rollout_is_done_sooner_than_with_a_sleep() {
    test_alone("idle", |world| async move {
        let pair = Pair::start(&world).await;
        let (own, theirs) = pair.change(&world).await;
        println!("graceful {own:.1?}; deployment {theirs:.1?}");
        assert_at_most(
            "idle: old pods gone, median; limit: the Deployment's",
            median(&own.gone),
            median(&theirs.gone),
            "s",
        );
    });
}

impl Pair {
    /// Four pods of each, ready.
    async fn start(world: &World) -> Self {
        let graceful = App::graceful("graceful").replicas(4);
        let deployment = App::deployment("deployment").replicas(4).sleep(SLEEP);
        world.create::<GracefulDeployment>(graceful.object()).await;
        world.create::<Deployment>(deployment.object()).await;
        world.create::<Service>(graceful.service()).await;
        world.create::<Service>(deployment.service()).await;
        new_ready(world, "graceful", &[]).await;
        new_ready(world, "deployment", &[]).await;
        world.complete("graceful", ROLLOUT).await;
        Self {
            graceful,
            deployment,
            timeline: Timeline::of(world),
        }
    }

    /// Changes one after the other, so that neither waits for the other's pods, some times.
    async fn change(&self, world: &World) -> (Changes, Changes) {
        let (mut own, mut theirs) = (Changes::default(), Changes::default());
        for version in 2..2 + ROUNDS {
            let patch = self.graceful.change(version);
            own.add::<GracefulDeployment>(world, &self.timeline, "graceful", patch)
                .await;
            world.complete("graceful", ROLLOUT).await;
            let patch = self.deployment.change(version);
            theirs
                .add::<Deployment>(world, &self.timeline, "deployment", patch)
                .await;
        }
        (own, theirs)
    }
}

impl Changes {
    /// Changes an app, and waits for its new pods and for the end of its old ones.
    pub(crate) async fn add<K: Namespaced>(
        &mut self,
        world: &World,
        timeline: &Timeline,
        app: &str,
        change: serde_json::Value,
    ) {
        let old = names(&world.pods(app).await);
        let began = Timestamp::now().as_millisecond();
        world.patch::<K>(app, change).await;
        new_ready(world, app, &old).await;
        timeline.gone(world, app, &old, ROLLOUT).await;
        let lives = timeline.lives(app);
        let gone = old.iter().filter_map(|pod| lives[pod].gone).max();
        let new = lives.iter().filter(|(pod, _)| !old.contains(pod));
        let ready = new.filter_map(|(_, life)| life.ready).max();
        let since = |at: Option<i64>| seconds(at.expect("a time") - began);
        self.ready.push(since(ready));
        self.gone.push(since(gone));
    }
}

/// Keep-alive connections that broke under a request: after one the client opens another.
fn failed(arm: &Arm) -> u64 {
    arm.lost_by.values().flat_map(BTreeMap::values).sum()
}

/// The most that is no evidence of breaking more connections than an arm that broke so many. Each is a
/// request that met the very moment of the close, so both counts are Poisson's, and of two that have the
/// same mean one in a hundred pairs lies farther apart: given their sum, each falls on either arm alike.
fn most_by_chance(theirs: u64) -> u64 {
    let mut own = theirs;
    while at_least(own + 1, own + 1 + theirs) >= 0.01 {
        own += 1;
    }
    own
}

/// How likely so many of all tosses of a coin are heads, or more.
fn at_least(heads: u64, tosses: u64) -> f64 {
    let mut ways = 1.0; // To choose k of them, over all 2^tosses.
    for _ in 0..tosses {
        ways /= 2.0;
    }
    let mut sum = 0.0;
    for k in 0..=tosses {
        if k >= heads {
            sum += ways;
        }
        ways *= count(tosses - k) / count(k + 1);
    }
    sum
}

#[test]
fn chance_explains_some_more_and_not_many_more() {
    assert_eq!([0, 1, 5, 20].map(most_by_chance), [6, 9, 16, 38]);
}
