//! The ways out other than the plain rollout: cancelled, the last pod, the deadline, a liveness
//! failure, a change of settings.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, World, is_ready, names, test, test_alone, test_under_load};
use crate::figure::{assert_at_most, seconds, slack};
use crate::load::{Clients, Load};
use crate::stream::Stream;
use crate::timeline::Timeline;

const SOON: Duration = Duration::from_secs(120);

async fn start(world: &World, app: &App) {
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.complete("app", SOON).await;
}

/// R16, R21.
#[test]
fn rollback_brings_draining_pods_back_and_a_hand_that_deletes_them_loses_nothing() {
    test_under_load("rollback", |world| async move {
        Load::prepare(&world).await;
        let app = App::graceful("app").replicas(4).notify();
        start(&world, &app).await;
        let warm = names(&world.pods("app").await);
        let load = Load::start(&world, &[("app", Clients::MIXED)]).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        let drain = world.draining("app", 1).await.remove(0);
        world
            .patch::<GracefulDeployment>("app", app.change(1))
            .await;
        let began = Instant::now();
        world
            .until(
                "the draining pod is back",
                Duration::from_secs(30),
                async || {
                    let pod: Pod = world
                        .api()
                        .get(&drain.pod)
                        .await
                        .map_err(|error| error.to_string())?;
                    if is_ready(&pod) {
                        Ok(())
                    } else {
                        Err("not ready".into())
                    }
                },
            )
            .await;
        let back = began.elapsed().as_secs_f64();
        assert_at_most(
            "rollback: draining pod back in service",
            back,
            3.0 * slack(),
            "s",
        );
        world.complete("app", SOON).await;
        let mut now = names(&world.pods("app").await);
        now.sort();
        let mut expected = warm.clone();
        expected.sort();
        assert_eq!(now, expected, "no pod was made while warm ones were left");
        world.delete_pod(&drain.pod).await;
        world
            .until("the deleted pod is gone", SOON, async || {
                let left = world
                    .api::<Pod>()
                    .get_opt(&drain.pod)
                    .await
                    .expect("an answer");
                if left.is_none() {
                    Ok(())
                } else {
                    Err("still there".into())
                }
            })
            .await;
        world.complete("app", SOON).await;
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        found.arm("app").assert_nothing_lost();
        Verdict::Held
    });
}

/// B69.
#[test]
fn only_ready_pod_serves_until_it_terminates() {
    test_under_load("last", |world| async move {
        Load::prepare(&world).await;
        let bounds = json!({"maxSurge": 0, "maxUnavailable": 1});
        let app = App::graceful("app")
            .notify()
            .spec("/strategy/rollingUpdate", bounds);
        start(&world, &app).await;
        let timeline = Timeline::of(&world);
        let old = names(&world.pods("app").await);
        let clients = Clients {
            new_per_second: 40,
            ..Clients::default()
        };
        let load = Load::start(&world, &[("app", clients)]).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        timeline.gone(&world, "app", &old, SOON).await;
        world.complete("app", SOON).await;
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        found.arm("app").assert_nothing_lost();
        assert_never_withdrawn(&timeline, &old);
        Verdict::Held
    });
}

/// B02.
#[test]
fn recreate_never_withdraws_a_pod_by_readiness_and_never_runs_two_revisions() {
    test("recreate", |world| async move {
        let app = App::graceful("app")
            .replicas(2)
            .spec("/strategy", json!({"type": "Recreate"}));
        start(&world, &app).await;
        let timeline = Timeline::of(&world);
        let old = names(&world.pods("app").await);
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        timeline.gone(&world, "app", &old, SOON).await;
        world.complete("app", SOON).await;
        assert_never_withdrawn(&timeline, &old);
        let lives = timeline.lives("app");
        let ended = old
            .iter()
            .filter_map(|pod| lives[pod].ended)
            .max()
            .expect("ended");
        let new = lives.iter().filter(|(pod, _)| !old.contains(pod));
        let ready = new.filter_map(|(_, life)| life.ready).min();
        assert!(
            ready >= Some(ended),
            "a new pod was ready at {ready:?}, the last old one ended at {ended}"
        );
    });
}

/// A pod may be seen not ready once it terminates, never before.
fn assert_never_withdrawn(timeline: &Timeline, pods: &[String]) {
    let lives = timeline.lives("app");
    for pod in pods {
        let life = &lives[pod];
        let deleted = life.deleted.expect("deleted");
        assert!(
            life.withdrawn.is_none_or(|at| at >= deleted),
            "{pod} was withdrawn first: {life:?}"
        );
    }
}

/// B65, R24.
#[test]
fn pod_that_never_gets_idle_leaves_at_its_deadline() {
    // An agent that is kept from the processor for two seconds after its deadline counts as silent.
    test_alone("deadline", |world| async move {
        let timeout = 12.0;
        let app = App::graceful("app")
            .replicas(2)
            .spec("/drain/timeoutSeconds", json!(12));
        start(&world, &app).await;
        let timeline = Timeline::of(&world);
        let mut streams = Vec::new();
        for pod in world.pods("app").await {
            streams.push(Stream::open(&pod, Duration::from_secs(300)).await);
        }
        world
            .patch::<GracefulDeployment>("app", json!({"spec": {"replicas": 1}}))
            .await;
        let drain = world.draining("app", 1).await.remove(0);
        let deadline = drain.deadline.expect("a deadline").0.as_millisecond();
        timeline
            .gone(&world, "app", std::slice::from_ref(&drain.pod), SOON)
            .await;
        let deleted = timeline.lives("app")[&drain.pod].deleted.expect("deleted");
        let given = seconds(deleted - drain.since.0.as_millisecond());
        assert!(given >= timeout, "deleted {given:.1} s after its request");
        let off = seconds(deleted - deadline);
        assert_at_most(
            "busy pod deleted after its deadline",
            off,
            2.0 * slack(),
            "s",
        );
        let what = ["DrainTimedOut: ", &drain.pod, "1 busy connection"];
        world.until_event("app", &what).await;
        let record = world
            .graceful("app")
            .await
            .status
            .unwrap()
            .last_rollout
            .unwrap();
        assert_eq!((record.forced, record.connections_cut), (1, 1));
    });
}

#[test]
fn liveness_failure_restarts_the_container_in_its_own_time() {
    test("liveness", |world| async move {
        // Healthy for ten seconds, then never again; a stream would hold the hook for its drain.
        let probe = json!({
            "httpGet": {"path": "/never", "port": 8080},
            "initialDelaySeconds": 10, "periodSeconds": 1, "failureThreshold": 1,
        });
        let app = App::graceful("app").container("/livenessProbe", probe);
        world.create::<GracefulDeployment>(app.object()).await;
        let pod = world
            .until("the pod is ready", SOON, async || {
                let pods = world.pods("app").await;
                pods.into_iter()
                    .find(is_ready)
                    .ok_or_else(|| "no pod is ready".to_owned())
            })
            .await;
        let _stream = Stream::open(&pod, Duration::from_secs(300)).await;
        let began = Instant::now();
        world
            .until("the container is restarted", SOON, async || {
                let pod: Pod = world.api().get(&pod.name_any()).await.expect("the pod");
                let statuses = pod.status.and_then(|status| status.container_statuses);
                let restarts = statuses
                    .iter()
                    .flatten()
                    .map(|status| status.restart_count)
                    .sum::<i32>();
                if restarts > 0 {
                    Ok(())
                } else {
                    Err("no restart".into())
                }
            })
            .await;
        let took = began.elapsed().as_secs_f64();
        // Its own 11 s, shutdown.timeoutSeconds 5, the kubelet's 2 s after an overrun, and up to 4 s of
        // its rounds: the prober's first, the one that kills, the one that starts. The drain's deadline
        // would be 60 s.
        assert_at_most(
            "liveness failure: container restarted",
            took,
            22.0 * slack(),
            "s",
        );
    });
}

#[test]
fn change_of_drain_settings_replaces_no_pod_and_governs_the_next_drain() {
    test("settings", |world| async move {
        let app = App::graceful("app").replicas(3);
        start(&world, &app).await;
        let timeline = Timeline::of(&world);
        let before = names(&world.pods("app").await);
        let settings = json!({"spec": {"drain": {"minSeconds": 12, "timeoutSeconds": 200}}});
        world.patch::<GracefulDeployment>("app", settings).await;
        world.complete("app", SOON).await;
        assert_eq!(names(&world.pods("app").await), before);
        world
            .patch::<GracefulDeployment>("app", json!({"spec": {"replicas": 2}}))
            .await;
        let drain = world.draining("app", 1).await.remove(0);
        timeline
            .gone(&world, "app", std::slice::from_ref(&drain.pod), SOON)
            .await;
        let life = timeline.lives("app")[&drain.pod].clone();
        let took = life.deleted.expect("deleted") - life.withdrawn.expect("withdrawn");
        assert!(
            took >= 11_500,
            "the pod left after {took} ms, minSeconds is 12"
        );
        let given = drain.deadline.expect("a deadline").0 - drain.withdrawn.expect("withdrawn").0;
        assert!(
            (given.total(jiff::Unit::Second).unwrap() - 200.0).abs() < 0.1,
            "{given}"
        );
    });
}
