//! Work that no connection shows: jobs of a queue, in a real Redis. Beside the worker with its drain roll
//! one whose drain knows nothing of jobs and a plain Deployment, each with a queue of its own: so the jobs
//! would show a loss.

use std::process::{Output, Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::sleep;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Namespaced, Verdict, World, names, test_under_load};
use crate::examples::{SOON, WARM_UP, plain_complete, program};
use crate::figure::{assert_at_most, count};
use crate::redis::Redis;
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

/// Ten a second, of 0.2 s and of 8 s, which is more than the app's own shutdown allows: forty of those run
/// at any time, so that a pod that does not wait for them cuts some.
const JOBS: &str = "240";

/// Adds jobs until they are done, and counts those that were lost.
fn fill(queue: &Redis) -> impl Future<Output = Tally> + use<> {
    let mut client = Command::new(program("example-go-worker-redis"));
    client.args(["-push", JOBS]).env("REDIS", &queue.address);
    client.stdin(Stdio::null()).kill_on_drop(true);
    async move { Tally::of(&client.output().await.expect("the example's client")) }
}

/// An arm with its queue.
async fn arm<K: Namespaced>(world: &World, app: App) -> (App, Redis) {
    let queue = Redis::start(world).await;
    let app = queue.worked_on(app.replicas(2));
    world.create::<K>(app.object()).await;
    (app, queue)
}

/// What became of the jobs.
#[derive(Debug)]
struct Tally {
    lost: f64,
    twice: f64,
}

impl Tally {
    /// From the client's last line: `jobs 300, lost 0, twice 0`.
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stderr);
        let number = |what: &str| {
            let (_, rest) = text.rsplit_once(what).expect("the client's tally");
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            count(digits.unwrap_or_default().parse().expect("a number"))
        };
        Self {
            lost: number(" lost "),
            twice: number(" twice "),
        }
    }
}

/// Jobs are finished where they run, and none is done twice.
#[test]
fn queue_worker_rolls_without_losing_a_job() {
    test_under_load("worker", |world| async move {
        let running = json!({
            "port": 8080, "path": "/metrics", "name": "worker_jobs_running",
            "labels": {"queue": "jobs"}, "atMost": 0,
        });
        let own = App::graceful("app")
            .notify()
            .spec("/drain/confirm", json!([{"metric": running}]));
        let (app, jobs) = arm::<GracefulDeployment>(&world, own).await;
        // Its pods are to go while jobs still come, on a slow machine too.
        let bare = App::graceful("bare")
            .spec("/drain/minSeconds", 1.into())
            .spec("/drain/quietSeconds", 1.into());
        let (bare, bare_jobs) = arm::<GracefulDeployment>(&world, bare).await;
        let (plain, plain_jobs) = arm::<Deployment>(&world, App::deployment("plain")).await;
        world.complete("app", SOON).await;
        world.complete("bare", SOON).await;
        plain_complete(&world, 2).await;

        let filled = async { tokio::join!(fill(&jobs), fill(&bare_jobs), fill(&plain_jobs)) };
        let rolled = async {
            sleep(WARM_UP).await;
            let timeline = Timeline::of(&world);
            let before = names(&world.pods("app").await);
            let change = |app: &App| -> Value { app.change(2) };
            world.patch::<GracefulDeployment>("app", change(&app)).await;
            world
                .patch::<GracefulDeployment>("bare", change(&bare))
                .await;
            world.patch::<Deployment>("plain", change(&plain)).await;
            world.complete("app", ROLLOUT).await;
            timeline.gone(&world, "app", &before, ROLLOUT).await;
        };
        let ((ours, bare, plain), ()) = tokio::join!(filled, rolled);
        println!("without its drain: {bare:?}; in a Deployment: {plain:?}");
        assert_at_most("go-worker-redis: jobs lost", ours.lost, 0.0, "jobs");
        assert_at_most("go-worker-redis: jobs done twice", ours.twice, 0.0, "jobs");
        // How many the worker without its drain loses is chance: 0 to 6 were seen, and a Deployment's 5 to 15.
        assert!(bare.lost + plain.lost > 0.0, "the jobs show no loss");
        Verdict::Held
    });
}
