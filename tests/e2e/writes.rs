//! What a rollout and a steady object cost the API server, by its audit log, beside what a Deployment
//! costs for the same.

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
        for (name, surge, waves) in [("single", 1, PODS), ("whole", PODS, 1)] {
            let limit = 4 * PODS + 3 * waves;
            let rollout = format!("{PODS} pods in waves of {}", PODS / waves);
            let (own, theirs) = pair(&world, (&audit, &timeline), name, surge).await;
            let what = format!("writes of a rollout of {rollout}");
            show(&what, count(own), Some(f64::from(limit)), "writes");
            let what = format!("a Deployment's writes, {rollout}");
            show(&what, count(theirs), None, "writes");
            costs.push((rollout, own, u64::from(limit)));
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

/// Rolls an app once each way, one after the other, and counts the writes of both controllers.
async fn pair(
    world: &World,
    (audit, timeline): (&Audit, &Timeline),
    name: &str,
    surge: u32,
) -> (u64, u64) {
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
        writes.len().try_into().expect("a count")
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
