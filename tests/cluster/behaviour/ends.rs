//! How pods end is on record: in the status, as Events and in the operator's metrics, each pod once.

use std::time::Duration;

use ::graceful::api::farewell::Exit;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::bounds::serving;
use super::scenarios;
use crate::standin::orders::{Manner, Pace};
use crate::world::{Graceful, Now, Operator, World};

scenarios! { graceful:
    the_end_of_every_pod_is_on_record,
    an_end_that_nobody_saw_is_counted_as_unseen,
}

/// Drains have two seconds.
fn spec() -> Value {
    json!({
        "drain": {"timeoutSeconds": 2, "minSeconds": 0, "quietSeconds": 0},
        "strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}},
    })
}

fn record(now: &Now, field: &str) -> Value {
    now.object.as_ref().unwrap()["status"]["lastRollout"][field].clone()
}

/// Killed with what it had open.
fn killed() -> Manner {
    Manner {
        code: 137,
        said: Exit {
            shutdown: Some(1_200),
            busy: 3,
            open: 5,
            pools: 2,
            silent: 0,
        },
        ..Manner::default()
    }
}

async fn until_told(world: &World<Graceful>, reason: &str, what: &str) {
    let api = world.api::<Event>();
    world
        .until_so(&format!("{reason} of {what}"), || async {
            let events = api.list(&ListParams::default()).await.expect("Events");
            events.items.iter().any(|event| {
                let note = event.note.as_deref().unwrap_or_default();
                event.reason.as_deref() == Some(reason) && note.contains(what)
            })
        })
        .await;
}

async fn until_counted(world: &World<Graceful>, line: &str) {
    world
        .until_so(line, || async {
            let page = Operator::metrics(&world.namespace).await;
            page.lines().any(|known| known.starts_with(line))
        })
        .await;
}

async fn the_end_of_every_pod_is_on_record(world: World<Graceful>) {
    world.create_complete(2, spec()).await;
    let pods: Vec<String> = world.trail.now().pods.into_keys().collect();
    world.order(&pods[0], killed());
    world.order(&pods[1], Manner::busy());
    world.set_image("web:2").await;
    world.complete().await;
    let now = world
        .until("both ends are counted", |now| record(now, "ended") == 2)
        .await;
    assert_eq!(record(&now, "exitCodes"), json!({"0": 1, "137": 1}));
    assert_eq!(record(&now, "forcedKills"), 1);
    assert_eq!(record(&now, "poolsLeftOpen"), 2);
    assert_eq!(record(&now, "connectionsCut"), 3 + 1);
    assert_eq!(record(&now, "unseen"), 0);
    let measured = now.object.as_ref().unwrap()["status"]["measured"].clone();
    assert_eq!(measured["shutdowns"], json!([-2]));
    until_told(&world, "PodKilled", &pods[0]).await;
    until_told(&world, "DrainTimedOut", &pods[1]).await;
    let labels = format!("{{namespace=\"{}\",name=\"web\"}}", world.namespace);
    until_counted(&world, &format!("graceful_forced_kills_total{labels} 1")).await;
    until_counted(&world, &format!("graceful_connections_cut_total{labels} 4")).await;
    until_counted(&world, &format!("graceful_pools_left_open_total{labels} 2")).await;

    // One that nobody planned ends badly by itself.
    let pod = world.trail.now().pods.into_keys().next().unwrap();
    let failed = Manner {
        code: 3,
        ..Manner::default()
    };
    world.order(&pod, failed);
    let deleted = world
        .api::<Pod>()
        .delete(&pod, &DeleteParams::default())
        .await;
    deleted.expect("deleted");
    let now = world
        .until("its end is counted", |now| record(now, "ended") == 3)
        .await;
    assert_eq!(record(&now, "exitCodes")["3"], 1);
    until_told(&world, "PodFailed", &pod).await;

    world.delete(kube::api::PropagationPolicy::Background).await;
    world
        .until_so("its series are gone", || async {
            let page = Operator::metrics(&world.namespace).await;
            !page.contains(&format!("namespace=\"{}\"", world.namespace))
        })
        .await;
}

async fn an_end_that_nobody_saw_is_counted_as_unseen(mut world: World<Graceful>) {
    let busy = Manner {
        work: Pace::After(Duration::from_secs(3600)),
        exit: Pace::After(Duration::ZERO),
        ..Manner::default()
    };
    world.order("web:1", busy);
    let mut spec = spec();
    spec["drain"]["timeoutSeconds"] = 3600.into();
    world.create_complete(1, spec).await;
    world.set_image("web:2").await;
    let now = world
        .until("a drain is remembered", |now| {
            let status = &now.object.as_ref().unwrap()["status"];
            status["drains"][0]["withdrawn"].is_string()
        })
        .await;
    let pod = now.object.as_ref().unwrap()["status"]["drains"][0]["pod"].clone();
    let pod = pod.as_str().unwrap().to_owned();
    world.operator.as_mut().unwrap().kill();
    let force = DeleteParams::default().grace_period(0);
    let deleted = world.api::<Pod>().delete(&pod, &force).await;
    deleted.expect("deleted");
    world
        .until("it is gone", |now| !now.pods.contains_key(&pod))
        .await;
    world.operator = Some(Operator::start(&world.namespace));
    let now = world
        .until("its end is counted", |now| record(now, "unseen") == 1)
        .await;
    assert_eq!(record(&now, "ended"), 0);
    // Its ReplicaSet has made another one of the old revision.
    world.order("web:1", Manner::default());
    world.complete().await;
    assert_eq!(serving(&world.trail.now()), 1);
    let left = world.api::<Pod>().list(&ListParams::default()).await;
    assert!(
        left.expect("pods")
            .items
            .iter()
            .all(|one| one.name_any() != pod)
    );
}
