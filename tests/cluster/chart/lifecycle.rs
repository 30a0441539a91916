//! A release from its install to its uninstall, by each line of helm, on a real API server: what helm says,
//! and that no pod of a user's notices anything but what its object asks for. The operator and helm's hooks
//! run as processes with the rights that the chart gives them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::hooks::{Hooks, Ran, kubeconfig_of};
use super::{CHART, kubectl, run, text};
use crate::standin::orders::Manner;
use crate::standin::{NODE_LABEL, node_group};
use crate::world::trail::{is_draining, is_ready};
use crate::world::{Graceful, Now, Operator, WEB, World};

/// One release, which watches two namespaces.
struct Release {
    helm: &'static str,
    namespace: String,
    watched: [String; 2],
    hooks: Hooks,
}

impl Release {
    fn new(helm: &'static str, world: &World<Graceful>) -> Self {
        let namespace = format!("{}-op", world.namespace);
        let second = format!("{}-two", world.namespace);
        for name in [&namespace, &second] {
            succeeds("kubectl", &["create", "namespace", name]);
        }
        let hooks = Hooks::of(&namespace);
        let watched = [world.namespace.clone(), second];
        Self {
            helm,
            namespace,
            watched,
            hooks,
        }
    }

    /// Runs helm to its end, without holding up who watches meanwhile.
    async fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        let mut all = vec![arguments[0], "graceful"];
        all.extend(&arguments[1..]);
        all.extend(["--namespace", &self.namespace, "--timeout", "90s"]);
        let all: Vec<_> = all.into_iter().map(str::to_owned).collect();
        let helm = self.helm;
        let output = tokio::task::spawn_blocking(move || {
            let all: Vec<_> = all.iter().map(String::as_str).collect();
            run(helm, &all)
        });
        let output = output.await.expect("helm ends");
        let said = text(&output.stdout) + &text(&output.stderr);
        if output.status.success() {
            Ok(said)
        } else {
            Err(said)
        }
    }

    /// Installs or upgrades, with a log level.
    async fn bring(&self, verb: &str, level: &str) {
        let values = json!({
            "crds": {"enabled": false},
            "watchNamespaces": self.watched,
            "nodeSelector": {"kubernetes.io/os": null, NODE_LABEL: node_group()},
            "logLevel": level,
        });
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), values.to_string()).expect("written");
        let path = file.path().to_string_lossy().into_owned();
        let said = self.helm(&[verb, CHART, "--values", &path, "--wait"]).await;
        said.unwrap_or_else(|error| panic!("{verb}: {error}: {:?}", self.hooks.take()));
        let hook = self.only_hook("check");
        assert!(hook.is_good, "{}", hook.said);
    }

    fn only_hook(&self, what: &str) -> Ran {
        let mut ran = self.hooks.take();
        assert_eq!(ran.len(), 1, "{ran:?}");
        let hook = ran.remove(0);
        assert_eq!(hook.what, what);
        hook
    }

    /// The operator with the chart's rights.
    fn operator(&self) -> Operator {
        let kubeconfig = kubeconfig_of(&self.namespace, "graceful-operator");
        let [first, second] = &self.watched;
        let operator = Operator::start_for(&[first, second], kubeconfig.path());
        // The process reads it once, at its start.
        kubeconfig.keep().expect("kept");
        operator
    }

    /// What is left in the cluster that has the release's name.
    fn left(&self) -> String {
        let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,\
                     validatingwebhookconfigurations,mutatingwebhookconfigurations";
        let output = run("kubectl", &["get", kinds, "--output=name"]);
        let all = text(&output.stdout);
        all.lines()
            .filter(|line| line.ends_with(&self.namespace))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Pods by name, with what would tell one that was touched.
fn pods(now: &Now) -> BTreeMap<String, Value> {
    let told = |pod: &Value| {
        json!([
            pod["metadata"]["uid"],
            pod["spec"],
            pod["metadata"]["annotations"],
            is_ready(pod)
        ])
    };
    now.pods
        .iter()
        .map(|(name, pod)| (name.clone(), told(pod)))
        .collect()
}

/// In the second namespace, which has no trail.
fn until_complete_beside(namespace: &str) {
    let wait = [
        "wait",
        "gd/web",
        "--for=condition=Ready",
        "--timeout=90s",
        "--namespace",
        namespace,
    ];
    succeeds("kubectl", &wait);
}

async fn story(helm: &'static str, mut world: World<Graceful>) {
    let release = Release::new(helm, &world);
    release.bring("install", "info").await;
    world.operator = Some(release.operator());
    world.create_complete(3, json!({})).await;
    let mut beside = World::<Graceful>::object(1, &json!({}));
    beside["metadata"]["namespace"] = json!(release.watched[1]);
    assert!(kubectl(&["create"], &[beside]).status.success());
    until_complete_beside(&release.watched[1]);

    release.helm(&["test"]).await.expect("helm test");
    assert!(release.only_hook("check").is_good);

    upgrade_in_the_middle(&release, &mut world).await;
    uninstall(&release, &mut world).await;
    come_back(&release, &mut world).await;
}

/// The operator is upgraded and rolled back while pods drain. Each drain ends as it would have.
async fn upgrade_in_the_middle(release: &Release, world: &mut World<Graceful>) {
    world.order("web:1", Manner::busy());
    world.set_image("web:2").await;
    let draining = |now: &Now| {
        now.pods
            .values()
            .any(|pod| is_draining(pod) && !is_ready(pod))
    };
    world.until("a pod is withdrawn", draining).await;
    let before = pods(&world.trail.now());
    release.bring("upgrade", "debug").await;
    world.operator = None;
    world.operator = Some(release.operator());
    let rolled_back = release.helm(&["rollback", "1", "--wait"]).await;
    rolled_back.unwrap_or_else(|error| panic!("{error}"));
    world.operator = None;
    world.operator = Some(release.operator());
    world.catch_up().await;
    let after = pods(&world.trail.now());
    for (name, pod) in &before {
        assert_eq!(
            after.get(name).map(|pod| &pod[0]),
            Some(&pod[0]),
            "{name} is another pod or gone"
        );
    }
    world.order("web:1", Manner::default());
    world.complete().await;
    let status = world.trail.now().object.expect("the object")["status"].clone();
    assert_eq!(status["lastRollout"]["drained"], 3, "{status}");
    assert_eq!(
        status["lastRollout"].get("forced").unwrap_or(&json!(0)),
        0,
        "{status}"
    );
}

/// Refused first, by a sentence that helm's user can act on, and then done all the same.
async fn uninstall(release: &Release, world: &mut World<Graceful>) {
    let before = pods(&world.trail.now());
    let error = release
        .helm(&["uninstall"])
        .await
        .expect_err("two objects exist");
    let hook = release.only_hook("guard");
    assert!(!hook.is_good);
    for said in [
        format!(
            "2 GracefulDeployments exist: {}/{WEB}, ",
            release.watched[0]
        ),
        format!(
            "  helm rollback graceful 1 --namespace {}\n",
            release.namespace
        ),
        format!(
            "  helm uninstall graceful --namespace {} --no-hooks\n",
            release.namespace
        ),
    ] {
        assert!(
            hook.said.contains(&said),
            "{said:?} is not in {}; helm: {error}",
            hook.said
        );
    }
    let namespace = ["--namespace", release.namespace.as_str()];
    succeeds(
        "kubectl",
        &[&["get", "deployment/graceful-operator"], &namespace[..]].concat(),
    );
    // What it says about keeping the release is true: the third revision is the first once more.
    release.helm(&["rollback", "1"]).await.expect("rolled back");
    release.bring("upgrade", "info").await;

    release
        .helm(&["uninstall", "--no-hooks", "--wait"])
        .await
        .expect("uninstalled");
    world.operator = None;
    assert_eq!(release.left(), "");
    world.catch_up().await;
    let now = world.trail.now();
    assert_eq!(pods(&now), before, "pods noticed the uninstall");
    let object = now.object.expect("the object is kept");
    assert_eq!(object.pointer("/metadata/finalizers"), None);
    // They heal without it.
    let name = before.keys().next().expect("a pod");
    succeeds(
        "kubectl",
        &["delete", "pod", name, "--namespace", &world.namespace],
    );
    let healed = |now: &Now| {
        now.pods.len() == 3
            && !now.pods.contains_key(name)
            && now.pods.values().all(|pod| is_ready(pod))
    };
    world.until("another pod took its place", healed).await;
}

/// Installed again it goes on; and where no object exists the guard lets it go.
async fn come_back(release: &Release, world: &mut World<Graceful>) {
    release.bring("install", "info").await;
    world.operator = Some(release.operator());
    world.set_image("web:3").await;
    world.complete().await;
    for namespace in &release.watched {
        succeeds("kubectl", &["delete", "gd", WEB, "--namespace", namespace]);
    }
    release.helm(&["uninstall"]).await.expect("uninstalled");
    let hook = release.only_hook("guard");
    assert!(
        hook.is_good && hook.said.contains("nothing needs the operator"),
        "{hook:?}"
    );
    for namespace in [&release.namespace, &release.watched[1]] {
        succeeds(
            "kubectl",
            &["delete", "namespace", namespace, "--wait=false"],
        );
    }
}

/// R38.
#[test]
fn release_comes_and_goes_by_helm_4() {
    crate::world::run::<Graceful, _>("helm4", |world| story("helm", world));
}

/// R38.
#[test]
fn release_comes_and_goes_by_helm_3() {
    crate::world::run::<Graceful, _>("helm3", |world| story("helm3", world));
}
