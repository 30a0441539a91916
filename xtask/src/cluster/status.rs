//! Whether a cluster is ready: its API server says so, every node is Ready, and pods can be created,
//! which they cannot before their namespace has its service account.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::Cluster;
use super::local::Local;
use crate::process;

/// What `cluster status --json` prints.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a finding of its own"
)]
pub(crate) struct Status {
    pub(crate) name: String,
    /// Whether it was started and not ended since.
    pub(crate) up: bool,
    pub(crate) ready: bool,
    pub(crate) api_server_ready: bool,
    pub(crate) nodes: Vec<NodeStatus>,
    /// How many nodes there should be, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nodes_wanted: Option<usize>,
    pub(crate) default_service_account: bool,
    /// Components that ended by themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ended: Vec<Ended>,
    pub(crate) kubeconfig: String,
    /// Every request to the API server, one JSON event a line, without bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audit_log: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) ready: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    pub(crate) component: String,
    pub(crate) how: String,
}

impl Status {
    /// What is missing, in words.
    pub(crate) fn why(&self) -> String {
        if !self.up {
            return "not up".to_owned();
        }
        if let Some(ended) = self.ended.first() {
            return format!("{} ended with {}", ended.component, ended.how);
        }
        if !self.api_server_ready {
            return "kube-apiserver is not ready".to_owned();
        }
        if let Some(node) = self.nodes.iter().find(|node| !node.ready) {
            return format!("{} is not Ready", node.name);
        }
        match self.nodes_wanted {
            Some(wanted) if self.nodes.len() < wanted => {
                return format!("{} of {wanted} nodes have registered", self.nodes.len());
            }
            _ if self.nodes.is_empty() => return "no node has registered".to_owned(),
            _ => {}
        }
        if !self.default_service_account {
            return "the namespace default has no ServiceAccount yet".to_owned();
        }
        "ready".to_owned()
    }
}

pub(super) fn of(local: &Local) -> Result<Status> {
    of_cluster(&Cluster::Local(local.clone()))
}

pub(super) fn of_cluster(cluster: &Cluster) -> Result<Status> {
    let mut status = Status {
        name: cluster.name().to_owned(),
        kubeconfig: cluster.kubeconfig().display().to_string(),
        ..Status::default()
    };
    if let Cluster::Local(local) = cluster {
        if !local.is_up()? {
            return Ok(status);
        }
        status.up = true;
        status.audit_log = Some(local.audit_log().display().to_string());
        status.nodes_wanted = Some(local.nodes()?.len());
        status.ended = ended(local);
    } else {
        status.up = true;
    }
    status.api_server_ready = kubectl(cluster, &["get", "--raw", "/readyz"])?.is_some();
    if status.api_server_ready {
        status.nodes = kubectl(cluster, &["get", "nodes", "--output=json"])?
            .map(|text| nodes(&text))
            .transpose()?
            .unwrap_or_default();
        let account = ["get", "serviceaccount", "default", "--namespace=default"];
        status.default_service_account = kubectl(cluster, &account)?.is_some();
    }
    status.ready = status.why() == "ready";
    Ok(status)
}

/// What kubectl printed, or nothing where it failed: the cluster may be on its way.
fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<Option<Vec<u8>>> {
    let mut command = cluster.command("kubectl")?;
    command.args(["--request-timeout=5s"]).args(arguments);
    Ok(process::output(&mut command)
        .ok()
        .map(|output| output.stdout))
}

fn nodes(list: &[u8]) -> Result<Vec<NodeStatus>> {
    let list: Value = serde_json::from_slice(list).context("read the list of nodes")?;
    let items = list
        .pointer("/items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    Ok(items
        .iter()
        .map(|node| NodeStatus {
            name: text(node, "/metadata/name").to_owned(),
            ready: node
                .pointer("/status/conditions")
                .and_then(Value::as_array)
                .is_some_and(|conditions| {
                    conditions.iter().any(|condition| {
                        text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
                    })
                }),
        })
        .collect())
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn ended(local: &Local) -> Vec<Ended> {
    let Ok(entries) = fs::read_dir(local.folder.join("ended")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| Ended {
            component: entry.file_name().to_string_lossy().into_owned(),
            how: fs::read_to_string(entry.path()).unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn almost() -> Status {
        Status {
            up: true,
            api_server_ready: true,
            nodes: vec![NodeStatus {
                name: "node-1".into(),
                ready: true,
            }],
            nodes_wanted: Some(1),
            default_service_account: true,
            ..Status::default()
        }
    }

    #[test]
    fn each_missing_part_is_named() {
        assert_eq!(almost().why(), "ready");
        assert_eq!(Status::default().why(), "not up");
        let mut status = almost();
        status.nodes_wanted = Some(2);
        assert_eq!(status.why(), "1 of 2 nodes have registered");
        let mut status = almost();
        status.nodes[0].ready = false;
        assert_eq!(status.why(), "node-1 is not Ready");
        let mut status = almost();
        status.default_service_account = false;
        assert!(status.why().contains("ServiceAccount"));
        let mut status = almost();
        status.ended.push(Ended {
            component: "etcd".into(),
            how: "signal 9".into(),
        });
        assert_eq!(status.why(), "etcd ended with signal 9");
    }

    #[test]
    fn node_is_ready_by_its_condition() {
        let list = br#"{"items": [
            {"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"metadata": {"name": "b"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
            {"metadata": {"name": "c"}}
        ]}"#;
        let ready: Vec<bool> = nodes(list).unwrap().iter().map(|node| node.ready).collect();
        assert_eq!(ready, [true, false, false]);
    }
}
