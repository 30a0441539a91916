//! Pools of connections to a real PostgreSQL. The example closes its own in order, requests first; beside it, under the
//! same load, roll the same program which leaves its pool to the kernel, so that the record would show it, and what is
//! left of the program without its drain code, so that the load would show a loss. The server's own log says the same of
//! the first two. Another is killed with queries under way.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use graceful::api::v1alpha1::{GracefulDeployment, RolloutRecord};

use crate::app::App;
use crate::cluster::{Verdict, World, answer, names, test, test_under_load};
use crate::examples::{SOON, WARM_UP, image, without_drain};
use crate::figure::{assert_at_most, count, show};
use crate::load::{Clients, Load};
use crate::postgres::Postgres;
use crate::rollout::ROLLOUT;
use crate::timeline::Timeline;

const EXAMPLE: &str = "go-postgres";

/// Pods of each arm.
const REPLICAS: u32 = 3;

/// One rollout after another.
const ROLLOUTS: u32 = 2;

/// Of each pod. At least so many that the one which the readiness probe uses each second is not the only one: its last
/// word may be half a second old. And more than the requests that a pod has at a time: one that waits for a connection
/// waits for another's query.
const CONNECTIONS: (u32, u32) = (3, 12);

/// Short requests on new and on kept connections, and long ones.
const CLIENTS: Clients = Clients {
    new_per_second: 20,
    keep_alive: 4,
    pause_millis: 200,
    // Some of these are under way whenever a pod goes.
    kept_millis: 400,
    slow: 3,
    streams: 0,
};

fn app(world: &World, name: &str) -> App {
    App::graceful(name)
        .notify()
        .container("/image", image(EXAMPLE))
        .env("DATABASE_URL", &Postgres::url(world, name, CONNECTIONS))
}

fn addresses(pods: &[Pod]) -> BTreeSet<String> {
    let status = |pod: &Pod| pod.status.clone().unwrap_or_default();
    pods.iter().filter_map(|pod| status(pod).pod_ip).collect()
}

async fn record(world: &World, name: &str, ended: u32) -> RolloutRecord {
    let ended = i32::try_from(ended).expect("a count");
    world
        .until("the ends are on record", SOON, async || {
            let status = world.graceful(name).await.status.unwrap_or_default();
            let record = status.last_rollout;
            let found = record.clone().filter(|record| record.ended == ended);
            found.ok_or(format!("{record:?}"))
        })
        .await
}

/// Waits until Events say of exactly these pods that they left a pool open.
async fn until_told(world: &World, name: &str, pods: &BTreeSet<String>) {
    let what = format!("Events say of the pods of {name} that they left pools open");
    world
        .until_told(name, &what, |events| {
            let left_open = events
                .iter()
                .filter(|event| event.starts_with("PoolLeftOpen"));
            let told: BTreeSet<_> = left_open.map(|event| pod_of(event, pods)).collect();
            (told == pods.iter().collect()).then_some(())
        })
        .await;
}

fn pod_of<'a>(event: &str, pods: &'a BTreeSet<String>) -> &'a String {
    let pod = pods.iter().find(|pod| event.contains(pod.as_str()));
    pod.unwrap_or_else(|| panic!("of which pod? {event}"))
}

/// What the operators count of an object: the one that led at that time has the number.
async fn counted(world: &World, name: &str) -> u64 {
    let operators: Api<Pod> = Api::namespaced(world.client.clone(), "graceful-system");
    let operators = operators.list(&ListParams::default()).await.expect("pods");
    let (namespace, mut sum) = (&world.namespace, 0);
    for operator in operators.items {
        let ports = operator.spec.iter().flat_map(|spec| &spec.containers);
        let mut ports = ports.flat_map(|container| container.ports.iter().flatten());
        let port = ports.find(|port| port.name.as_deref() == Some("http"));
        let address = operator.status.and_then(|status| status.pod_ip);
        let (Some(port), Some(address)) = (port, address) else {
            continue;
        };
        let address = format!("{address}:{}", port.container_port);
        let page = answer(&address, "/metrics").await.expect("its metrics");
        let lines = page.lines().filter(|line| {
            line.starts_with("graceful_pools_left_open_total{")
                && line.contains(&format!("namespace=\"{namespace}\""))
                && line.contains(&format!("name=\"{name}\""))
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        sum += values.sum::<u64>();
    }
    sum
}

/// An arm, and what all its rollouts should leave behind.
struct Arm {
    app: App,
    name: &'static str,
    /// Each pod leaves its pool to the kernel.
    leaves_open: bool,
    gone: BTreeSet<String>,
    came_from: BTreeSet<String>,
}

impl Arm {
    async fn start(world: &World, name: &'static str, leaves_open: bool) -> Self {
        let mut app = app(world, name).replicas(REPLICAS);
        if leaves_open {
            app = app.env("LEAVE_POOL_OPEN", "1");
        }
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Service>(app.service()).await;
        Self {
            app,
            name,
            leaves_open,
            gone: BTreeSet::new(),
            came_from: BTreeSet::new(),
        }
    }

    /// Rolls once, until the ends of all pods are on record.
    async fn roll(&mut self, world: &World, version: u32) {
        let timeline = Timeline::of(world);
        let before = world.pods(self.name).await;
        let old = names(&before);
        self.came_from.extend(addresses(&before));
        self.gone.extend(old.iter().cloned());
        let change = self.app.change(version);
        world.patch::<GracefulDeployment>(self.name, change).await;
        world.complete(self.name, ROLLOUT).await;
        timeline.gone(world, self.name, &old, ROLLOUT).await;
        let record = record(world, self.name, REPLICAS).await;
        println!("{}, rollout {}: {record:?}", self.name, version - 1);
        let replicas = i32::try_from(REPLICAS).expect("a count");
        let is_confirmed = (record.drained, record.forced, record.connections_cut);
        assert_eq!(is_confirmed, (replicas, 0, 0), "{record:?}");
        assert_eq!(record.exit_codes.get("0"), Some(&replicas), "{record:?}");
        let left_open = if self.leaves_open { replicas } else { 0 };
        assert_eq!(record.pools_left_open, left_open, "{record:?}");
    }

    /// What Events, metrics and the server say is what the record says.
    async fn judge(&self, world: &World, server: &Postgres) {
        let none = BTreeSet::new();
        let wanted = |all| if self.leaves_open { all } else { &none };
        until_told(world, self.name, wanted(&self.gone)).await;
        let counted = counted(world, self.name).await;
        assert_eq!(counted, count_of(wanted(&self.gone)), "{}", self.name);
        let ended = server.ended(world, self.name);
        assert_eq!(ended.without_goodbye, *wanted(&self.came_from));
        assert!(
            ended.sessions.is_superset(&self.came_from),
            "{ended:?} of {:?}",
            self.came_from
        );
        show(
            &format!("go-postgres, {}: pools left open", self.name),
            count(counted),
            None,
            "pools",
        );
    }
}

/// Rolls what is left of the program without its drain code, and returns how many pools were left open. That one is in
/// the midst of a query is not certain, so it is not held to all of them.
async fn roll_bare(world: &World, bare: &App, version: u32) -> u64 {
    let change = bare.change(version);
    world.patch::<GracefulDeployment>("bare", change).await;
    world.complete("bare", ROLLOUT).await;
    let record = record(world, "bare", REPLICAS).await;
    println!("bare, rollout {}: {record:?}", version - 1);
    record.pools_left_open.try_into().expect("a count")
}

fn count_of(all: &BTreeSet<String>) -> u64 {
    all.len().try_into().expect("a count")
}

#[test]
fn pool_is_closed_after_the_requests_that_use_it_and_one_that_is_not_is_on_record() {
    test_under_load("postgres", |world| async move {
        let server = Postgres::start(&world).await;
        Load::prepare(&world).await;
        let mut arms = [
            Arm::start(&world, "closed", false).await,
            Arm::start(&world, "open", true).await,
        ];
        let bare = app(&world, "bare").replicas(REPLICAS);
        let bare = bare.container("/image", without_drain(EXAMPLE));
        world.create::<GracefulDeployment>(bare.object()).await;
        world.create::<Service>(bare.service()).await;
        let names = ["closed", "open", "bare"];
        for name in names {
            world.complete(name, SOON).await;
        }
        let load = Load::start(&world, &names.map(|name| (name, CLIENTS))).await;
        sleep(WARM_UP).await;
        let mut left_open = 0;
        for version in 2..2 + ROLLOUTS {
            let [closed, open] = &mut arms;
            let bare = roll_bare(&world, &bare, version);
            let ((), (), left) = tokio::join!(
                closed.roll(&world, version),
                open.roll(&world, version),
                bare
            );
            left_open += left;
        }
        let found = load.finish().await;
        for name in names {
            let found = found.arm(name);
            let (requests, lost) = (found.requests, &found.lost_by);
            println!("{name}: {requests} requests, lost {lost:?}");
        }
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        for arm in &arms {
            arm.judge(&world, &server).await;
        }
        let lost = found.arm("closed");
        let figure = "go-postgres: requests lost";
        if lost.lost > 0 {
            println!("{:#?}", lost.failures);
        }
        assert_at_most(figure, count(lost.lost), 0.0, "requests");
        let lost = found.arm("bare").lost;
        let figure = |what| format!("go-postgres, drain code taken out: {what}");
        show(&figure("requests lost"), count(lost), None, "requests");
        show(&figure("pools left open"), count(left_open), None, "pools");
        assert!(lost > 0, "the load shows no loss");
        Verdict::Held
    });
}

/// Killed with a query under way. The kubelet ends the agent up to a second before it kills the app: it counts the
/// hook's time in whole seconds.
#[test]
fn pool_of_an_app_that_is_killed_is_left_open() {
    test("postgres-killed", |world| async move {
        let _server = Postgres::start(&world).await;
        // Its query takes a minute. It has a second or two for the drain, one for its exit, and the five that every
        // grace period has more.
        let app = app(&world, "app")
            .replicas(REPLICAS)
            .env("SHUTDOWN_SECONDS", "600")
            .spec("/shutdown/timeoutSeconds", json!(1))
            .spec("/drain/deletionTimeoutSeconds", json!(1))
            .spec("/drain/minSeconds", json!(0))
            .spec("/drain/quietSeconds", json!(1));
        world.create::<GracefulDeployment>(app.object()).await;
        world.complete("app", SOON).await;
        let pods = world.pods("app").await;
        let mut queries = Vec::new();
        for address in addresses(&pods) {
            let connection = TcpStream::connect((address.as_str(), 8080)).await;
            let mut connection = connection.expect("a connection");
            let request =
                "POST /slow?seconds=60 HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n";
            let sent = connection.write_all(request.as_bytes()).await;
            sent.expect("sent");
            queries.push(connection);
        }
        // At different moments of the kubelet's seconds.
        sleep(WARM_UP).await;
        for name in names(&pods) {
            world.delete_pod(&name).await;
        }
        let record = record(&world, "app", REPLICAS).await;
        println!("killed: {record:?}");
        let replicas = i32::try_from(REPLICAS).expect("a count");
        assert_eq!(record.forced_kills, replicas, "{record:?}");
        assert_eq!(record.pools_left_open, replicas, "{record:?}");
        let pods = names(&pods);
        let what = "an Event of each pod that was killed with its pool open";
        world
            .until_told("app", what, |events| {
                let killed = events.iter().filter(|event| {
                    event.starts_with("PodKilled") && event.contains("1 open pool")
                });
                (killed.count() == pods.len()).then_some(())
            })
            .await;
    });
}
