//! `helm upgrade --install --wait` of an app: Helm 4 returns when the rollout is really done, waits while pods
//! drain and fails when the object is stalled. Helm 3 does not know other kinds than Kubernetes' own.

use std::time::Duration;

use serde_json::json;

use super::{Said, run};
use crate::standin::orders::{Manner, Start};
use crate::standin::{NODE_LABEL, node_group};
use crate::world::trail::{Now, is_draining, is_ready};
use crate::world::{Graceful, WEB, World};

const APP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/cluster/compat/app-chart"
);

/// Longer than helm waits for anything that is to come.
const TIMEOUT: &str = "--timeout=85s";

/// Installs or upgrades the release `web` to an image and waits, as one helm does.
async fn upgrade(helm: &'static str, namespace: &str, image: &str, more: &[&str]) -> Said {
    let values = json!({"image": image, "nodeSelector": {NODE_LABEL: node_group()}});
    let values: Vec<_> = ["image", "nodeSelector"]
        .iter()
        .map(|key| format!("--set-json={key}={}", values[key]))
        .collect();
    let mut arguments = vec!["upgrade", WEB, APP, "--install", "--wait", TIMEOUT];
    arguments.extend(["--namespace", namespace]);
    arguments.extend(values.iter().map(String::as_str));
    arguments.extend(more);
    run(helm, &arguments).await
}

/// As helm left it: of the newest generation, with all of its pods of one image and none on its way out.
async fn assert_done(world: &World<Graceful>, image: &str) {
    let object = world.objects().get(WEB).await.expect("the object");
    let view = crate::world::View::of(&json!(object));
    assert!(
        view.is_complete() && view.is("Ready", "True", "Complete"),
        "{view:?}"
    );
    assert_eq!(object.data["status"].get("drains"), None);
    world.catch_up().await;
    world.until_only(image, 3).await;
}

#[test]
fn helm_4_waits_until_a_rollout_is_really_done() {
    crate::world::run::<Graceful, _>("helm-4-waits", |world| async move {
        let slow = Manner::starting(Start::Ready(Duration::from_secs(2)));
        world.order("web:1", slow);
        upgrade("helm", &world.namespace, "web:1", &[]).await.good();
        assert_done(&world, "web:1").await;

        world.order("web:1", Manner::busy());
        let namespace = world.namespace.clone();
        let helm = tokio::spawn(async move { upgrade("helm", &namespace, "web:2", &[]).await });
        let draining = |now: &Now| {
            now.pods
                .values()
                .any(|pod| is_draining(pod) && !is_ready(pod))
        };
        world.until("a pod drains", draining).await;
        let rest = Duration::from_secs(3);
        world
            .never("helm returned while a pod drains", rest, |_| {
                helm.is_finished()
            })
            .await;
        assert!(!helm.is_finished(), "helm returned while a pod drains");
        world.order("web:1", Manner::default());
        helm.await.expect("helm").good();
        assert_done(&world, "web:2").await;
    });
}

/// And a further upgrade to what works ends well.
#[test]
fn helm_4_fails_where_a_rollout_is_stalled() {
    crate::world::run::<Graceful, _>("helm-4-fails", |world| async move {
        upgrade("helm", &world.namespace, "web:1", &[]).await.good();
        world.order("web:2", Manner::starting(Start::NeverReady));
        let soon = ["--set=progressDeadlineSeconds=5"];
        let said = upgrade("helm", &world.namespace, "web:2", &soon).await;
        assert!(!said.is_good, "{said:?}");
        for words in [
            "GracefulDeployment",
            "status: Failed",
            "1 of 4 pods updated, 3 in service",
        ] {
            assert!(said.error.contains(words), "no {words:?} in {said:?}");
        }
        // It did not wait for its own timeout.
        assert!(!said.error.contains("deadline exceeded"), "{said:?}");
        let now = world.trail.now();
        assert!(now.pods.values().filter(|pod| is_ready(pod)).count() >= 3);
        upgrade("helm", &world.namespace, "web:3", &[]).await.good();
        assert_done(&world, "web:3").await;
    });
}

/// Its --wait takes an object of another kind for ready once it is stored; `kubectl wait` waits.
#[test]
fn helm_3_does_not_wait_and_kubectl_does() {
    crate::world::run::<Graceful, _>("helm-3", |world| async move {
        world.order("web:1", Manner::starting(Start::NeverReady));
        let namespace = world.namespace.clone();
        upgrade("helm3", &namespace, "web:1", &[]).await.good();
        let view = world.until_status("it is seen", |_| true).await;
        assert!(!view.is_complete(), "{view:?}");
        world.order("web:1", Manner::default());
        let object = format!("gd/{WEB}");
        let wait = ["wait", &object, "--for=condition=Ready", TIMEOUT];
        let wait = [&wait[..], &["--namespace", &namespace]].concat();
        run("kubectl", &wait).await.good();
        assert_done(&world, "web:1").await;
        // Ready of the last rollout is no answer for this one.
        upgrade("helm3", &namespace, "web:2", &[]).await.good();
        run("kubectl", &wait).await.good();
        assert_done(&world, "web:2").await;
    });
}
