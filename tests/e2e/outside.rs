//! A balancer outside the cluster, with a list and a delay of its own: the example's controller takes a pod off it
//! and sets the condition. Beside it roll the same app with what is left of that controller without its drain code, and
//! the same app with the whole controller, whose drain does not wait for the condition: so the load would show a loss.

use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::callers::program;
use crate::cluster::{Verdict, World, names, test_under_load};
use crate::examples::{SOON, image, without_drain};
use crate::figure::{count, show};
use crate::ports::free_address;
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

const EXAMPLE: &str = "go-deregister";

const CONDITION: &str = "balancer.example.com/deregistered";

/// More than the balancer's delay and all looks at its list: what waits for the condition in vain is given up then.
const DEADLINE: Duration = Duration::from_secs(40);

/// How long the balancer sends on. An idle pod of these arms is given up long before.
const LAG: Duration = Duration::from_secs(8);

/// Between two requests of an arm.
const PAUSE: Duration = Duration::from_millis(40);

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The example's balancer, ended with the test.
struct Balancer {
    clients: String,
    list: String,
    _process: Child,
}

impl Balancer {
    async fn start(world: &World) -> Self {
        let (clients, list) = (free_address().await, free_address().await);
        let lag = format!("{}s", LAG.as_secs());
        let process = Command::new(program(EXAMPLE))
            .args(["-balance", &clients, "-list", &list, "-lag", &lag])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the example's balancer");
        world.until_answers("the balancer", &list, SOON).await;
        Self {
            clients,
            list,
            _process: process,
        }
    }
}

/// An app behind a balancer of its own, and the controller between them as the example has it.
struct Arm {
    name: &'static str,
    app: App,
    balancer: Balancer,
}

impl Arm {
    async fn start(world: &World, name: &'static str, confirm: Value, controller: Value) -> Self {
        let balancer = Balancer::start(world).await;
        let app = App::graceful(name)
            .replicas(2)
            .container("/image", image(EXAMPLE))
            .container("/readinessProbe/httpGet/path", json!("/"))
            .spec("/drain/timeoutSeconds", json!(DEADLINE.as_secs()))
            .spec("/drain/minSeconds", json!(1))
            .spec("/drain/quietSeconds", json!(1))
            .spec("/drain/arrivalsSeconds", json!(1))
            .spec("/drain/confirm", confirm);
        control(world, name, &balancer.list, controller).await;
        world.create::<GracefulDeployment>(app.object()).await;
        Self {
            name,
            app,
            balancer,
        }
    }

    /// Waits until the balancer sends to pods.
    async fn served(&self, world: &World) {
        world.complete(self.name, SOON).await;
        world
            .until("the balancer has pods", SOON, async || {
                ask(&self.balancer.clients).await
            })
            .await;
    }

    /// Changes the image and waits until all old pods are gone.
    async fn roll(&self, world: &World, timeline: &Timeline) {
        let before = names(&world.pods(self.name).await);
        let change = self.app.change(2);
        world.patch::<GracefulDeployment>(self.name, change).await;
        world.complete(self.name, ROLLOUT).await;
        timeline.gone(world, self.name, &before, ROLLOUT).await;
    }
}

/// Installs the example's controller for one arm.
async fn control(world: &World, name: &str, list: &str, image: Value) {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/examples/go-deregister/controller.yaml");
    let manifest = std::fs::read_to_string(path).expect("the example's manifest");
    let registrar = format!("registrar-{name}");
    let manifest = manifest.replace("registrar", &registrar);
    for document in serde_yaml_ng::Deserializer::from_str(&manifest) {
        let mut object = Value::deserialize(document).expect("an object");
        match object["kind"].as_str() {
            Some("ServiceAccount") => drop(world.create::<ServiceAccount>(object).await),
            Some("Role") => drop(world.create::<Role>(object).await),
            Some("RoleBinding") => {
                object["subjects"][0]["namespace"] = json!(world.namespace);
                world.create::<RoleBinding>(object).await;
            }
            Some("Deployment") => {
                let container = &mut object["spec"]["template"]["spec"]["containers"][0];
                container["image"] = image.clone();
                container["env"] = json!([
                    {"name": "SELECTOR", "value": format!("app={name}")},
                    {"name": "BALANCER", "value": format!("http://{list}")},
                    {"name": "CONDITION", "value": CONDITION},
                ]);
                world.create::<Deployment>(object).await;
            }
            other => panic!("the example's manifest has a {other:?}"),
        }
    }
}

/// One request on a connection of its own.
async fn ask(address: &str) -> Result<(), String> {
    let exchange = async {
        let mut connection = TcpStream::connect(address).await?;
        connection
            .write_all(b"GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(PATIENCE, exchange).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(answer.lines().next().unwrap_or("closed").to_owned())
    }
}

/// Requests at a steady rate, whatever becomes of them.
struct Asking {
    over: watch::Sender<bool>,
    task: JoinHandle<(u64, Vec<String>)>,
}

impl Asking {
    fn start(address: &str) -> Self {
        let (over, mut is_over) = watch::channel(false);
        let address = address.to_owned();
        let task = tokio::spawn(async move {
            let mut ticks = interval(PAUSE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut requests = JoinSet::new();
            while tokio::select! { _ = ticks.tick() => true, _ = is_over.changed() => false } {
                let address = address.clone();
                requests.spawn(async move { ask(&address).await });
            }
            let all = requests.join_all().await;
            let asked = u64::try_from(all.len()).expect("a count");
            (asked, all.into_iter().filter_map(Result::err).collect())
        });
        Self { over, task }
    }

    async fn finish(self) -> (u64, Vec<String>) {
        self.over.send_replace(true);
        self.task.await.expect("the requests")
    }
}

/// Nothing is sent to a pod that is gone.
#[test]
fn pod_stays_until_a_balancer_outside_sends_it_nothing_more() {
    test_under_load("outside", |world| async move {
        let waits = json!([{"connections": {}}, {"condition": {"type": CONDITION}}]);
        let (whole, left) = (image(EXAMPLE), without_drain(EXAMPLE));
        let ours = Arm::start(&world, "app", waits.clone(), whole.clone()).await;
        let bare = Arm::start(&world, "bare", waits, left).await;
        let hasty = Arm::start(&world, "hasty", json!([{"connections": {}}]), whole).await;
        let arms = [&ours, &bare, &hasty];
        for arm in arms {
            arm.served(&world).await;
        }

        let [asked_ours, asked_bare, asked_hasty] =
            arms.map(|arm| Asking::start(&arm.balancer.clients));
        let timeline = Timeline::of(&world);
        join_all(arms.map(|arm| arm.roll(&world, &timeline))).await;
        let (ours, bare, hasty) = tokio::join!(
            asked_ours.finish(),
            asked_bare.finish(),
            asked_hasty.finish()
        );
        let lost = |(asked, lost): &(u64, Vec<String>), figure: &str, limit| {
            println!("{figure} of {asked}, the first {:?}", lost.first());
            let lost = count(lost.len().try_into().expect("a count"));
            show(figure, lost, limit, "requests");
            lost
        };
        let bare = lost(
            &bare,
            "balancer outside, drain code taken out: requests lost",
            None,
        );
        let hasty = lost(
            &hasty,
            "balancer outside, without the condition: requests lost",
            None,
        );
        let ours = lost(&ours, "balancer outside: requests lost", Some(0.0));
        assert!(ours < 1.0, "requests are lost");
        assert!(bare > 0.0, "the load shows no loss");
        assert!(hasty > 0.0, "the load shows no loss");
        let status = world.graceful("app").await.status.unwrap_or_default();
        let record = status.last_rollout.expect("a record");
        assert_eq!((record.drained, record.forced), (2, 0), "{record:?}");
        Verdict::Held
    });
}
