//! kubectl's verbs for a GracefulDeployment under an operator, as a person uses them.

use serde_json::{Value, json};

use super::{Said, run, write};
use crate::world::{Graceful, WEB, World};

/// kubectl in the namespace of a world.
async fn kubectl(world: &World<Graceful>, arguments: &[&str]) -> Said {
    let namespace = ["--namespace", world.namespace.as_str()];
    run("kubectl", &[&namespace[..], arguments].concat()).await
}

fn manifest(image: &str) -> Value {
    let mut object = World::<Graceful>::object(2, &json!({}));
    object["spec"]["template"] = World::<Graceful>::template(image);
    object
}

/// Plain first, then by the server, then plain again: no conflict, and nothing to do where nothing changed.
#[test]
fn kubectl_applies_either_way_and_shows_the_difference() {
    crate::world::run::<Graceful, _>("kubectl-applies", |world| async move {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |image: &str| write(folder.path(), "web.yaml", &manifest(image).to_string());
        let file = of("web:1");
        kubectl(&world, &["apply", "--filename", &file])
            .await
            .good();
        world.complete().await;
        let again = kubectl(&world, &["apply", "--filename", &file])
            .await
            .good();
        assert!(again.trim_end().ends_with("unchanged"), "{again}");
        let same = kubectl(&world, &["diff", "--filename", &file]).await;
        assert_eq!((same.good().as_str(), ""), ("", ""));

        let file = of("web:2");
        let differs = kubectl(&world, &["diff", "--filename", &file]).await;
        assert!(!differs.is_good);
        let changed: Vec<_> = differs.out.lines().filter(is_change).collect();
        let expected = [
            "-  generation: 1",
            "+  generation: 2",
            "-      - image: web:1",
            "+      - image: web:2",
        ];
        assert_eq!(changed, expected, "{differs:?}");
        let by_server = ["apply", "--server-side", "--filename", &file];
        kubectl(&world, &by_server).await.good();
        world.complete().await;
        world.until_only("web:2", 2).await;

        let file = of("web:3");
        kubectl(&world, &["apply", "--filename", &file])
            .await
            .good();
        world.complete().await;
        world.until_only("web:3", 2).await;
        let same = kubectl(&world, &["diff", "--filename", &file]).await;
        assert!(same.is_good, "{same:?}");
    });
}

/// A line that was added or taken away, and not one of the two names.
fn is_change(line: &&str) -> bool {
    line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")
}

/// The operator's own fields stay its own: whoever applies the spec does not fight about the status.
#[test]
fn kubectl_finds_no_manager_of_the_spec_but_who_applied_it() {
    crate::world::run::<Graceful, _>("kubectl-managers", |world| async move {
        let folder = tempfile::tempdir().expect("a folder");
        let file = write(folder.path(), "web.yaml", &manifest("web:1").to_string());
        let by_server = ["apply", "--server-side", "--filename", &file];
        kubectl(&world, &by_server).await.good();
        world.complete().await;
        let shown = ["get", "gd", WEB, "--show-managed-fields", "--output=json"];
        let object: Value = serde_json::from_str(&kubectl(&world, &shown).await.good()).unwrap();
        let managers = object.pointer("/metadata/managedFields").unwrap();
        for one in managers.as_array().unwrap() {
            let has = |part: &str| one["fieldsV1"].get(part).is_some();
            let is_kubectl = one["manager"] == "kubectl";
            assert_eq!(has("f:spec"), is_kubectl, "{one}");
            assert_eq!(one["subresource"] == "status", !is_kubectl, "{one}");
        }
    });
}

/// `kubectl rollout` has its kinds built in, and says so.
#[test]
fn kubectl_rollout_knows_its_own_kinds_alone() {
    crate::world::run::<Graceful, _>("kubectl-rollout", |world| async move {
        world.create_complete(1, json!({})).await;
        let object = format!("gd/{WEB}");
        for verb in ["status", "restart", "undo", "pause", "history"] {
            let said = kubectl(&world, &["rollout", verb, &object]).await;
            let why = ["no ", "not supported", "unable", "isn't"];
            let is_told = why.iter().any(|word| said.error.contains(word));
            assert!(!said.is_good && is_told, "{verb}: {said:?}");
        }
        // What restart would have written.
        let now = "kubectl.kubernetes.io/restartedAt";
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {now: "1"}}}}});
        let patch = patch.to_string();
        let before = world.trail.now();
        kubectl(
            &world,
            &["patch", &object, "--type=merge", "--patch", &patch],
        )
        .await
        .good();
        kubectl(
            &world,
            &["wait", &object, "--for=condition=Ready", "--timeout=85s"],
        )
        .await
        .good();
        world.catch_up().await;
        let after = world.trail.now();
        assert!(
            after
                .pods
                .keys()
                .all(|name| !before.pods.contains_key(name))
        );
    });
}
