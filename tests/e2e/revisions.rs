//! Revisions that never work: they cost no old pod, and the object says so.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{condition, is_ready, names, test};

const SOON: Duration = Duration::from_secs(120);

/// R22.
#[test]
fn revision_that_never_turns_ready_costs_no_old_pod() {
    stuck(
        "never-ready",
        "/readinessProbe/httpGet/path",
        json!("/never"),
    );
}

/// R23.
#[test]
fn revision_that_crash_loops_costs_no_old_pod() {
    stuck("crash-loop", "/command", json!(["/missing"]));
}

/// B33, R22.
#[test]
fn revision_that_cannot_be_pulled_costs_no_old_pod() {
    stuck("no-image", "/image", json!("registry.invalid/none:1"));
}

/// Rolls a revision out that cannot work, and mends it.
fn stuck(name: &str, pointer: &str, value: Value) {
    test(name, |world| async move {
        let sized = |app: App| app.replicas(2).spec("/progressDeadlineSeconds", json!(10));
        let good = sized(App::graceful("app"));
        world.create::<GracefulDeployment>(good.object()).await;
        world.create::<Service>(good.service()).await;
        world.complete("app", SOON).await;
        let old = names(&world.pods("app").await);
        let bad = sized(App::graceful("app")).container(pointer, value);
        world
            .patch::<GracefulDeployment>("app", bad.change(2))
            .await;
        let (reason, message) = world
            .until("the deadline is reported", SOON, async || {
                let object = world.graceful("app").await;
                match condition(&object, "Progressing") {
                    Some((status, reason, message)) if status == "False" => Ok((reason, message)),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        assert_eq!(reason, "ProgressDeadlineExceeded");
        println!("{message}");
        let pods = world.pods("app").await;
        for pod in &old {
            let kept = pods
                .iter()
                .find(|one| one.metadata.name.as_ref() == Some(pod));
            assert!(kept.is_some_and(is_ready), "{pod} is gone or not ready");
        }
        assert_eq!(pods.len(), 3, "one pod of the surge: {:?}", names(&pods));
        world
            .patch::<GracefulDeployment>("app", good.change(3))
            .await;
        world.complete("app", SOON).await;
    });
}
