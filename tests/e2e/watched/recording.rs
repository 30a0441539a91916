//! The data of the pictures in the docs: apps are rolled out under real traffic, a client is cut, an app is killed, a
//! pool is left open and an object is refused, and what every panel's expression gives over that time is written to a
//! file. It draws nothing (`cargo xtask pictures` does), and only that command runs it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};
use tokio::time::sleep;

use graceful::api::v1alpha1::GracefulDeployment;

use super::prometheus::{Prometheus, list, range};
use super::{SOON, fail};
use crate::app::App;
use crate::cluster::{World, in_namespace_of_this_name, names};
use crate::dashboards;
use crate::load::{Clients, Load};
use crate::redis::Redis;
use crate::stream::Stream;

/// Where to, from the one who runs this.
const FILE: &str = "GRACEFUL_RECORDING";

/// Seconds between two points of a line.
const STEP: i64 = 3;

/// Of a rate, as Grafana has it: four scrapes of a second each, or a step and a scrape.
const WINDOW: &str = "4s";

/// Between two things that happen, so that one can tell them apart.
const PAUSE: Duration = Duration::from_secs(20);

const LONG: Duration = Duration::from_mins(10);

struct Shop {
    checkout: App,
    chat: App,
    export: App,
    reports: App,
    orders: App,
    _redis: Redis,
}

impl Shop {
    async fn open(world: &World) -> Self {
        let redis = Redis::start_on_known_port(world).await;
        let shop = Self {
            checkout: App::graceful("checkout")
                .replicas(4)
                .notify()
                .spec("/strategy/rollingUpdate/maxSurge", json!(2)),
            chat: App::graceful("chat").replicas(3),
            export: App::graceful("export")
                .replicas(2)
                .spec("/drain/timeoutSeconds", json!(25)),
            reports: App::graceful("reports")
                .env("SHUTDOWN_SECONDS", "600")
                .spec("/shutdown/timeoutSeconds", json!(1))
                .spec("/drain/deletionTimeoutSeconds", json!(1)),
            orders: redis
                .worked_on(App::graceful("orders").notify())
                .spec("/drain/minSeconds", json!(4)),
            _redis: redis,
        };
        for app in [
            &shop.checkout,
            &shop.chat,
            &shop.export,
            &shop.reports,
            &shop.orders,
        ] {
            world.create::<GracefulDeployment>(app.object()).await;
            world.create::<Service>(app.service()).await;
        }
        for name in ["checkout", "chat", "export", "reports", "orders"] {
            world.complete(name, SOON).await;
        }
        shop
    }
}

async fn roll(world: &World, name: &str, app: &App, version: u32) {
    world
        .patch::<GracefulDeployment>(name, app.change(version))
        .await;
}

/// Streams on every pod of an app, each a third of a minute longer than the one before.
async fn streams(world: &World, name: &str, shortest: Duration) -> Vec<Stream> {
    let mut open = Vec::new();
    for (pod, more) in world.pods(name).await.iter().zip([0, 20, 40]) {
        open.push(Stream::open(pod, shortest + Duration::from_secs(more)).await);
    }
    open
}

/// Some minutes in which everything happens that a panel tells of.
async fn live(world: &World, shop: &Shop) {
    let load = Load::start(world, &[("checkout", Clients::MIXED)]).await;
    sleep(PAUSE).await;
    roll(world, "checkout", &shop.checkout, 2).await;
    let talks = streams(world, "chat", Duration::from_secs(30)).await;
    roll(world, "chat", &shop.chat, 2).await;
    for name in ["checkout", "chat"] {
        world.complete(name, LONG).await;
    }
    drop(talks);
    sleep(PAUSE).await;
    // Its drain has no time for this one, and neither has the next app's deletion.
    let hasty = Stream::open(&world.pods("export").await[0], LONG).await;
    let killed = Stream::open(&world.pods("reports").await[0], LONG).await;
    roll(world, "export", &shop.export, 2).await;
    roll(world, "orders", &shop.orders, 2).await;
    world
        .delete_pod(&names(&world.pods("reports").await)[0])
        .await;
    for name in ["export", "orders", "reports"] {
        world.complete(name, LONG).await;
    }
    drop((hasty, killed));
    sleep(PAUSE).await;
    roll(world, "checkout", &shop.checkout, 3).await;
    world.complete("checkout", LONG).await;
    load.finish().await;
    sleep(PAUSE).await;
    // Under way still when the picture is taken.
    let talks = streams(world, "chat", LONG).await;
    roll(world, "chat", &shop.chat, 3).await;
    world.draining("chat", 1).await;
    fail(world).await;
    sleep(Duration::from_secs(30)).await;
    drop(talks);
}

/// Four digits are more than a picture shows.
fn rounded(text: &str) -> Value {
    let number: f64 = text.parse().expect("a number");
    let short: f64 = format!("{number:.3e}").parse().expect("a number");
    // Whole ones without a fraction, and none for what is no number.
    serde_json::from_str(&short.to_string()).unwrap_or_default()
}

/// Prometheus writes whole seconds with a fraction or without.
fn seconds(value: &Value) -> i64 {
    let text = format!("{:.0}", value.as_f64().expect("a time"));
    text.parse().expect("a whole number")
}

/// Every series with its value at each step, or null; one line each, so that a new recording can be read.
async fn recorded(from: i64, to: i64) -> String {
    let times = [
        format!("{STEP}s"),
        WINDOW.to_owned(),
        format!("{}s", to - from),
    ];
    let times = times.each_ref().map(String::as_str);
    let mut expressions = BTreeMap::new();
    for (_, panel) in dashboards::all() {
        for target in list(&panel["targets"]) {
            let expression = target["expr"].as_str().expect("an expression").to_owned();
            expressions.insert(expression, target["instant"] == true);
        }
    }
    let mut text = format!("{{\"from\": {from}, \"to\": {to}, \"step\": {STEP}, \"series\": {{\n");
    let mut comma = "";
    for (expression, is_instant) in expressions {
        let filled = dashboards::filled(&expression, times);
        let over = if is_instant { to..=to } else { from..=to };
        let mut lines = Vec::new();
        for series in range(&filled, over, STEP).await {
            let mut values: BTreeMap<i64, Value> = BTreeMap::new();
            for value in list(&series["values"]) {
                let at = seconds(&value[0]);
                values.insert(at, rounded(value[1].as_str().expect("a number")));
            }
            let start = if is_instant { to } else { from };
            let points: Vec<_> = (0..=(to - start) / STEP)
                .map(|step| start + step * STEP)
                .map(|at| values.remove(&at).unwrap_or(Value::Null))
                .collect();
            lines.push(json!({"labels": series["metric"], "values": points}).to_string());
        }
        lines.sort();
        let lines = lines.join(",\n");
        let _ = write!(text, "{comma}{}: [\n{lines}]", json!(expression));
        comma = ",\n";
    }
    text.push_str("\n}}\n");
    text
}

#[test]
fn what_panels_show_of_a_day_in_a_shop() {
    let file = std::env::var_os(FILE).expect("run `cargo xtask pictures`");
    in_namespace_of_this_name("shop", |world| async move {
        Load::prepare(&world).await;
        let shop = Shop::open(&world).await;
        let _prometheus = Prometheus::start(&world).await;
        let from = Timestamp::now().as_second();
        // The windows of the first points reach back.
        sleep(Duration::from_secs(10)).await;
        live(&world, &shop).await;
        // The last step is on the grid, and scraped already.
        let to = (Timestamp::now().as_second() - 2 - from) / STEP * STEP + from;
        let text = recorded(from, to).await;
        std::fs::write(&file, text).expect("written");
    });
}
