//! What helm makes of the charts, and what a real API server says to it. Uses the helm of both lines and the
//! kubectl that a cluster brings along.

mod alerts;
mod answers;
mod hooks;
mod lifecycle;
mod marks;
mod objects;
mod render;
mod rights;
mod values;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/graceful-deployment");
const CRDS_CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/charts/graceful-deployment-crds"
);

/// Every line of helm that people install charts with.
const HELMS: [&str; 2] = ["helm", "helm3"];

/// What a helm that renders without a cluster is told about it.
const KUBERNETES: [&str; 2] = ["--kube-version", "1.36.3"];

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("start {program}: {error}"))
}

/// The objects of a chart as one helm renders them, with further arguments.
fn render(helm: &str, chart: &str, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let mut all = vec!["template", "graceful-deployment", chart];
    all.extend(["--namespace", "graceful-system"]);
    all.extend(KUBERNETES);
    all.extend(arguments);
    let output = run(helm, &all);
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    Ok(serde_yaml_ng::Deserializer::from_slice(&output.stdout)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .filter(|object: &Value| !object.is_null())
        .collect())
}

/// The objects of the operator's chart with some values set.
fn template(set: &[&str]) -> Vec<Value> {
    let set: Vec<_> = set.iter().flat_map(|value| ["--set", *value]).collect();
    render("helm", CHART, &set).unwrap_or_else(|error| panic!("{error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind)
}

/// Feeds objects to kubectl.
fn kubectl(arguments: &[&str], objects: &[Value]) -> Output {
    let mut kubectl = Command::new("kubectl")
        .args(arguments)
        .args(["--filename", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start kubectl");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let mut input = kubectl.stdin.take().expect("piped");
    input
        .write_all(list.to_string().as_bytes())
        .expect("write to kubectl");
    drop(input);
    kubectl.wait_with_output().expect("wait for kubectl")
}

fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    })
}
