//! What becomes of a pod whose work never ends: kept until a person lets it go, or the rollout stops until the work
//! is over.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use graceful::api::v1alpha1::{
    DrainRecord, GracefulDeployment, GracefulDeploymentStatus, RolloutRecord,
};

use super::hasty;
use crate::app::App;
use crate::cluster::{World, condition, is_ready, names, test};
use crate::examples::SOON;
use crate::figure::{assert_at_most, count, seconds, show};
use crate::rollout::ROLLOUT;
use crate::stream::Stream;
use crate::timeline::Timeline;

/// A stream that no test waits for.
const NEVER: Duration = Duration::from_secs(600);

/// How long it is looked that nothing happens: several of the agent's deadlines.
const WATCHED: Duration = Duration::from_secs(45);

fn app(on_timeout: &str) -> App {
    hasty("app").spec("/drain/onTimeout", json!(on_timeout))
}

async fn pod(world: &World, name: &str) -> Option<Pod> {
    let pods = world.pods("app").await;
    pods.into_iter().find(|pod| pod.name_any() == name)
}

async fn status(world: &World) -> GracefulDeploymentStatus {
    world.graceful("app").await.status.unwrap_or_default()
}

/// How often the agent of a pod was started again.
fn restarts(pod: &Pod) -> u64 {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.init_container_statuses.as_ref());
    let agent = all.and_then(|all| all.iter().find(|one| one.name == "graceful-agent"));
    let restarts = agent.expect("the agent").restart_count;
    u64::try_from(restarts).expect("a count")
}

/// Waits until a condition has this reason.
async fn reason(world: &World, kind: &str, wanted: &str) -> String {
    world
        .until(
            &format!("{kind} is {wanted}"),
            SOON,
            async || match condition(&world.graceful("app").await, kind) {
                Some((_, reason, message)) if reason == wanted => Ok(message),
                other => Err(format!("{other:?}")),
            },
        )
        .await
}

async fn kept(world: &World, but: &str) -> DrainRecord {
    world
        .until("a pod is kept", SOON, async || {
            let drains = status(world).await.drains;
            let mut kept = drains.iter().filter(|drain| drain.overdue.is_some());
            let found = kept.find(|drain| drain.pod != but).cloned();
            found.ok_or(format!("{drains:?}"))
        })
        .await
}

/// Waits until so many ends are on record.
async fn record(world: &World, ended: i32) -> RolloutRecord {
    world
        .until("the ends are on record", SOON, async || {
            let record = status(world).await.last_rollout;
            let found = record.clone().filter(|record| record.ended == ended);
            found.ok_or(format!("{record:?}"))
        })
        .await
}

/// Looks for as long as it takes to believe it, that a check holds at every moment.
async fn always<T>(world: &World, what: &str, check: impl AsyncFn() -> Result<T, String>) -> T {
    let began = Instant::now();
    let last = world.until(what, WATCHED * 2, async || {
        let seen = check()
            .await
            .unwrap_or_else(|seen| panic!("{what}: {seen}"));
        if began.elapsed() > WATCHED {
            Ok(seen)
        } else {
            Err("not long enough".into())
        }
    });
    last.await
}

#[test]
fn pod_that_is_held_stays_until_a_person_lets_it_go() {
    test("hold", |world| async move {
        let app = app("Hold");
        world.create::<GracefulDeployment>(app.object()).await;
        world.complete("app", SOON).await;
        let old = world.pods("app").await.remove(0);
        let name = old.name_any();
        let _stream = Stream::open(&old, NEVER).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;

        let message = reason(&world, "Stalled", "DrainHeld").await;
        assert!(
            message.contains(&name) && message.contains("graceful.dev/release"),
            "{message}"
        );
        let old = always(
            &world,
            "the pod stays, and its successor serves",
            async || {
                let pods = world.pods("app").await;
                let ready = pods.iter().filter(|pod| is_ready(pod)).count();
                let old = pods.into_iter().find(|pod| pod.name_any() == name);
                let old = old.filter(|pod| pod.metadata.deletion_timestamp.is_none());
                old.filter(|_| ready == 1)
                    .ok_or(format!("{ready} ready pods"))
            },
        );
        let restarts = restarts(&old.await);
        show(
            "a pod that is held: restarts of its agent",
            count(restarts),
            None,
            "restarts",
        );
        let stalled = condition(&world.graceful("app").await, "Stalled").expect("the condition");
        assert_eq!(
            (stalled.0.as_str(), stalled.1.as_str()),
            ("True", "DrainHeld")
        );

        let release = json!({"metadata": {"annotations": {"graceful.dev/release": "true"}}});
        world.patch::<Pod>(&name, release).await;
        let timeline = Timeline::of(&world);
        timeline.gone(&world, "app", &[name], ROLLOUT).await;
        world.complete("app", SOON).await;
        let record = record(&world, 1).await;
        assert_eq!((record.drained, record.forced), (0, 1), "{record:?}");
        assert_eq!(record.connections_cut, 1, "{record:?}");
        for reason in ["DrainHeld: ", "DrainTimedOut: "] {
            world.until_event("app", &[reason]).await;
        }
    });
}

#[test]
fn rollout_that_is_paused_goes_on_when_the_work_is_over() {
    test("pause", |world| async move {
        // The second pod is to be withdrawn only after the first one's deadline.
        let app = app("Pause").replicas(2).spec("/minReadySeconds", json!(10));
        world.create::<GracefulDeployment>(app.object()).await;
        world.complete("app", SOON).await;
        let old = world.pods("app").await;
        let mut streams = Vec::new();
        for pod in &old {
            streams.push((pod.name_any(), Stream::open(pod, NEVER).await));
        }
        let timeline = Timeline::of(&world);
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;

        let first = kept(&world, "").await.pod;
        reason(&world, "Progressing", "DrainPaused").await;
        let stays = always(&world, "nothing more is withdrawn", async || {
            let drains = status(&world).await.drains;
            let is_first = drains.iter().all(|drain| drain.pod == first);
            let pod = pod(&world, &first).await;
            pod.filter(|_| is_first).ok_or(format!("{drains:?}"))
        });
        let stays = stays.await;
        show(
            "a pod that pauses: restarts of its agent",
            count(restarts(&stays)),
            None,
            "restarts",
        );

        let mut took = Vec::new();
        for (name, after) in [(first.clone(), "1st"), (kept_after(&old, &first), "2nd")] {
            if after == "2nd" {
                assert_eq!(kept(&world, &first).await.pod, name);
            }
            streams.retain(|(of, _)| *of != name);
            let ended = Timestamp::now().as_millisecond();
            timeline
                .gone(&world, "app", std::slice::from_ref(&name), ROLLOUT)
                .await;
            let gone = timeline.lives("app")[&name].gone.expect("gone");
            took.push(seconds(gone - ended));
        }
        println!("from the end of the work until the pod is gone: {took:?}");
        world.complete("app", ROLLOUT).await;
        let record = record(&world, 2).await;
        assert_eq!((record.drained, record.forced), (2, 0), "{record:?}");
        assert_eq!(record.connections_cut, 0, "{record:?}");
        assert_eq!(names(&world.pods("app").await).len(), 2);
        let slowest = crate::figure::most(&took);
        // quietSeconds 1, the app's exit and two looks; with a restart for each deadline it was the back-off.
        assert_at_most("a pod that pauses: gone after its work", slowest, 10.0, "s");
    });
}

fn kept_after(old: &[Pod], first: &str) -> String {
    let mut others = names(old).into_iter().filter(|name| name != first);
    others.next().expect("another pod")
}
