//! The node of the operator that leads is lost in the middle of a rollout: the other operator goes on with it on the
//! node that is left, and what the pods there serve is not lost. The last of these tests by its name, because the
//! node stays away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use graceful::api::v1alpha1::{DrainEnd, GracefulDeployment};

use super::{AFTER_A_KILL, app, begin, both, kubectl, lead_from, node_of};
use crate::cluster::{World, is_ready, names, test_alone};
use crate::figure::{count, show, slack};
use crate::load::{Clients, Load};
use crate::node::Node;
use crate::operators::Operator;
use crate::rollout::ROLLOUT;

/// R08, R09.
#[test]
fn leaders_node_lost_costs_the_other_nodes_pods_nothing() {
    test_alone("nodes-lost", |world| async move {
        let nodes = both();
        let (first, second) = (&nodes[0], &nodes[1]);
        let operator = Operator::of(&world);
        lead_from(second, &operator).await;
        Load::prepare_on(&world, first).await;
        let app = app().pod(
            "/tolerations",
            json!(["unreachable", "not-ready"].map(leave_soon)),
        );
        // From where the load is, this one reaches the living node's pods alone.
        let mut near = app.service();
        near["metadata"]["name"] = json!("near");
        near["spec"]["internalTrafficPolicy"] = json!("Local");
        world.create::<Service>(near).await;
        let before = begin(&world, &app, &nodes).await;
        let load = Load::start_from(first, &world, &[("near", Clients::MIXED)]).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        world.draining("app", 1).await;
        let leader = operator.leading_pod().await;
        assert_eq!(operator.placed().await[&leader], second.name);
        let began = Instant::now();
        let seconds = operator.take_over(async || second.lose()).await;
        let figure = "two nodes: another operator leads after the leader's node is lost";
        show(figure, seconds, Some(slack() * AFTER_A_KILL), "s");
        replaced_on(first, &world, &before).await;
        let whole = began.elapsed().as_secs_f64();
        let drains = world.graceful("app").await.status.unwrap().drains;
        let mut on_it = drains
            .iter()
            .filter(|drain| before.get(&drain.pod) == Some(&second.name));
        assert!(
            on_it.all(|drain| drain.outcome == Some(DrainEnd::NodeLost)),
            "{drains:?}"
        );
        // As docs/troubleshooting.md says.
        let off = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
        kubectl(&format!("taint node {} {off}", second.name)).await;
        world.complete("app", ROLLOUT).await;
        let found = load.finish().await;
        assert!(
            !found.is_disturbed(),
            "pods that never changed lost requests"
        );
        let arm = found.arm("near");
        arm.assert_nothing_lost();
        show(
            "two nodes: requests to the living node while the leader's is lost, none lost",
            count(arm.requests),
            None,
            "requests",
        );
        show(
            "two nodes: all new pods ready on the living node after the leader's is lost",
            whole,
            None,
            "s",
        );
        assert!(
            seconds <= slack() * AFTER_A_KILL,
            "{figure}: {seconds:.2} s"
        );
    });
}

/// Another pod is made at once for one on a lost node, in place of after five minutes.
fn leave_soon(taint: &str) -> Value {
    json!({
        "key": format!("node.kubernetes.io/{taint}"),
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 5,
    })
}

/// Waits until all of the app's pods on this node are new ones. Its old ReplicaSet may have made one more in between, for
/// one that was lost.
async fn replaced_on(node: &Node, world: &World, before: &BTreeMap<String, String>) {
    let what = format!("the rollout is done on {}", node.name);
    world
        .until(&what, ROLLOUT, async || {
            let mut pods = world.pods("app").await;
            pods.retain(|pod| node_of(pod) == node.name);
            let of_before: BTreeSet<_> = before.keys().map(|pod| revision(pod)).collect();
            let mut old = names(&pods);
            old.retain(|pod| of_before.contains(revision(pod)));
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            if ready == 4 && old.is_empty() {
                Ok(())
            } else {
                Err(format!("{ready} ready, old ones left: {old:?}"))
            }
        })
        .await;
}

/// The name of a pod's ReplicaSet.
fn revision(pod: &str) -> &str {
    pod.rsplit_once('-').map_or(pod, |(set, _)| set)
}
