//! Each kind of work under each kind of rollout: what people ask first, as the table of the docs. The same app rolls in
//! all columns, with its own shutdown; `notify` comes with what its example's manifest has beside it. `cargo xtask test
//! matrix` runs it and records the table.

mod others;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::bench::{Changes, SLEEP};
use crate::cluster::{Namespaced, Verdict, World, test_under_load};
use crate::figure::{count, most, show};
use crate::load::{Arm, Clients, Load};
use crate::rollout::{ROUNDS, new_ready};
use crate::timeline::Timeline;

/// The kinds of work that the load client makes, and their names for people.
const WORK: [(&str, &str); 4] = [
    ("new", "requests on new connections"),
    ("keepAlive", "requests on kept connections"),
    ("slow", "slow requests"),
    ("stream", "streams"),
];

/// Whether its server knows that a kept connection is about to be closed.
const KEPT: &str = "keepAlive";

/// What the load client says of a request that its server had, and that ended without its answer.
const CUT: [&str; 3] = ["reset", "closedBeforeAnswer", "cutMidBody"];

/// The first and the last of the ways.
const PLAIN: &str = "plain";
const NOTIFIED: &str = "notified";

/// For a drain: twice as long as the longest work and the look at it take. Where there are many sockets, each with a word
/// now and then, one of them has always just spoken: without the notice such a drain lasts until its deadline.
const DEADLINE: Duration = Duration::from_mins(1);

/// One way to roll the same app out.
struct Way {
    /// For people: the column of the table.
    title: String,
    name: &'static str,
    app: App,
    is_ours: bool,
}

#[test]
fn each_kind_of_request_is_kept_by_ours_and_lost_by_a_deployment() {
    test_under_load("matrix", |world| async move {
        let ways = ways(|app| app, App::notify);
        for way in &ways {
            way.start(&world).await;
        }
        let timeline = Timeline::of(&world);
        Load::prepare(&world).await;
        let arms: Vec<_> = ways.iter().map(|way| (way.name, Clients::MIXED)).collect();
        let load = Load::start(&world, &arms).await;
        let mut taken = Vec::new();
        for way in &ways {
            taken.push(way.change(&world, &timeline, ROUNDS).await);
        }
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        for (way, changes) in ways.iter().zip(&taken) {
            tell(way, found.arm(way.name));
            way.tell("HTTP", changes);
        }
        for way in &ways {
            judge(way, found.arm(way.name));
        }
        Verdict::Held
    });
}

/// The columns, of this app; the last one is told of its drains.
fn ways(app: impl Fn(App) -> App, told: impl Fn(App) -> App) -> [Way; 4] {
    let way = |title: &str, name, shape: App, is_ours| {
        let mut app = app(shape).replicas(4);
        if is_ours {
            app = app.spec("/drain/timeoutSeconds", json!(DEADLINE.as_secs()));
        }
        Way {
            title: title.into(),
            name,
            app,
            is_ours,
        }
    };
    let sleeps = format!("with a preStop sleep of {SLEEP} s");
    let drains = App::graceful("drains");
    [
        way("Deployment", PLAIN, App::deployment(PLAIN), false),
        way(
            &sleeps,
            "sleeps",
            App::deployment("sleeps").sleep(SLEEP),
            false,
        ),
        way("GracefulDeployment", "drains", drains, true),
        way(
            "with `notify`",
            NOTIFIED,
            told(App::graceful(NOTIFIED)),
            true,
        ),
    ]
}

impl Way {
    async fn start(&self, world: &World) {
        if self.is_ours {
            world.create::<GracefulDeployment>(self.app.object()).await;
        } else {
            world.create::<Deployment>(self.app.object()).await;
        }
        world.create::<Service>(self.app.service()).await;
        new_ready(world, self.name, &[]).await;
    }

    /// Changes one after the other: each way has the machine for itself.
    async fn change(&self, world: &World, timeline: &Timeline, times: u32) -> Changes {
        let mut changes = Changes::default();
        for version in 2..2 + times {
            if self.is_ours {
                self.add::<GracefulDeployment>(world, timeline, version, &mut changes)
                    .await;
            } else {
                self.add::<Deployment>(world, timeline, version, &mut changes)
                    .await;
            }
        }
        changes
    }

    async fn add<K: Namespaced>(
        &self,
        world: &World,
        timeline: &Timeline,
        version: u32,
        changes: &mut Changes,
    ) {
        let patch = self.app.change(version);
        changes.add::<K>(world, timeline, self.name, patch).await;
    }

    /// Shows one cell of the table.
    fn cell(&self, row: &str, value: f64, unit: &str) {
        show(&format!("{row} | {}", self.title), value, None, unit);
    }

    /// Shows how long its changes took.
    fn tell(&self, work: &str, changes: &Changes) {
        let row = |what: &str| format!("{work}: {what}, longest s");
        self.cell(&row("all new pods ready"), most(&changes.ready), "s");
        self.cell(&row("all old pods gone"), most(&changes.gone), "s");
    }
}

fn tell(way: &Way, arm: &Arm) {
    for (kind, row) in WORK {
        let lost = count(lost(arm, kind));
        way.cell(&format!("{row}, lost"), lost, "requests");
    }
    let causes = arm.lost_by.values().flatten();
    let cut = causes.filter(|(cause, _)| CUT.contains(&cause.as_str()));
    let cut = cut.map(|(_, times)| times).sum();
    way.cell("HTTP: of these, cut", count(cut), "requests");
    way.cell("HTTP: all requests", count(arm.requests), "requests");
}

fn judge(way: &Way, arm: &Arm) {
    if !way.is_ours {
        // Otherwise nothing was there to be lost.
        assert!(way.name != PLAIN || arm.lost > 0, "{arm:#?}");
        return;
    }
    for (kind, row) in WORK {
        // Without the notice an idle connection may be closed under its next request.
        if kind != KEPT || way.name == NOTIFIED {
            assert_eq!(
                lost(arm, kind),
                0,
                "{row} {}: {:#?}",
                way.title,
                arm.failures
            );
        }
    }
}

fn lost(arm: &Arm, kind: &str) -> u64 {
    arm.lost_by.get(kind).map_or(0, |by| by.values().sum())
}
