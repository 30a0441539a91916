//! A job that takes three minutes, three times as long as a pod's whole grace period: the drain's deadline is not bound
//! to that. Beside it a Deployment of the same worker, which cuts the same job.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, World, names, test_under_load};
use crate::examples::{SOON, plain_complete};
use crate::figure::{assert_at_most, count, show};
use crate::redis::Redis;
use crate::timeline::Timeline;
use crate::work::until_done;

/// Of the job.
const LENGTH: Duration = Duration::from_mins(3);

/// For the drain: more than the job takes.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Puts the job into a queue, and returns when a worker has it.
async fn begin(world: &World, queue: &Redis) -> Instant {
    let job = format!("LPUSH jobs \"long {}\"", LENGTH.as_millis());
    queue.number(&job).await;
    world
        .until("the job is taken", SOON, async || {
            match queue.number("LLEN jobs").await {
                0 => Ok(Instant::now()),
                waiting => Err(format!("{waiting} wait")),
            }
        })
        .await
}

/// The same job for both, each from a queue of its own.
#[test]
fn job_of_three_minutes_is_finished_where_it_runs() {
    // Alone: nothing else is to be under way for that long.
    test_under_load("job", |world| async move {
        let (jobs, plain_jobs) = (Redis::start(&world).await, Redis::start(&world).await);
        let app = until_done(App::graceful("app"))
            .spec("/drain/timeoutSeconds", json!(TIMEOUT.as_secs()))
            .spec("/drain/deletionTimeoutSeconds", json!(30));
        let app = jobs.worked_on(app);
        let plain = plain_jobs.worked_on(App::deployment("plain"));
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Deployment>(plain.object()).await;
        world.complete("app", SOON).await;
        plain_complete(&world, 1).await;
        let began = begin(&world, &jobs).await;
        begin(&world, &plain_jobs).await;
        let old = world.pods("app").await;
        let spec = old[0].spec.as_ref().expect("a spec");
        let grace = spec.termination_grace_period_seconds.unwrap_or_default();
        let grace = Duration::from_secs(grace.try_into().expect("a length"));
        assert!(grace * 3 < LENGTH, "{grace:?}");

        let timeline = Timeline::of(&world);
        world.patch::<Deployment>("plain", plain.change(2)).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        timeline.gone(&world, "app", &names(&old), TIMEOUT).await;
        let took = began.elapsed().as_secs_f64();
        world.complete("app", SOON).await;
        plain_complete(&world, 1).await;

        let object = world.graceful("app").await;
        let record = object.status.and_then(|status| status.last_rollout);
        let record = record.expect("a record");
        println!("{record:?}");
        assert_eq!((record.drained, record.forced), (1, 0), "{record:?}");
        let done = jobs.number("LLEN done").await;
        assert_eq!(done, 1, "the job is done, once");
        let lost = 1 - plain_jobs.number("LLEN done").await;
        let figure = "a job of three minutes, Deployment: jobs lost";
        show(figure, count(lost), None, "jobs");
        assert_eq!(lost, 1, "the job shows no loss");
        let length = LENGTH.as_secs_f64();
        assert!(
            took >= length,
            "the pod left {took:.1} s after its job began"
        );
        // The quiet time, the receipt, the app's exit.
        let figure = "a job of three minutes: pod gone after its end";
        assert_at_most(figure, took - length, 30.0, "s");
        Verdict::Held
    });
}
