//! What helm makes of the chart, and what a real API server says to it. Uses the helm and kubectl
//! that a cluster brings along.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/graceful-deployment");
const CRD: &str = "gracefuldeployments.graceful.dev";

fn helm(arguments: &[&str]) -> Output {
    Command::new("helm")
        .args(arguments)
        .output()
        .expect("start helm")
}

/// The objects of the chart with some values set.
fn template(set: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["template", "graceful-deployment", CHART];
    arguments.extend(["--namespace", "graceful-system"]);
    arguments.extend(set.iter().flat_map(|value| ["--set", value]));
    let output = helm(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_yaml_ng::Deserializer::from_slice(&output.stdout)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .filter(|object: &Value| !object.is_null())
        .collect()
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

#[test]
fn helm_has_no_complaint() {
    let output = helm(&["lint", "--strict", CHART]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn crd_is_the_generated_one_and_stays_on_uninstall() {
    let generated = std::fs::read(format!("{}/crds/{CRD}.yaml", env!("CARGO_MANIFEST_DIR")));
    let generated: Value =
        serde_yaml_ng::from_slice(&generated.expect("read the generated CRD")).expect("YAML");
    let mut kept = one(&template(&[]), "CustomResourceDefinition")
        .expect("a CRD")
        .clone();
    let annotations = kept["metadata"]
        .as_object_mut()
        .expect("an object")
        .remove("annotations");
    assert_eq!(
        annotations,
        Some(json!({"helm.sh/resource-policy": "keep"}))
    );
    assert!(kept == generated, "the chart changes the CRD");

    let unkept = template(&["crds.keep=false"]);
    assert!(one(&unkept, "CustomResourceDefinition") == Some(&generated));
    let without = template(&["crds.enabled=false"]);
    assert_eq!(one(&without, "CustomResourceDefinition"), None);
}

#[test]
fn misspelt_value_is_refused() {
    let output = helm(&["template", CHART, "--set", "image.repo=x"]);
    assert!(!output.status.success());
    let error = text(&output.stderr);
    assert!(
        error.contains("additional properties 'repo' not allowed"),
        "{error}"
    );
}

/// T17.
#[test]
fn digest_pins_the_image() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let objects = template(&[
        "image.repository=registry.example/op",
        &format!("image.digest={digest}"),
        &format!("agent.image.digest={digest}"),
        "agent.image.tag=v9",
    ]);
    let deployment = one(&objects, "Deployment").expect("a Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        container["image"],
        format!("registry.example/op:{version}@{digest}")
    );
    let arguments = container["args"].as_array().expect("arguments");
    assert!(
        arguments.contains(&json!(format!("graceful-agent:v9@{digest}"))),
        "{arguments:?}"
    );
}

/// T8, T9.
#[test]
fn role_grants_nothing_broad() {
    let objects = template(&[]);
    let role = one(&objects, "ClusterRole").expect("a ClusterRole");
    for rule in role["rules"].as_array().expect("rules") {
        for field in ["apiGroups", "resources", "verbs"] {
            for word in rule[field].as_array().expect("a list") {
                let word = word.as_str().expect("a string");
                assert!(!word.contains('*'), "{rule}");
                assert!(!["secrets", "nodes", "pods/exec"].contains(&word), "{rule}");
            }
        }
    }
}

#[test]
fn api_server_takes_every_object_as_it_is() {
    let mut objects = template(&[]);
    // The tests of the CRD put it in place, perhaps just now: it cannot be created again.
    objects.retain(|object| object["kind"] != "CustomResourceDefinition");
    // Nothing is stored, so the namespace would not be there for the others.
    for object in &mut objects {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata
                .entry("namespace")
                .and_modify(|namespace| *namespace = json!("default"));
        }
    }
    let output = kubectl(
        &["create", "--dry-run=server", "--validate=strict"],
        &objects,
    );
    let error = text(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(!error.contains("Warning"), "{error}");
}

/// T10.
#[test]
fn operator_runs_where_pods_are_restricted() {
    const NAMESPACE: &str = "chart-restricted";
    let applied = kubectl(&["apply", "--server-side"], &[namespace(NAMESPACE)]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));

    let objects = template(&[]);
    let mut spec =
        one(&objects, "Deployment").expect("a Deployment")["spec"]["template"]["spec"].clone();
    // The service account is not there, and its absence would be what is complained about.
    spec["serviceAccountName"] = json!("default");
    spec["automountServiceAccountToken"] = json!(false);
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": NAMESPACE},
        "spec": spec,
    });
    let create = ["create", "--dry-run=server"];
    let taken = kubectl(&create, std::slice::from_ref(&pod));
    assert!(taken.status.success(), "{}", text(&taken.stderr));

    // The rule is in force: the same pod as root is refused.
    pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
    let refused = kubectl(&create, &[pod]);
    assert!(
        text(&refused.stderr).contains("violates PodSecurity"),
        "{}",
        text(&refused.stderr)
    );
}
