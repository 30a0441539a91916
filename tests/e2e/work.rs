//! Work that no connection shows: jobs of a queue, in a real Redis. Beside the worker with its drain roll the same
//! manifest with what is left of the worker without its drain code, and a Deployment of the whole worker, each with a
//! queue of its own: so the jobs would show a loss.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::sleep;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::callers::{Callers, Told, program};
use crate::cluster::{Namespaced, Verdict, World, names, test_under_load};
use crate::examples::{SOON, WARM_UP, image, plain_complete, without_drain};
use crate::figure::{assert_at_most, count, show};
use crate::redis::Redis;
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

/// Ten a second, of 0.2 s and of 8 s, which is more than the app's own shutdown allows: forty of those run
/// at any time, so that a pod that does not wait for them cuts some.
const JOBS: &str = "240";

const WORKER: &str = "go-worker-redis";

/// Begins to add so many jobs, and to count those that are lost.
pub(crate) fn fill(queue: &Redis, most: &str) -> Callers {
    let mut client = Command::new(program(WORKER));
    client.args(["-push", most]).env("REDIS", &queue.address);
    Callers::of([client])
}

/// A worker that is told of a drain, and waited for until none of its jobs runs.
pub(crate) fn until_done(app: App) -> App {
    let running = json!({
        "port": 8080, "path": "/metrics", "name": "worker_jobs_running",
        "labels": {"queue": "jobs"}, "atMost": 0,
    });
    app.notify()
        .spec("/drain/confirm", json!([{"metric": running}]))
}

/// An arm with its queue.
async fn arm<K: Namespaced>(world: &World, app: App, image: Value) -> (App, Redis) {
    let queue = Redis::start(world).await;
    let app = queue.worked_on(app.replicas(2)).container("/image", image);
    world.create::<K>(app.object()).await;
    (app, queue)
}

/// Jobs are finished where they run, and none is done twice.
#[test]
fn queue_worker_rolls_without_losing_a_job() {
    test_under_load("worker", |world| async move {
        // Pods are to go while jobs still come, on a slow machine too.
        let graceful = |name: &str| {
            until_done(App::graceful(name))
                .spec("/drain/minSeconds", json!(0))
                .spec("/drain/quietSeconds", json!(1))
        };
        let (whole, left) = (image(WORKER), without_drain(WORKER));
        let app = arm::<GracefulDeployment>(&world, graceful("app"), whole.clone());
        let (app, jobs) = app.await;
        let bare = arm::<GracefulDeployment>(&world, graceful("bare"), left);
        let (bare, bare_jobs) = bare.await;
        let plain = arm::<Deployment>(&world, App::deployment("plain"), whole);
        let (plain, plain_jobs) = plain.await;
        world.complete("app", SOON).await;
        world.complete("bare", SOON).await;
        plain_complete(&world, 2).await;

        let filled = [&jobs, &bare_jobs, &plain_jobs].map(|queue| fill(queue, JOBS));
        sleep(WARM_UP).await;
        let timeline = Timeline::of(&world);
        let before = names(&world.pods("app").await);
        for (name, app) in [("app", &app), ("bare", &bare)] {
            world.patch::<GracefulDeployment>(name, app.change(2)).await;
        }
        world.patch::<Deployment>("plain", plain.change(2)).await;
        world.complete("app", ROLLOUT).await;
        timeline.gone(&world, "app", &before, ROLLOUT).await;
        let [ours, bare, plain] = filled;
        let (ours, bare, plain) = tokio::join!(ours.end(), bare.end(), plain.end());

        let lost = |told: &Told| count(told.number("lost"));
        let figure = |what: &str| format!("go-worker-redis, {what}: jobs lost");
        show(&figure("drain code taken out"), lost(&bare), None, "jobs");
        show(&figure("Deployment"), lost(&plain), None, "jobs");
        assert_at_most("go-worker-redis: jobs lost", lost(&ours), 0.0, "jobs");
        let twice = count(ours.number("twice"));
        assert_at_most("go-worker-redis: jobs done twice", twice, 0.0, "jobs");
        assert!(lost(&bare) > 0.0, "the jobs show no loss");
        assert!(lost(&plain) > 0.0, "the jobs show no loss");
        Verdict::Held
    });
}
