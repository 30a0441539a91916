//! The API server's own log of who asked for what: what the operator costs and what it uses, in no
//! words of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// The log. One that is made by `cargo xtask cluster` lies beside the kubeconfig; a cluster of somebody
/// else's making keeps none that a test could read.
pub(crate) struct Audit(PathBuf);

/// One request that was answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) verb: String,
    #[serde(default)]
    pub(crate) user_agent: String,
    pub(crate) user: User,
    pub(crate) object_ref: Option<Object>,
    /// What was sent, where the policy of the log keeps it.
    #[serde(rename = "requestObject", default)]
    pub(crate) body: Value,
    #[serde(default)]
    pub(crate) response_status: Answer,
    pub(crate) stage: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) username: String,
}

/// What a request was about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Object {
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) api_group: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) code: u16,
}

/// How far the log had come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Audit {
    /// The log of the cluster that the tests run in.
    pub(crate) fn of_cluster() -> Self {
        let kubeconfig = std::env::var_os("KUBECONFIG").expect("a cluster");
        let log = Path::new(&kubeconfig).with_file_name("audit.log");
        assert!(
            log.exists(),
            "{} is missing: only a cluster of `cargo xtask cluster` counts requests",
            log.display()
        );
        Self(log)
    }

    /// Now. A request is written down before its answer is sent.
    pub(crate) fn mark(&self) -> Mark {
        Mark(std::fs::metadata(&self.0).expect("the audit log").len())
    }

    /// Every request since then that was answered; `None` for all that there are.
    pub(crate) fn since(&self, mark: Option<Mark>) -> Vec<Request> {
        let mut file = File::open(&self.0).expect("the audit log");
        if let Some(Mark(begin)) = mark {
            file.seek(SeekFrom::Start(begin)).expect("its end");
        }
        BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            // The last line may be in the making.
            .filter_map(|line| serde_json::from_str(&line).ok())
            .filter(|request: &Request| request.stage == "ResponseComplete")
            .collect()
    }
}

impl Request {
    /// What it was about; empty for a path that is no resource.
    pub(crate) fn object(&self) -> Object {
        self.object_ref.clone().unwrap_or_default()
    }

    /// The resource as a role names it.
    pub(crate) fn resource(&self) -> String {
        let object = self.object();
        if object.subresource.is_empty() {
            object.resource
        } else {
            format!("{}/{}", object.resource, object.subresource)
        }
    }

    /// It changes something, whether it was let or not.
    pub(crate) fn is_write(&self) -> bool {
        ["create", "update", "patch", "delete", "deletecollection"].contains(&self.verb.as_str())
    }

    /// It was made by the operator.
    pub(crate) fn is_operators(&self) -> bool {
        self.user_agent.starts_with("graceful-operator")
    }

    /// It was made by the controller of Deployments.
    pub(crate) fn is_deployments(&self) -> bool {
        self.user_agent.starts_with("kube-controller-manager/")
            && self.user_agent.contains("deployment-controller")
    }
}

/// How many there are of each, as `patch pods: 4`.
pub(crate) fn summary(requests: &[Request]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in requests {
        let what = format!("{} {}", request.verb, request.resource());
        *counts.entry(what).or_default() += 1;
    }
    let lines = counts
        .iter()
        .map(|(what, count)| format!("{what}: {count}"));
    lines.collect::<Vec<_>>().join(", ")
}
