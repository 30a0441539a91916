//! A real Prometheus, Debian's, scrapes the operator and the agents of a rollout: every panel of the
//! dashboards has something to show, a healthy rollout raises no alert, and one that cuts a connection does.

mod prometheus;
mod recording;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ResourceQuota, Service};
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{World, test_alone};
use crate::dashboards::panels;
use crate::stream::Stream;
pub(crate) use prometheus::Prometheus;

const SOON: Duration = Duration::from_secs(120);

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/graceful-deployment");

/// Two apps in service, one of which has a client that does not go, and no time to wait for it.
async fn start(world: &World) -> Stream {
    let healthy = App::graceful("healthy").replicas(2).notify();
    let hasty = App::graceful("hasty").spec("/drain/timeoutSeconds", json!(8));
    for app in [&healthy, &hasty] {
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Service>(app.service()).await;
    }
    for name in ["healthy", "hasty"] {
        world.complete(name, SOON).await;
    }
    let pods = world.pods("hasty").await;
    let stream = Stream::open(&pods[0], Duration::from_secs(300)).await;
    for (name, app) in [("healthy", &healthy), ("hasty", &hasty)] {
        let change = app.change(2);
        world.patch::<GracefulDeployment>(name, change).await;
    }
    stream
}

/// An object that the API server takes no ReplicaSet for.
pub(crate) async fn fail(world: &World) {
    let quota = json!({
        "metadata": {"name": "full"},
        "spec": {"hard": {"count/replicasets.apps": "1"}},
    });
    world.create::<ResourceQuota>(quota).await;
    world
        .until("the quota is in force", SOON, async || {
            let quota = world.api::<ResourceQuota>().get("full").await.expect("it");
            let status = quota.status.and_then(|status| status.used);
            status.map(drop).ok_or_else(|| "not counted yet".into())
        })
        .await;
    let refused = App::graceful("refused").object();
    world.create::<GracefulDeployment>(refused).await;
}

/// B43.
#[test]
fn every_panel_shows_what_prometheus_scraped() {
    test_alone("watched", |world| async move {
        let prometheus = Prometheus::start(&world).await;
        let stream = start(&world).await;
        for name in ["healthy", "hasty"] {
            world.complete(name, SOON).await;
        }
        drop(stream);
        fail(&world).await;
        // A rate's window is four scrapes long, as Grafana has it.
        let all = panels(["1s", "4s", "5m"]);
        world
            .until("every panel has data", SOON, async || {
                let mut empty = BTreeSet::new();
                for (title, expressions) in &all {
                    for expression in expressions {
                        if !prometheus.has_data(expression).await {
                            empty.insert(title);
                        }
                    }
                }
                if empty.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{empty:?}"))
                }
            })
            .await;
        // A pod's end is on record some seconds after it.
        let cut = ("GracefulConnectionsCut".to_owned(), "hasty".to_owned());
        world
            .until("the cut is told of, and nothing else", SOON, async || {
                let raised = prometheus.alerts(&world.namespace).await;
                let wanted = [cut.clone()].into();
                (raised == wanted)
                    .then_some(())
                    .ok_or_else(|| format!("{raised:?}"))
            })
            .await;
    });
}
