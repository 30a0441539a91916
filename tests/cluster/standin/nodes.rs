//! The nodes of the stand-in: as the API server and the node controller want them to be.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{NODE_LABEL, node_group};

/// Enough to be doubled up on and to spread over.
const COUNT: usize = 3;

/// The node controller gives a node up after 40 s and more.
const HEARTBEAT: Duration = Duration::from_secs(5);

fn name(number: usize) -> String {
    format!("stand-in-{}-{number}", node_group())
}

pub(super) fn is_ours(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_some_and(|node| node.starts_with(&format!("stand-in-{}-", node_group())))
}

pub(super) async fn register(client: &Client) {
    let nodes: Api<Node> = Api::all(client.clone());
    for number in 0..COUNT {
        let node = serde_json::from_value(json!({"metadata": {
            "name": name(number),
            "labels": {NODE_LABEL: node_group(), "kubernetes.io/hostname": name(number)},
        }}))
        .unwrap();
        nodes
            .create(&PostParams::default(), &node)
            .await
            .expect("a node");
        let status = Patch::Merge(status());
        nodes
            .patch_status(&name(number), &PatchParams::default(), &status)
            .await
            .expect("its status");
    }
}

fn status() -> Value {
    let room = json!({"cpu": "1k", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "5k"});
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "StandIn", "message": "",
            "lastHeartbeatTime": seconds(), "lastTransitionTime": seconds(),
        })
    };
    json!({"status": {
        "capacity": room, "allocatable": room,
        "conditions": [
            condition("Ready", "True"), condition("MemoryPressure", "False"),
            condition("DiskPressure", "False"), condition("PIDPressure", "False"),
        ],
    }})
}

fn seconds() -> String {
    Timestamp::now().strftime("%FT%TZ").to_string()
}

/// Renews the nodes' leases for ever.
pub(super) async fn stay_alive(client: Client) {
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let params = PatchParams::apply("stand-in").force();
    loop {
        for number in 0..COUNT {
            let name = name(number);
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name},
                "spec": {
                    "holderIdentity": name, "leaseDurationSeconds": 40,
                    "renewTime": Timestamp::now().strftime("%FT%T%.6fZ").to_string(),
                },
            });
            // One that failed is made up for by the next: eight fit into the controller's patience.
            let _ = leases.patch(&name, &params, &Patch::Apply(lease)).await;
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Waits until the node controller has taken off the taint that every new node has.
pub(super) async fn wait_until_schedulable(client: &Client) {
    let nodes: Api<Node> = Api::all(client.clone());
    for number in 0..COUNT {
        loop {
            let node = nodes.get(&name(number)).await.expect("a node");
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            if taints.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
