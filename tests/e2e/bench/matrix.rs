//! Each kind of work under each kind of rollout: what people ask first, as the table of the docs.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use graceful::api::v1alpha1::GracefulDeployment;

use super::{Changes, SLEEP};
use crate::app::App;
use crate::cluster::{Namespaced, Verdict, World, test_under_load};
use crate::figure::{count, median, show};
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

/// One way to roll the same app out.
struct Way {
    /// For people: the column of the table.
    title: String,
    name: &'static str,
    app: App,
    is_ours: bool,
}

#[test]
fn each_kind_of_work_is_kept_by_ours_and_lost_by_a_deployment() {
    test_under_load("matrix", |world| async move {
        let ways = ways();
        for way in &ways {
            way.start(&world).await;
        }
        let timeline = Timeline::of(&world);
        Load::prepare(&world).await;
        let arms: Vec<_> = ways.iter().map(|way| (way.name, Clients::MIXED)).collect();
        let load = Load::start(&world, &arms).await;
        let mut taken = Vec::new();
        for way in &ways {
            taken.push(way.change(&world, &timeline).await);
        }
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        for (way, changes) in ways.iter().zip(&taken) {
            way.tell(found.arm(way.name), changes);
        }
        for way in &ways {
            way.judge(found.arm(way.name));
        }
        Verdict::Held
    });
}

fn ways() -> [Way; 4] {
    let way = |title: &str, name, app: App, is_ours| Way {
        title: title.into(),
        name,
        app: app.replicas(4),
        is_ours,
    };
    let sleeps = App::deployment("sleeps").sleep(SLEEP);
    [
        way("Deployment", "plain", App::deployment("plain"), false),
        way(
            &format!("with a preStop sleep of {SLEEP} s"),
            "sleeps",
            sleeps,
            false,
        ),
        way(
            "GracefulDeployment",
            "drains",
            App::graceful("drains"),
            true,
        ),
        way(
            "with `notify`",
            "notified",
            App::graceful("notified").notify(),
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
    async fn change(&self, world: &World, timeline: &Timeline) -> Changes {
        let mut changes = Changes::default();
        for version in 2..2 + ROUNDS {
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

    fn tell(&self, arm: &Arm, changes: &Changes) {
        let cell = |row: &str, value, unit| {
            show(&format!("{row} | {}", self.title), value, None, unit);
        };
        for (kind, row) in WORK {
            cell(&format!("{row}, lost"), count(lost(arm, kind)), "requests");
        }
        cell("all requests", count(arm.requests), "requests");
        cell("all new pods ready, median s", median(&changes.ready), "s");
        cell("all old pods gone, median s", median(&changes.gone), "s");
    }

    fn judge(&self, arm: &Arm) {
        if !self.is_ours {
            // Otherwise nothing was there to be lost.
            assert!(self.name != "plain" || arm.lost > 0, "{arm:#?}");
            return;
        }
        for (kind, row) in WORK {
            // Without the notice an idle connection may be closed under its next request.
            if kind != KEPT || self.name == "notified" {
                assert_eq!(
                    lost(arm, kind),
                    0,
                    "{row} {}: {:#?}",
                    self.title,
                    arm.failures
                );
            }
        }
    }
}

fn lost(arm: &Arm, kind: &str) -> u64 {
    arm.lost_by.get(kind).map_or(0, |by| by.values().sum())
}
