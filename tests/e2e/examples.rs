//! Each example rolls under its own kind of load and loses nothing. Beside it, under the same load, a
//! Deployment of the same program does: so the load would show a loss.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, World, names, test_under_load};
use crate::figure::{count, show};
use crate::load::{Clients, Load};
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

/// For what does not depend on how long work takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Before a change, so that each client has a connection and something under way.
pub(crate) const WARM_UP: Duration = Duration::from_secs(3);

/// Clients of a Service, a process each.
struct Callers(Vec<Child>);

impl Callers {
    /// Starts the example's own client so many times.
    async fn start(world: &World, service: &str, program: &str, flag: &str, many: usize) -> Self {
        let program = self::program(program);
        let address = world.address(service).await;
        world.until_answers("the Service", &address, SOON).await;
        let start = |_| {
            Command::new(&program)
                .args([flag, &address])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("the example's client")
        };
        Self((0..many).map(start).collect())
    }

    /// Ends them, calls under way finished. What they said, where one lost something.
    async fn finish(self) -> Result<(), String> {
        for caller in &self.0 {
            let id = caller.id().expect("it runs").to_string();
            let signal = Command::new("kill").args(["-TERM", &id]).status().await;
            assert!(signal.expect("kill runs").success());
        }
        let mut complaints = String::new();
        for mut caller in self.0 {
            let mut said = String::new();
            for pipe in [
                caller.stdout.take().map(|pipe| Box::new(pipe) as Pipe),
                caller.stderr.take().map(|pipe| Box::new(pipe) as Pipe),
            ] {
                let mut pipe = pipe.expect("piped");
                pipe.read_to_string(&mut said).await.expect("its words");
            }
            print!("{said}");
            if !caller.wait().await.expect("its end").success() {
                complaints += &said;
            }
        }
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(complaints)
        }
    }
}

/// An example's program, which is a client too.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("EXAMPLES").expect("EXAMPLES: run `cargo xtask test e2e`");
    PathBuf::from(folder).join(name)
}

type Pipe = Box<dyn tokio::io::AsyncRead + Unpin + Send>;

/// The example in a GracefulDeployment `app` with these settings, and in a Deployment `plain` beside it.
async fn arms(world: &World, drain: Value, shape: impl Fn(App) -> App) -> [App; 2] {
    let app = shape(App::graceful("app"))
        .replicas(3)
        .spec("/drain", drain);
    let plain = shape(App::deployment("plain")).replicas(3);
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.create::<Deployment>(plain.object()).await;
    world.create::<Service>(plain.service()).await;
    world.complete("app", SOON).await;
    plain_complete(world, 3).await;
    [app, plain]
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

/// Changes the images of both and waits until all old pods are gone.
async fn roll(world: &World, [app, plain]: &[App; 2]) {
    let timeline = Timeline::of(world);
    let before = names(&world.pods("app").await);
    world.patch::<Deployment>("plain", plain.change(2)).await;
    world
        .patch::<GracefulDeployment>("app", app.change(2))
        .await;
    world.complete("app", ROLLOUT).await;
    timeline.gone(world, "app", &before, ROLLOUT).await;
    plain_complete(world, 3).await;
}

/// The settings of an app that is told of a drain at this port.
fn told(port: u16) -> Value {
    json!({"notify": {"httpPost": {"port": port, "path": "/drain"}}})
}

pub(crate) fn image(name: &str) -> Value {
    json!(format!("example-{name}:dev"))
}

/// A web framework's app, under short and slow requests, kept connections and streams.
fn http(example: &'static str) {
    test_under_load(example, |world| async move {
        Load::prepare(&world).await;
        let shape = |app: App| app.container("/image", image(example));
        let arms = arms(&world, told(8080), shape).await;
        let clients = Clients {
            streams: 6,
            ..Clients::MIXED
        };
        let load = Load::start(&world, &[("app", clients), ("plain", clients)]).await;
        sleep(WARM_UP).await;
        roll(&world, &arms).await;
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        for (name, whose) in [("app", "GracefulDeployment"), ("plain", "Deployment")] {
            let arm = found.arm(name);
            println!(
                "{example}, {whose}: {} requests, lost {:?}",
                arm.requests, arm.lost_by
            );
            let figure = format!("{example}, {whose}: requests lost");
            show(&figure, count(arm.lost), None, "requests");
        }
        found.arm("app").assert_nothing_lost();
        assert!(found.arm("plain").lost > 0, "the load shows no loss");
        Verdict::Held
    });
}

#[test]
fn gin_server_rolls_without_loss() {
    http("go-gin");
}

#[test]
fn echo_server_rolls_without_loss() {
    http("go-echo");
}

/// Calls over a few connections that last: they are sent elsewhere by GOAWAY, and what runs goes on.
#[test]
fn grpc_server_rolls_without_loss() {
    test_under_load("go-grpc", |world| async move {
        let shape = |app: App| {
            app.container("/image", image("go-grpc")).container(
                "/readinessProbe",
                json!({"grpc": {"port": 8080}, "periodSeconds": 1}),
            )
        };
        let arms = arms(&world, told(9000), shape).await;
        let call =
            async |service| Callers::start(&world, service, "example-go-grpc", "-call", 4).await;
        let (ours, theirs) = (call("app").await, call("plain").await);
        sleep(WARM_UP).await;
        roll(&world, &arms).await;
        let (ours, theirs) = tokio::join!(ours.finish(), theirs.finish());
        ours.unwrap_or_else(|lost| panic!("calls were lost:\n{lost}"));
        theirs.expect_err("the load shows no loss");
        Verdict::Held
    });
}

/// An app of the WebSocket example, told of a drain and waited for until its sockets are closed.
pub(crate) fn websockets(app: App) -> App {
    let wait = json!([{"connections": {"keepAlive": "Wait"}}]);
    app.notify()
        .spec("/drain/confirm", wait)
        .container("/image", image("rust-axum-websocket"))
}

/// Sockets that talk and sockets that are quiet: each is told goodbye, and its client comes to another pod.
#[test]
fn websocket_server_rolls_without_a_cut_socket() {
    test_under_load("websocket", |world| async move {
        let app = websockets(App::graceful("app")).replicas(3);
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Service>(app.service()).await;
        world.complete("app", SOON).await;
        let callers =
            Callers::start(&world, "app", "example-rust-axum-websocket", "--call", 3).await;
        sleep(WARM_UP).await;
        let timeline = Timeline::of(&world);
        let before = names(&world.pods("app").await);
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        world.complete("app", ROLLOUT).await;
        timeline.gone(&world, "app", &before, ROLLOUT).await;
        let cut = callers.finish().await;
        cut.unwrap_or_else(|cut| panic!("sockets were cut:\n{cut}"));
        Verdict::Held
    });
}
