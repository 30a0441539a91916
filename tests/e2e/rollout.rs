//! An image change under load: what is lost, how long it takes, and when each old pod leaves.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Namespaced, Verdict, World, is_ready, names, test_under_load};
use crate::figure::{assert_at_most, count, median, most, seconds, show, slack};
use crate::load::{Arm, Clients, Load};
use crate::timeline::Timeline;

/// A rollout of four pods with streams of 20 s, on a slow machine.
pub(crate) const ROLLOUT: Duration = Duration::from_secs(180);

/// Rollouts in one measurement, at least.
pub(crate) const ROUNDS: u32 = 3;

/// Time under load of one measurement, at least: 20,000 requests are made in 65 s, and a fast
/// machine has done its rollouts by then.
const UNDER_LOAD: Duration = Duration::from_secs(75);

/// The kinds of requests whose end the kernel sees. A keep-alive connection without notice cycles
/// until its server shuts down, so its last answer says nothing about work.
const WORK: [&str; 3] = ["new", "slow", "stream"];

/// What one measurement found.
struct Rolled {
    arm: Arm,
    is_disturbed: bool,
    /// Seconds from the end of an old pod's work to its deletion, and until it is gone.
    deleted: Vec<f64>,
    gone: Vec<f64>,
}

/// B65.
#[test]
fn image_change_with_notice_loses_nothing_and_old_pods_leave_when_their_work_is_over() {
    test_under_load("notify", |world| async move {
        let rolled = roll(&world, &App::graceful("app").replicas(4).notify()).await;
        if rolled.is_disturbed {
            return Verdict::Disturbed;
        }
        show("requests", count(rolled.arm.requests), None, "requests");
        show(
            "requests lost, with notice",
            count(rolled.arm.lost),
            Some(0.0),
            "requests",
        );
        rolled.arm.assert_nothing_lost();
        // minSeconds 5, quietSeconds 3: max(5, 3) + 1.5 s, and + 3 s.
        for (what, after, limit) in [
            ("deleted", &rolled.deleted, 6.5),
            ("gone", &rolled.gone, 8.0),
        ] {
            show(
                &format!("old pod {what} after its work, most"),
                most(after),
                None,
                "s",
            );
            let figure = format!("old pod {what} after its work, median");
            assert_at_most(&figure, median(after), limit * slack(), "s");
        }
        assert!(
            rolled.deleted.len() >= 12,
            "{} old pods measured",
            rolled.deleted.len()
        );
        Verdict::Held
    });
}

#[test]
fn image_change_without_notice_loses_at_most_an_idle_keep_alive_connection() {
    test_under_load("plain", |world| async move {
        let rolled = roll(&world, &App::graceful("app").replicas(4)).await;
        if rolled.is_disturbed {
            return Verdict::Disturbed;
        }
        let mut lost = rolled.arm.lost_by.clone();
        // The race of HTTP/1.1: the server closes an idle connection at SIGTERM while the client's
        // next request is on its way. Only an answer with `Connection: close` before avoids it.
        let races = lost.remove("keepAlive").unwrap_or_default();
        assert!(lost.is_empty(), "{lost:?}: {:#?}", rolled.arm.failures);
        for (cause, count) in &races {
            assert!(
                cause == "reset" || cause == "closedBeforeAnswer",
                "{count} {cause}"
            );
        }
        println!("keep-alive races without notice: {races:?}");
        show(
            "keep-alive races without notice",
            count(races.values().sum()),
            None,
            "connections",
        );
        Verdict::Held
    });
}

#[test]
fn new_pods_are_ready_as_soon_as_a_deployments() {
    test_under_load("speed", |world| async move {
        let own =
            ready_after_change::<GracefulDeployment>(&world, &App::graceful("own").replicas(4))
                .await;
        let theirs =
            ready_after_change::<Deployment>(&world, &App::deployment("theirs").replicas(4)).await;
        println!("all new pods ready after {own:.1} s, a Deployment's after {theirs:.1} s");
        assert_at_most(
            "one change without load: new pods ready",
            own,
            slack() * (theirs + 1.5),
            "s",
        );
        Verdict::Held
    });
}

/// Rolls the app again and again under load.
async fn roll(world: &World, app: &App) -> Rolled {
    Load::prepare(world).await;
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.complete("app", ROLLOUT).await;
    let timeline = Timeline::of(world);
    let clients = Clients {
        new_per_second: 220,
        keep_alive: 16,
        ..Clients::MIXED
    };
    let load = Load::start(world, &[("app", clients)]).await;
    let mut ready = Vec::new();
    let mut old = Vec::new();
    let under_load = Instant::now();
    for version in 2.. {
        if version >= 2 + ROUNDS && under_load.elapsed() >= UNDER_LOAD {
            break;
        }
        let before = names(&world.pods("app").await);
        let began = Instant::now();
        world
            .patch::<GracefulDeployment>("app", app.change(version))
            .await;
        new_ready(world, "app", &before).await;
        ready.push(began.elapsed().as_secs_f64());
        world.complete("app", ROLLOUT).await;
        timeline.gone(world, "app", &before, ROLLOUT).await;
        old.extend(before);
    }
    let found = load.finish().await;
    let is_disturbed = found.is_disturbed();
    let arm = found.arm("app").clone();
    let (mut deleted, mut gone) = (Vec::new(), Vec::new());
    let lives = timeline.lives("app");
    for pod in &old {
        let life = &lives[pod];
        let Some(withdrawn) = life.withdrawn else {
            continue;
        };
        let worked = last_work(&arm, pod).unwrap_or(0).max(withdrawn);
        let after = |at: Option<i64>| at.map(|at| seconds(at - worked));
        deleted.extend(after(life.deleted));
        gone.extend(after(life.gone));
    }
    println!(
        "{} requests, {} lost; new pods ready after {ready:.1?} s; old pods deleted {:.1} s after their \
         work (most {:.1} s), gone {:.1} s (most {:.1} s)",
        arm.requests,
        arm.lost,
        median(&deleted),
        most(&deleted),
        median(&gone),
        most(&gone),
    );
    assert!(arm.requests >= 20_000, "only {} requests", arm.requests);
    Rolled {
        arm,
        is_disturbed,
        deleted,
        gone,
    }
}

/// Seconds from a change of an app without load to the readiness of its last new pod.
async fn ready_after_change<K>(world: &World, app: &App) -> f64
where
    K: Namespaced,
{
    let object = app.object();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    world.create::<K>(object).await;
    world.create::<Service>(app.service()).await;
    world
        .until("the first pods are ready", ROLLOUT, async || {
            let ready = world
                .pods(&name)
                .await
                .iter()
                .filter(|pod| is_ready(pod))
                .count();
            if ready == 4 {
                Ok(())
            } else {
                Err(format!("{ready} ready"))
            }
        })
        .await;
    let before = names(&world.pods(&name).await);
    let began = Instant::now();
    world.patch::<K>(&name, app.change(2)).await;
    new_ready(world, &name, &before).await;
    began.elapsed().as_secs_f64()
}

/// Waits until four pods are ready that were not there before.
pub(crate) async fn new_ready(world: &World, app: &str, before: &[String]) {
    world
        .until("all new pods are ready", ROLLOUT, async || {
            let pods = world.pods(app).await;
            let ready = pods
                .iter()
                .filter(|pod| is_ready(pod))
                .filter(|pod| {
                    !before
                        .iter()
                        .any(|name| Some(name) == pod.metadata.name.as_ref())
                })
                .count();
            if ready == 4 {
                Ok(())
            } else {
                Err(format!("{ready} new pods ready"))
            }
        })
        .await;
}

/// When the last request whose end the kernel sees ended on a pod.
fn last_work(arm: &Arm, pod: &str) -> Option<i64> {
    let last = &arm.pods.get(pod)?.last_millis;
    WORK.iter()
        .filter_map(|kind| last.get(*kind))
        .max()
        .and_then(|at| i64::try_from(*at).ok())
}
