//! What a rollout and a steady object cost the API server, by its audit log, beside what a Deployment
//! costs for the same.
//!
//! A wave is what moves together. How many there are is arranged, and then up to the kubelet: it probes
//! each pod once a second, and pods that turn ready or report a second apart are replaced a second apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use serde_json::Value;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::audit::{Audit, Request, summary};
use crate::cluster::{Namespaced, World, names, test_alone};
use crate::figure::{count, show};
use crate::rollout::{ROLLOUT, new_ready};
use crate::timeline::Timeline;

const PODS: u32 = 4;

/// A steady object is left alone for so long.
const STEADY: Duration = Duration::from_secs(60);

/// What is put off is written by then.
const SETTLED: Duration = Duration::from_secs(12);

#[test]
fn rollout_makes_at_most_four_writes_a_pod_and_three_a_wave_and_a_steady_object_none() {
    test_alone("writes", |world| async move {
        let audit = Audit::of_cluster();
        let timeline = Timeline::of(&world);
        let mut costs = Vec::new();
        for (name, surge, arranged) in [("single", 1, PODS), ("whole", PODS, 1)] {
            let rollout = format!("{PODS} pods in waves of {}", PODS / arranged);
            let (own, theirs) = pair(&world, (&audit, &timeline), name, surge).await;
            let waves = waves(&own).max(u64::from(arranged));
            let limit = 4 * u64::from(PODS) + 3 * waves;
            let what = format!("writes of a rollout of {rollout}");
            show(&what, count(number(&own)), Some(count(limit)), "writes");
            let what = format!("a Deployment's writes, {rollout}");
            show(&what, count(number(&theirs)), None, "writes");
            costs.push((format!("{rollout}, {waves} waves"), number(&own), limit));
        }
        let mark = audit.mark();
        tokio::time::sleep(STEADY).await;
        let idle: Vec<Request> = audit
            .since(Some(mark))
            .into_iter()
            .filter(|request| request.is_operators() && request.verb != "watch")
            // The leader renews every 2 s, however many objects there are.
            .filter(|request| request.object().resource != "leases")
            .collect();
        assert!(idle.is_empty(), "steady for 60 s: {}", summary(&idle));
        for (rollout, own, limit) in costs {
            assert!(own <= limit, "{rollout}: {own} writes, at most {limit}");
        }
    });
}

fn number(writes: &[Request]) -> u64 {
    writes.len().try_into().expect("a count")
}

/// In how many steps the old pods were asked to drain, or given up, whichever took more.
fn waves(writes: &[Request]) -> u64 {
    let body = |request: &Request, pointer: &str| request.body.pointer(pointer).cloned();
    let asked: BTreeSet<String> = writes
        .iter()
        .filter_map(|request| body(request, "/metadata/annotations/graceful.dev~1drain"))
        .filter_map(|drain| serde_json::from_str::<Value>(drain.as_str()?).ok())
        .map(|drain| drain["asked"].to_string())
        .collect();
    let mut sizes: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for request in writes {
        let size = body(request, "/spec/replicas").and_then(|size| size.as_i64());
        if let (Some(size), 200) = (size, request.response_status.code) {
            sizes.entry(request.object().name).or_default().insert(size);
        }
    }
    let steps = sizes.values().map(BTreeSet::len).max().unwrap_or(0);
    asked.len().max(steps).try_into().expect("a count")
}

/// Rolls an app once each way, one after the other; the writes of both controllers.
async fn pair(
    world: &World,
    (audit, timeline): (&Audit, &Timeline),
    name: &str,
    surge: u32,
) -> (Vec<Request>, Vec<Request>) {
    let theirs = format!("{name}-deployment");
    let sized = |app: App| {
        app.replicas(PODS)
            .spec("/strategy/rollingUpdate/maxSurge", surge.into())
    };
    let own = sized(App::graceful(name));
    let deployment = sized(App::deployment(&theirs));
    world.create::<GracefulDeployment>(own.object()).await;
    world.create::<Deployment>(deployment.object()).await;
    for app in [&own, &deployment] {
        world.create::<Service>(app.service()).await;
    }
    new_ready(world, &theirs, &[]).await;
    world.complete(name, ROLLOUT).await;
    tokio::time::sleep(SETTLED).await;
    let mark = audit.mark();
    roll::<GracefulDeployment>(world, timeline, name, own.change(2)).await;
    world.complete(name, ROLLOUT).await;
    roll::<Deployment>(world, timeline, &theirs, deployment.change(2)).await;
    tokio::time::sleep(SETTLED).await;
    let requests = audit.since(Some(mark));
    let written = |is_its: fn(&Request) -> bool| {
        let writes: Vec<Request> = requests
            .iter()
            .filter(|request| is_its(request) && request.is_write())
            .filter(|request| request.object().namespace == world.namespace)
            .filter(|request| request.object().resource != "events")
            .cloned()
            .collect();
        println!("{name}: {}", summary(&writes));
        writes
    };
    (
        written(Request::is_operators),
        written(Request::is_deployments),
    )
}

/// Changes an app, and waits until its old pods are gone.
async fn roll<K: Namespaced>(world: &World, timeline: &Timeline, name: &str, change: Value) {
    let old = names(&world.pods(name).await);
    let began = Instant::now();
    world.patch::<K>(name, change).await;
    new_ready(world, name, &old).await;
    let ready = began.elapsed();
    timeline.gone(world, name, &old, ROLLOUT).await;
    let gone = began.elapsed();
    println!("{name}: new pods ready after {ready:.1?}, old ones gone after {gone:.1?}");
}
