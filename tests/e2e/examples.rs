//! Each example rolls under its own kind of load and loses nothing. Beside it, under the same load, roll the same
//! manifest with what is left of the program without its drain code (`without-drain.patch`), and a Deployment of the
//! whole program: both lose, so the load would show a loss. The worker is in work.rs, the
//! pool in pool.rs, the balancer outside in outside.rs. CI runs each once, `cargo xtask test examples` three times.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use tokio::time::sleep;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::callers::{Callers, Told};
use crate::cluster::{Verdict, World, names, test_under_load};
use crate::figure::{count, show};
use crate::load::{Clients, Load};
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

/// For what does not depend on how long work takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Before a change, so that each client has a connection and something under way.
pub(crate) const WARM_UP: Duration = Duration::from_secs(3);

/// Names of the arms, and what they are.
const ARMS: [(&str, &str); 3] = [
    ("app", "GracefulDeployment"),
    ("bare", "GracefulDeployment, drain code taken out"),
    ("plain", "Deployment"),
];

/// For what the settings of a drain would wait for without its end: more than any work of these tests takes.
const DEADLINE: Duration = Duration::from_secs(45);

/// The example three ways.
async fn arms(
    world: &World,
    example: &str,
    mut drain: Value,
    shape: impl Fn(App) -> App,
) -> [App; 3] {
    drain["timeoutSeconds"] = json!(DEADLINE.as_secs());
    let arms = ARMS.map(|(name, _)| {
        let app = if name == "plain" {
            App::deployment(name)
        } else {
            App::graceful(name).spec("/drain", drain.clone())
        };
        let image = if name == "bare" {
            without_drain(example)
        } else {
            image(example)
        };
        shape(app).replicas(3).container("/image", image)
    });
    let [app, bare, plain] = &arms;
    for graceful in [app, bare] {
        world.create::<GracefulDeployment>(graceful.object()).await;
    }
    world.create::<Deployment>(plain.object()).await;
    for arm in &arms {
        world.create::<Service>(arm.service()).await;
    }
    world.complete("app", SOON).await;
    world.complete("bare", SOON).await;
    plain_complete(world, 3).await;
    arms
}

pub(crate) async fn plain_complete(world: &World, replicas: i32) {
    world
        .until("the Deployment is complete", ROLLOUT, async || {
            let plain: Deployment = world.api().get("plain").await.expect("the Deployment");
            let generation = plain.metadata.generation;
            let status = plain.status.unwrap_or_default();
            let done = status.observed_generation == generation
                && status.replicas == Some(replicas)
                && status.updated_replicas == Some(replicas)
                && status.available_replicas == Some(replicas);
            if done {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
}

/// Changes the images of all and waits until all old pods are gone.
async fn roll(world: &World, [app, bare, plain]: &[App; 3]) {
    let timeline = Timeline::of(world);
    let mut before = Vec::new();
    for (name, _) in ARMS {
        before.push((name, names(&world.pods(name).await)));
    }
    world.patch::<Deployment>("plain", plain.change(2)).await;
    for (name, graceful) in [("app", app), ("bare", bare)] {
        let change = graceful.change(2);
        world.patch::<GracefulDeployment>(name, change).await;
    }
    world.complete("app", ROLLOUT).await;
    world.complete("bare", ROLLOUT).await;
    plain_complete(world, 3).await;
    for (name, before) in &before {
        timeline.gone(world, name, before, ROLLOUT).await;
    }
}

/// The settings of an app that is told of a drain at this port.
fn told(port: u16) -> Value {
    json!({"notify": {"httpPost": {"port": port, "path": "/drain"}}})
}

/// The image of an example.
pub(crate) fn image(name: &str) -> Value {
    json!(format!("example-{name}:dev"))
}

/// The image of what is left of an example without its drain code.
pub(crate) fn without_drain(name: &str) -> Value {
    image(&format!("{name}-without-drain"))
}

/// Shows what each arm lost, and holds the example to nothing and the one without its drain code to something.
fn judge(example: &str, unit: &str, lost: [u64; 3]) {
    for ((_, what), lost) in ARMS.iter().zip(lost) {
        show(&format!("{example}, {what}: lost"), count(lost), None, unit);
    }
    let [app, bare, _] = lost;
    assert_eq!(app, 0, "{example}: {unit} lost");
    assert!(bare > 0, "{example}: the load shows no loss");
}

/// A web server, under short and slow requests, kept connections and streams. A GracefulDeployment waits for slow
/// requests and streams of any program. What it leaves to the app's own shutdown are requests on kept connections, so
/// their answers take a while here: at any time some are under way.
fn http(example: &'static str) {
    test_under_load(example, |world| async move {
        Load::prepare(&world).await;
        let arms = arms(&world, example, told(8080), |app| app).await;
        let clients = Clients {
            streams: 6,
            kept_millis: 400,
            ..Clients::MIXED
        };
        let load = Load::start(&world, &ARMS.map(|(name, _)| (name, clients))).await;
        sleep(WARM_UP).await;
        roll(&world, &arms).await;
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        for (name, what) in ARMS {
            let arm = found.arm(name);
            let (requests, lost) = (arm.requests, &arm.lost_by);
            println!("{example}, {what}: {requests} requests, lost {lost:?}");
        }
        found.arm("app").assert_nothing_lost();
        let lost = ARMS.map(|(name, _)| found.arm(name).lost);
        judge(example, "requests", lost);
        assert!(lost[2] > 0, "the load shows no loss");
        Verdict::Held
    });
}

#[test]
fn net_http_server_rolls_without_loss() {
    http("go-net-http");
}

#[test]
fn gin_server_rolls_without_loss() {
    http("go-gin");
}

#[test]
fn echo_server_rolls_without_loss() {
    http("go-echo");
}

/// Rolls all arms under these clients of each, and returns what the clients told.
async fn under_callers(
    world: &World,
    arms: &[App; 3],
    client: (&str, &str),
    many: usize,
) -> [Told; 3] {
    let call = |arm: usize| Callers::start(world, ARMS[arm].0, client, many);
    let (ours, bare, theirs) = tokio::join!(call(0), call(1), call(2));
    sleep(WARM_UP).await;
    roll(world, arms).await;
    let all = tokio::join!(ours.finish(), bare.finish(), theirs.finish());
    all.into()
}

/// How the gRPC server is asked whether it is ready.
pub(crate) fn grpc(app: App) -> App {
    let probe = json!({"grpc": {"port": 8080}, "periodSeconds": 1});
    app.container("/readinessProbe", probe)
        .container("/image", image("go-grpc"))
}

/// Clients of the gRPC server: a process, and how it is told to be one.
pub(crate) const GRPC: (&str, &str) = ("go-grpc", "-call");

/// Calls over a few connections that last: they are sent elsewhere by GOAWAY, and what runs goes on.
#[test]
fn grpc_server_rolls_without_loss() {
    test_under_load("go-grpc", |world| async move {
        let arms = arms(&world, "go-grpc", told(9000), grpc).await;
        let told = under_callers(&world, &arms, GRPC, 4).await;
        let lost = told.map(|told| told.number("calls lost") + told.number("streams lost"));
        judge("go-grpc", "calls", lost);
        assert!(lost[2] > 0, "the load shows no loss");
        Verdict::Held
    });
}

/// The WebSocket example's settings: told of a drain, and waited for until its sockets are closed.
fn until_closed() -> Value {
    let mut drain = told(8080);
    drain["confirm"] = json!([{"connections": {"keepAlive": "Wait"}}]);
    drain
}

/// An app of the WebSocket example.
pub(crate) fn websockets(app: App) -> App {
    app.spec("/drain", until_closed())
        .container("/image", image("rust-axum-websocket"))
}

/// Clients of the WebSocket server.
pub(crate) const SOCKETS: (&str, &str) = ("rust-axum-websocket", "--call");

/// Sockets that talk and sockets that are quiet: each is told goodbye, and its client comes to another pod. A Deployment
/// of the whole program is not held to a loss: it says goodbye at SIGTERM, and few come back to the same pod.
#[test]
fn websocket_server_rolls_without_a_cut_socket() {
    test_under_load("websocket", |world| async move {
        let example = "rust-axum-websocket";
        let arms = arms(&world, example, until_closed(), |app| app).await;
        let told = under_callers(&world, &arms, SOCKETS, 3).await;
        let lost = told.map(|told| told.number("refused") + told.number("cut"));
        judge(example, "sockets", lost);
        Verdict::Held
    });
}
