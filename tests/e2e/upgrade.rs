//! The operator as it was before its last change, upgraded in the middle of a rollout under load, and then
//! taken away: no request is lost, and no pod notices but those that are replaced. Only `cargo xtask test
//! upgrade` runs it, which has both charts and all images.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use serde_json::{Value, json};

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, is_ready, names, test_under_load};
use crate::helm::{RELEASE, helm, install};
use crate::load::{Clients, Load};

const SOON: Duration = Duration::from_secs(180);

/// For so long the pods serve without an operator, under load.
const ALONE: Duration = Duration::from_secs(15);

/// R38.
#[test]
fn upgrade_in_a_rollout_and_uninstall_lose_nothing_and_touch_no_other_pod() {
    // What is watched must be known.
    install("GRACEFUL_PREVIOUS");
    test_under_load("upgrade", |world| async move {
        install("GRACEFUL_PREVIOUS");
        Load::prepare(&world).await;
        let (rolled, steady) = (
            App::graceful("rolled").replicas(4).notify(),
            App::graceful("steady").replicas(2).notify(),
        );
        for (name, app) in [("rolled", &rolled), ("steady", &steady)] {
            world.create::<GracefulDeployment>(app.object()).await;
            world.create::<Service>(app.service()).await;
            world.complete(name, SOON).await;
        }
        let (old, untouched) = (world.pods("rolled").await, world.pods("steady").await);
        let load = Load::start(
            &world,
            &[("rolled", Clients::MIXED), ("steady", Clients::MIXED)],
        )
        .await;
        world
            .patch::<GracefulDeployment>("rolled", rolled.change(2))
            .await;
        world.draining("rolled", 1).await;
        blocking(|| install("GRACEFUL_PRESENT")).await;
        world.complete("rolled", SOON).await;
        let new = world.pods("rolled").await;
        assert_eq!(new.len(), 4, "{:?}", names(&new));
        assert!(names(&new).iter().all(|pod| !names(&old).contains(pod)));
        assert!(new.iter().all(|pod| restarts(pod) == 0 && is_ready(pod)));
        // The new operator has looked at this one too.
        let settings = json!({"spec": {"progressDeadlineSeconds": 700}});
        world.patch::<GracefulDeployment>("steady", settings).await;
        world.complete("steady", SOON).await;
        assert_eq!(told(&world.pods("steady").await), told(&untouched));

        let refused = blocking(|| helm(&["uninstall", RELEASE, "--wait"])).await;
        let refused = refused.expect_err("two objects exist");
        println!("helm uninstall: {refused}");
        let gone = blocking(|| helm(&["uninstall", RELEASE, "--no-hooks", "--wait"])).await;
        gone.expect("uninstalled");
        let before = (told(&world.pods("rolled").await), told(&untouched));
        tokio::time::sleep(ALONE).await;
        let after = (
            told(&world.pods("rolled").await),
            told(&world.pods("steady").await),
        );
        assert_eq!(after, before, "pods noticed the uninstall");

        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        for name in ["rolled", "steady"] {
            let arm = found.arm(name);
            println!("{name}: {} requests, {} lost", arm.requests, arm.lost);
            arm.assert_nothing_lost();
        }
        Verdict::Held
    });
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("helm ends")
}

/// What would tell a pod that was touched.
fn told(pods: &[Pod]) -> Value {
    let mut all: Vec<_> = pods
        .iter()
        .map(|pod| {
            json!([
                pod.name_any(),
                pod.uid(),
                pod.annotations(),
                pod.spec,
                restarts(pod),
                is_ready(pod)
            ])
        })
        .collect();
    all.sort_by_key(Value::to_string);
    json!(all)
}

fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.iter();
    let of = |statuses: &Option<Vec<_>>| statuses.clone().unwrap_or_default();
    status
        .flat_map(|status| {
            [
                of(&status.container_statuses),
                of(&status.init_container_statuses),
            ]
        })
        .flatten()
        .map(|status: k8s_openapi::api::core::v1::ContainerStatus| status.restart_count)
        .sum()
}
