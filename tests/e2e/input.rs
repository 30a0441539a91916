//! Objects that today's rules would refuse, stored before the rules were: they are left alone, they
//! say why, and they stop nobody else.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use graceful::api::crd;
use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{World, condition, is_ready, names, test_alone};

const SOON: Duration = Duration::from_secs(120);

/// B37, R34, T12.
#[test]
fn stored_nonsense_keeps_its_pods_says_why_and_stops_no_other() {
    test_alone("input", |world| async move {
        let app = App::graceful("app").replicas(2);
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Service>(app.service()).await;
        world.complete("app", SOON).await;
        let before = names(&world.pods("app").await);

        define(&world, without_rules()).await;
        let stored = store(&world).await;
        // First of all the rules are put back: every other test needs them.
        define(&world, crd::definition()).await;
        stored.expect("stored as the looser definition has it");

        let (status, reason, message) = world
            .until("the object says that it is stalled", SOON, async || {
                let object = world.graceful("app").await;
                let stalled = condition(&object, "Stalled");
                stalled
                    .clone()
                    .filter(|(status, ..)| status == "True")
                    .ok_or(format!("{stalled:?}"))
            })
            .await;
        assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidSpec"));
        assert!(message.contains("spec.drain.minSeconds"), "{message}");
        let pods = world.pods("app").await;
        assert_eq!(names(&pods), before);
        assert!(pods.iter().all(is_ready));

        let other = App::graceful("other");
        world.create::<GracefulDeployment>(other.object()).await;
        world.complete("other", SOON).await;
        let what = ["InvalidSpec: ", "soon"];
        world.until_event("unreadable", &what).await;

        let mended = json!({"spec": {"drain": {"minSeconds": 5, "timeoutSeconds": 60}}});
        world.patch::<GracefulDeployment>("app", mended).await;
        world.complete("app", SOON).await;
        assert_eq!(names(&world.pods("app").await), before);
    });
}

/// Puts a definition in place of the present one.
async fn define(world: &World, definition: Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = "gracefuldeployments.graceful.dev";
    let versions = &definition["spec"]["versions"];
    let patch = json!({"spec": {"versions": versions}});
    definitions
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("defined");
}

/// The definition as it might have been once: anything goes.
fn without_rules() -> Value {
    let mut definition = crd::definition();
    definition["spec"]["versions"][0]["schema"] = json!({
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            },
        },
    });
    definition
}

/// Stores nonsense in `app`, and `unreadable`, which no client of today can read.
async fn store(world: &World) -> kube::Result<()> {
    let anything: Api<DynamicObject> = Api::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &ApiResource::erase::<GracefulDeployment>(&()),
    );
    let mut unreadable = App::graceful("unreadable").object();
    unreadable["spec"]["minReadySeconds"] = json!("soon");
    let unreadable: DynamicObject = serde_json::from_value(unreadable).unwrap();
    let began = Instant::now();
    loop {
        // Refused until the API server goes by the looser definition.
        match anything.create(&PostParams::default(), &unreadable).await {
            Err(_) if began.elapsed() < SOON => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => break other.map(drop)?,
        }
    }
    let nonsense = json!({"spec": {"drain": {"minSeconds": 30, "timeoutSeconds": 5}}});
    anything
        .patch("app", &PatchParams::default(), &Patch::Merge(&nonsense))
        .await?;
    Ok(())
}
