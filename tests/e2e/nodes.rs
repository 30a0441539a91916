//! Two operators on two nodes, and an app on both under load from both: the one that leads is killed or stopped in
//! the middle of a rollout, or its node is drained or lost. `cargo xtask test nodes` runs them one at a time, in the order of
//! their names: the node that the last one loses does not come back.

mod vanished;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::process::Command;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, World, names, test_alone, test_under_load};
use crate::figure::{assert_at_most, count, show, slack};
use crate::load::{Clients, Found, Load};
use crate::node::Node;
use crate::operators::{OPERATORS, Operator};
use crate::rollout::ROLLOUT;

/// On a slow machine.
const SOON: Duration = Duration::from_secs(120);

/// The Lease, and what it takes to act on it.
const AFTER_A_KILL: f64 = 15.0 + 2.0;

const AFTER_A_STOP: f64 = 1.0;

/// The app that is rolled, its pods on every node alike.
fn app() -> App {
    App::graceful("app").replicas(4).notify().pod(
        "/topologySpreadConstraints",
        json!([{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "app"}},
            "matchLabelKeys": ["pod-template-hash"],
        }]),
    )
}

/// B67: with all of its pods. The next rollout is made while the node is away.
#[test]
fn draining_the_leaders_node_loses_nothing() {
    test_under_load("nodes-drain", |world| async move {
        let nodes = both();
        let (first, second) = (&nodes[0], &nodes[1]);
        let operator = Operator::of(&world);
        lead_from(second, &operator).await;
        Load::prepare_on(&world, first).await;
        let app = app();
        begin(&world, &app, &nodes).await;
        let load = Load::start(&world, &[("app", Clients::MIXED)]).await;
        let drain = format!(
            "drain {} --delete-emptydir-data --timeout=180s",
            second.name
        );
        operator.take_over(async || kubectl(&drain).await).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        world.complete("app", ROLLOUT).await;
        let found = load.finish().await;
        kubectl(&format!("uncordon {}", second.name)).await;
        operator.take_over_after_deletion().await;
        apart(&operator).await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        let arm = found.arm("app");
        arm.assert_nothing_lost();
        show(
            "two nodes: requests while the leader's node is drained, none lost",
            count(arm.requests),
            None,
            "requests",
        );
        Verdict::Held
    });
}

async fn kubectl(line: &str) {
    let mut kubectl = Command::new("kubectl");
    let said = kubectl.args(line.split_whitespace()).output().await;
    let said = said.expect("kubectl");
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "kubectl {line}: {words}");
}

/// R01, R02, R07: on another node too, with its Lease still held.
#[test]
fn leader_killed_on_one_of_two_nodes_loses_nothing_from_either() {
    test_under_load("nodes-kill", |world| async move {
        let limit = AFTER_A_KILL;
        leader_ended(&world, "killed", limit, async |operator| {
            operator.take_over_after("KILL").await
        })
        .await
    });
}

/// R07, R38: its pod is deleted, and another comes.
#[test]
fn leader_stopped_on_one_of_two_nodes_loses_nothing_from_either() {
    test_under_load("nodes-stop", |world| async move {
        let limit = AFTER_A_STOP;
        leader_ended(&world, "stopped", limit, async |operator| {
            operator.take_over_after_deletion().await
        })
        .await
    });
}

/// Ends the leader in the middle of a rollout, under load from both nodes.
async fn leader_ended(
    world: &World,
    how: &str,
    limit: f64,
    end: impl AsyncFnOnce(&Operator) -> f64,
) -> Verdict {
    let nodes = both();
    let operator = Operator::of(world);
    apart(&operator).await;
    Load::prepare(world).await;
    let app = app();
    let mut placed = begin(world, &app, &nodes).await;
    let before: BTreeSet<_> = placed.keys().cloned().collect();
    let arms = [("app", Clients::MIXED)];
    let loads = nodes
        .iter()
        .map(|node| Load::start_from(node, world, &arms));
    let loads = join_all(loads).await;
    world
        .patch::<GracefulDeployment>("app", app.change(2))
        .await;
    world.draining("app", 1).await;
    let seconds = end(&operator).await;
    world.complete("app", ROLLOUT).await;
    let found = join_all(loads.into_iter().map(Load::finish)).await;
    if found.iter().any(Found::is_disturbed) {
        return Verdict::Disturbed;
    }
    let after = spread(world, &nodes).await;
    assert_eq!(after.len(), 4, "{after:?}");
    assert!(
        after.keys().all(|pod| !before.contains(pod)),
        "{after:?}, before {before:?}"
    );
    placed.extend(after);
    for (node, found) in nodes.iter().zip(&found) {
        let arm = found.arm("app");
        arm.assert_nothing_lost();
        let reached: BTreeSet<_> = arm.pods.keys().filter_map(|pod| placed.get(pod)).collect();
        assert_eq!(
            reached.len(),
            nodes.len(),
            "from {}: {reached:?}",
            node.name
        );
    }
    let requests = found.iter().map(|found| found.arm("app").requests).sum();
    show(
        &format!("two nodes: requests while the leader is {how}, none lost"),
        count(requests),
        None,
        "requests",
    );
    let figure = format!("two nodes: another operator leads after the leader is {how}");
    assert_at_most(&figure, seconds, slack() * limit, "s");
    apart(&operator).await;
    Verdict::Held
}

/// R38: whatever order its pods are replaced in.
#[test]
fn operators_are_on_two_nodes_after_each_rollout_of_their_own() {
    test_alone("nodes-apart", |world| async move {
        both();
        let operator = Operator::of(&world);
        apart(&operator).await;
        for _ in 0..3 {
            let before = operator.placed().await;
            let deployments: Api<Deployment> =
                Api::namespaced(world.client.clone(), "graceful-system");
            let patch = Patch::Merge(json!({"spec": {"template": {"metadata": {
                "annotations": {"kubectl.kubernetes.io/restartedAt": jiff::Timestamp::now().to_string()},
            }}}}));
            deployments
                .patch("graceful-operator", &PatchParams::default(), &patch)
                .await
                .expect("restarted");
            world
                .until("each operator is another one", SOON, async || {
                    let now = operator.placed().await;
                    let is_new = now.keys().all(|pod| !before.contains_key(pod));
                    let is_whole = i32::try_from(now.len()) == Ok(OPERATORS);
                    if is_new && is_whole {
                        Ok(())
                    } else {
                        Err(format!("{now:?}, before {before:?}"))
                    }
                })
                .await;
            apart(&operator).await;
        }
    });
}

/// Makes the operator on this node the one that leads.
async fn lead_from(node: &Node, operator: &Operator) {
    apart(operator).await;
    let leader = operator.leading_pod().await;
    if operator.placed().await[&leader] != node.name {
        operator.take_over_after_deletion().await;
        apart(operator).await;
    }
}

/// The cluster's two nodes.
fn both() -> Vec<Node> {
    let nodes = Node::all();
    assert_eq!(
        nodes.len(),
        2,
        "run `cargo xtask test nodes`, which makes two: {nodes:?}"
    );
    nodes
}

/// Waits until every operator runs and one leads, and fails where two are on one node.
async fn apart(operator: &Operator) {
    operator.scale(OPERATORS).await;
    operator.leader().await;
    let placed = operator.placed().await;
    let nodes: BTreeSet<_> = placed.values().collect();
    assert_eq!(
        nodes.len(),
        placed.len(),
        "operators on one node: {placed:?}"
    );
    assert_eq!(i32::try_from(placed.len()), Ok(OPERATORS), "{placed:?}");
}

/// Waits until the app serves; its pods and their nodes.
async fn begin(world: &World, app: &App, nodes: &[Node]) -> BTreeMap<String, String> {
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.complete("app", SOON).await;
    spread(world, nodes).await
}

/// The app's pods and their nodes; there is one on each at least.
async fn spread(world: &World, nodes: &[Node]) -> BTreeMap<String, String> {
    let pods = world.pods("app").await;
    let placed: BTreeMap<_, _> = names(&pods)
        .into_iter()
        .zip(pods.iter().map(node_of))
        .collect();
    for node in nodes {
        assert!(
            placed.values().any(|its| *its == node.name),
            "no pod on {}: {placed:?}",
            node.name
        );
    }
    placed
}

fn node_of(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let node = spec.and_then(|spec| spec.node_name.clone());
    node.unwrap_or_default()
}
