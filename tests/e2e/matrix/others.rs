//! The rows of the table that are not HTTP: WebSockets, gRPC, and jobs of a queue, each its example's app under its
//! example's clients, which say what they lost. With `notify` that is nothing.

use serde_json::json;
use tokio::time::sleep;

use super::{NOTIFIED, PLAIN, Way, ways};
use crate::app::App;
use crate::callers::Callers;
use crate::cluster::{World, test_alone};
use crate::examples::{GRPC, SOCKETS, WARM_UP, grpc, image, websockets};
use crate::figure::count;
use crate::redis::Redis;
use crate::timeline::Timeline;
use crate::work::{fill, until_done};

/// Changes of each way. HTTP has more, for what it loses is rarer.
const CHANGES: u32 = 2;

/// More jobs than are ever added.
const JOBS: &str = "100000";

/// A kind of work, and its rows: each the sum of numbers that its clients tell.
struct Work {
    name: &'static str,
    lost: &'static [Row],
    all: Row,
    unit: &'static str,
}

type Row = (&'static str, &'static [&'static str]);

const WEBSOCKETS: Work = Work {
    name: "WebSockets",
    lost: &[
        ("WebSockets, lost", &["refused", "cut"]),
        ("WebSockets: of these, cut", &["cut"]),
    ],
    all: ("WebSockets: all messages", &["messages"]),
    unit: "sockets",
};

const CALLS: Work = Work {
    name: "gRPC",
    lost: &[
        ("gRPC calls, lost", &["calls lost"]),
        ("gRPC streams, lost", &["streams lost"]),
    ],
    all: ("gRPC: all calls and streams", &["calls", "streams"]),
    unit: "calls",
};

const QUEUE: Work = Work {
    name: "queue",
    lost: &[("jobs of a queue, lost", &["lost"])],
    all: ("queue: all jobs", &["jobs"]),
    unit: "jobs",
};

/// Starts a way, changes it under its clients, and shows its cells. Returns what it lost.
async fn under(
    world: &World,
    way: &Way,
    work: &Work,
    clients: impl AsyncFnOnce() -> Callers,
) -> u64 {
    way.start(world).await;
    let callers = clients().await;
    sleep(WARM_UP).await;
    let timeline = Timeline::of(world);
    let changes = way.change(world, &timeline, CHANGES).await;
    let told = callers.finish().await;
    let cell = |(row, numbers): &Row| {
        let sum = numbers.iter().map(|what| told.number(what)).sum();
        way.cell(row, count(sum), work.unit);
        sum
    };
    let lost = work.lost.iter().map(cell).sum();
    cell(&work.all);
    way.tell(work.name, &changes);
    lost
}

/// Rolls all ways under clients of their Services, one after another: what rests takes little. Returns what each lost.
async fn each_under(
    world: &World,
    ways: &[Way],
    work: &Work,
    client: (&str, &str),
    many: usize,
) -> Vec<(&'static str, u64)> {
    let mut lost = Vec::new();
    for way in ways {
        let clients = async || Callers::start(world, way.name, client, many).await;
        lost.push((way.name, under(world, way, work, clients).await));
    }
    lost
}

/// What a way lost.
fn of(all: &[(&str, u64)], name: &str) -> u64 {
    let mut found = all.iter().filter(|(way, _)| *way == name);
    found.next().expect("the way").1
}

/// A Deployment is not held to a loss: the app says goodbye at SIGTERM too, and few clients come back too soon.
#[test]
fn websockets_are_kept_with_notify() {
    test_alone("matrix-websockets", |world| async move {
        let socket = |app: App| app.container("/image", image(SOCKETS.0));
        let all = each_under(&world, &ways(socket, websockets), &WEBSOCKETS, SOCKETS, 3).await;
        assert_eq!(of(&all, NOTIFIED), 0, "{all:?}");
    });
}

#[test]
fn grpc_calls_are_kept_with_notify_and_lost_by_a_deployment() {
    test_alone("matrix-grpc", |world| async move {
        let notify = json!({"httpPost": {"port": 9000, "path": "/drain"}});
        let told = |app: App| app.spec("/drain/notify", notify.clone());
        let ways = ways(grpc, told);
        let all = each_under(&world, &ways, &CALLS, GRPC, 4).await;
        assert_eq!(of(&all, NOTIFIED), 0, "{all:?}");
        assert!(of(&all, PLAIN) > 0, "{all:?}");
    });
}

#[test]
fn jobs_are_kept_with_notify_and_lost_by_a_deployment() {
    test_alone("matrix-jobs", |world| async move {
        let mut lost = Vec::new();
        for way in ways(|app| app, until_done) {
            // One for each: the workers of the other ways rest.
            let queue = Redis::start(&world).await;
            let app = queue.worked_on(way.app);
            let way = Way { app, ..way };
            let clients = async || fill(&queue, JOBS);
            lost.push((way.name, under(&world, &way, &QUEUE, clients).await));
        }
        assert_eq!(of(&lost, NOTIFIED), 0, "{lost:?}");
        assert!(of(&lost, PLAIN) > 0, "{lost:?}");
    });
}
