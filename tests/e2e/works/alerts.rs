//! Every alert of the chart but one, judged by a real Prometheus with the times that the chart gives it, fires for what
//! really went wrong, and for nothing else: beside it an app rolls and is told nothing of.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use super::hasty;
use crate::app::App;
use crate::cluster::{World, names, test_alone};
use crate::examples::SOON;
use crate::operators::{OPERATORS, Operator};
use crate::redis::Redis;
use crate::stream::Stream;
use crate::watched::{Prometheus, fail};

/// Longer than the longest time for which something must be so.
const PATIENCE: Duration = Duration::from_mins(12);

/// A stream that nobody waits for to the end.
const NEVER: Duration = Duration::from_mins(30);

/// What goes wrong, by the name of its object: an app that does not exit when it is told to and takes a stream
/// along; one that leaves its pool open; one with a pod that is held past its deadline; one whose pods never turn
/// ready; and one that the API server takes no ReplicaSet for, for which the operator fails as well. Only
/// GracefulAgentMissing is left to promtool: it takes an agent that is ready and does not hear, which a node makes
/// of it that is not well itself.
const OF_APPS: [(&str, &str); 9] = [
    ("GracefulConnectionsCut", "killed"),
    ("GracefulForcedKills", "killed"),
    ("GracefulPoolsLeftOpen", "pool"),
    ("GracefulDrainOverdue", "held"),
    ("GracefulRolloutStuck", "held"),
    ("GracefulRolloutStuck", "unready"),
    ("GracefulTooFewAvailable", "unready"),
    ("GracefulTooFewAvailable", "refused"),
    ("GracefulReconcileErrors", ""),
];

/// What fires once the operator is stopped.
const OF_NO_OPERATOR: (&str, &str) = ("GracefulOperatorNotLeading", "");

/// Alerts, each with the name of the object that it is about.
type Alerts = BTreeSet<(String, String)>;

/// Has the apps roll, each into its own misfortune. Returns what they are in the middle of.
async fn go_wrong(world: &World) -> (Redis, Vec<Stream>) {
    let redis = Redis::start_on_known_port(world).await;
    let killed = hasty("killed")
        .env("SHUTDOWN_SECONDS", "600")
        .spec("/shutdown/timeoutSeconds", json!(1));
    let held = hasty("held").spec("/drain/onTimeout", json!("Hold"));
    // Told of the drain it asks for no more jobs, so that its connections are silent.
    let pool = redis
        .worked_on(App::graceful("pool").notify())
        .spec("/drain/minSeconds", json!(4))
        .spec("/drain/quietSeconds", json!(1));
    let healthy = App::graceful("healthy").replicas(2).notify();
    let apps = [
        ("killed", &killed),
        ("held", &held),
        ("pool", &pool),
        ("healthy", &healthy),
    ];
    for (_, app) in &apps {
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Service>(app.service()).await;
    }
    let mut streams = Vec::new();
    for (name, app) in &apps {
        world.complete(name, SOON).await;
        if ["killed", "held"].contains(name) {
            let pods = world.pods(name).await;
            streams.push(Stream::open(&pods[0], NEVER).await);
        }
        world.patch::<GracefulDeployment>(name, app.change(2)).await;
    }
    let unready = App::graceful("unready")
        .spec("/progressDeadlineSeconds", json!(20))
        .container("/readinessProbe/httpGet/path", json!("/nowhere"));
    world.create::<GracefulDeployment>(unready.object()).await;
    for name in ["killed", "pool", "healthy"] {
        world.complete(name, SOON).await;
    }
    fail(world).await;
    (redis, streams)
}

fn alert((alert, name): (&str, &str)) -> (String, String) {
    (alert.to_owned(), name.to_owned())
}

/// Watches until all that is wanted has fired, and fails at once where more has.
async fn watch(prometheus: &Prometheus, world: &World, fired: &RefCell<Alerts>, wanted: &Alerts) {
    world
        .until("all that is wrong is told of", PATIENCE, async || {
            let now = prometheus.alerts(&world.namespace).await;
            let mut fired = fired.borrow_mut();
            fired.extend(now);
            let more: Vec<_> = fired.difference(wanted).collect();
            assert!(more.is_empty(), "told of without a reason: {more:?}");
            let left: Vec<_> = wanted.difference(&fired).collect();
            left.is_empty()
                .then_some(())
                .ok_or_else(|| format!("not told of: {left:?}"))
        })
        .await;
}

#[test]
fn each_alert_fires_for_what_went_wrong_and_for_nothing_else() {
    test_alone("alerts", |world| async move {
        let prometheus = Prometheus::start(&world).await;
        let work = go_wrong(&world).await;
        let mut wanted: Alerts = OF_APPS.into_iter().map(alert).collect();
        let fired = RefCell::default();
        watch(&prometheus, &world, &fired, &wanted).await;
        let held = names(&world.pods("held").await);
        assert_eq!(
            held.len(),
            2,
            "the pod that is held and its successor: {held:?}"
        );
        Operator::of(&world).scale(0).await;
        wanted.insert(alert(OF_NO_OPERATOR));
        watch(&prometheus, &world, &fired, &wanted).await;
        Operator::of(&world).scale(OPERATORS).await;
        drop(work);
    });
}
