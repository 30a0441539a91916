//! Prometheus as a process of the test's own, in the cluster's network: it scrapes operator and agents, and
//! judges the chart's own alerts. Debian builds it without a view of Kubernetes, so the test tells it by a file
//! what there is, as its own discovery would.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use graceful::api::AGENT;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::CHART;
use crate::cluster::{World, answer};

const ADDRESS: &str = "127.0.0.1:19090";

/// One that runs until it is dropped.
pub(crate) struct Prometheus {
    process: Child,
    discovery: JoinHandle<()>,
    folder: TempDir,
    began: Timestamp,
}

impl Prometheus {
    /// Scrapes the operator, and the agents of one namespace, each second.
    pub(crate) async fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.json");
        // JSON is YAML.
        std::fs::write(&config, configuration(folder.path()).to_string()).expect("written");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={ADDRESS}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("start prometheus");
        let (client, namespace) = (world.client.clone(), world.namespace.clone());
        let discovery = discover(client, namespace, folder.path().to_owned());
        let prometheus = Self {
            process,
            discovery: tokio::spawn(discovery),
            folder,
            began: Timestamp::now(),
        };
        prometheus.wait_for_targets().await;
        prometheus
    }

    /// The operator has been scraped.
    async fn wait_for_targets(&self) {
        for _ in 0..600 {
            let answer = ask("/api/v1/query?query=graceful_operator_leader").await;
            if !list(&answer["data"]["result"]).is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("Prometheus does not find the operator:\n{log}");
    }

    /// Whether an expression has had a value since the test began.
    pub(super) async fn has_data(&self, expression: &str) -> bool {
        let (start, end) = (self.began.as_second(), Timestamp::now().as_second());
        let series = range(expression, start..=end, 1).await;
        let mut values = series.iter().flat_map(|series| list(&series["values"]));
        values.any(|value| value[1] != "NaN")
    }

    /// Alerts that fire about objects of a namespace, with the object's name, and those about the operator.
    pub(crate) async fn alerts(&self, namespace: &str) -> BTreeSet<(String, String)> {
        let answer = ask("/api/v1/alerts").await;
        let all = list(&answer["data"]["alerts"]);
        let ours = all.iter().filter(|alert| {
            let its = &alert["labels"]["namespace"];
            alert["state"] == "firing" && (its.is_null() || its == namespace)
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ours.map(|alert| {
            (
                text(&alert["labels"]["alertname"]),
                text(&alert["labels"]["name"]),
            )
        })
        .collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.discovery.abort();
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The series of an expression, each with its values at these seconds.
pub(super) async fn range(expression: &str, over: RangeInclusive<i64>, step: i64) -> Vec<Value> {
    let (query, start, end) = (encoded(expression), over.start(), over.end());
    let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}");
    let answer = ask(&path).await;
    assert_eq!(answer["status"], "success", "{expression}: {answer}");
    list(&answer["data"]["result"]).to_vec()
}

fn configuration(folder: &Path) -> Value {
    let job = |name: &str| {
        let file = folder.join(format!("{name}.json"));
        json!({
            "job_name": name,
            // As the chart's monitors have it.
            "honor_labels": true,
            "file_sd_configs": [{"files": [file], "refresh_interval": "1s"}],
        })
    };
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [Path::new(CHART).join("files/alerts.yaml")],
        "scrape_configs": [job("operator"), job("agents")],
    })
}

/// Says again and again which pods there are.
async fn discover(client: Client, namespace: String, folder: PathBuf) {
    loop {
        for (job, namespace, port) in [
            ("operator", "graceful-system", "http"),
            ("agents", &namespace, AGENT),
        ] {
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            if let Ok(pods) = pods.list(&ListParams::default()).await {
                let targets: Vec<_> = pods.iter().filter_map(|pod| target(pod, port)).collect();
                let fresh = folder.join("fresh");
                std::fs::write(&fresh, json!(targets).to_string()).expect("written");
                std::fs::rename(&fresh, folder.join(format!("{job}.json"))).expect("renamed");
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The port of that name of a pod, as file_sd_configs has it.
fn target(pod: &Pod, name: &str) -> Option<Value> {
    let spec = pod.spec.as_ref()?;
    let address = pod.status.as_ref()?.pod_ip.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let mut ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(name))?;
    Some(json!({
        "targets": [format!("{address}:{}", port.container_port)],
        "labels": {"namespace": pod.metadata.namespace, "pod": pod.metadata.name},
    }))
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Any text as a part of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let _ = write!(encoded, "%{byte:02X}");
    }
    encoded
}

/// One request; nothing where Prometheus does not answer yet.
async fn ask(path: &str) -> Value {
    let Ok(answer) = answer(ADDRESS, path).await else {
        return Value::Null;
    };
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or(Value::Null)
}
