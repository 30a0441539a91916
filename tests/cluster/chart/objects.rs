//! The chart's objects: what they grant, and that a real API server takes each of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{CRDS_CHART, kubectl, namespace, one, render, run, template, text};

const CRD: &str = "gracefuldeployments.graceful.dev";

/// Every pod that the chart makes, by the kind and name of its controller.
fn pods(objects: &[Value]) -> Vec<(String, Value)> {
    let with_pod = objects.iter().filter_map(|object| {
        let template = object.pointer("/spec/template")?;
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        Some((name.replace('"', ""), template["spec"].clone()))
    });
    with_pod.collect()
}

#[test]
fn crd_is_the_generated_one_and_stays_on_uninstall() {
    let generated = std::fs::read(format!("{}/crds/{CRD}.yaml", env!("CARGO_MANIFEST_DIR")));
    let generated: Value =
        serde_yaml_ng::from_slice(&generated.expect("read the generated CRD")).expect("YAML");
    let of_crds_chart = |set: &[&str]| render("helm", CRDS_CHART, set).expect("rendered");
    for objects in [template(&[]), of_crds_chart(&[])] {
        let mut kept = one(&objects, "CustomResourceDefinition")
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
    }
    let unkept = ["--set", "crds.keep=false"];
    for objects in [template(&["crds.keep=false"]), of_crds_chart(&unkept)] {
        assert!(one(&objects, "CustomResourceDefinition") == Some(&generated));
    }
    let none = ["--set", "crds.enabled=false"];
    for objects in [template(&["crds.enabled=false"]), of_crds_chart(&none)] {
        assert_eq!(one(&objects, "CustomResourceDefinition"), None);
    }
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
    let version = env!("CARGO_PKG_VERSION");
    let pods = pods(&objects);
    assert_eq!(pods.len(), 3, "operator, guard and check: {pods:?}");
    for (name, pod) in &pods {
        let image = &pod["containers"][0]["image"];
        let pinned = format!("registry.example/op:{version}@{digest}");
        assert_eq!(*image, pinned, "{name}");
    }
    let deployment = one(&objects, "Deployment").expect("a Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    assert!(
        arguments.contains(&json!(format!("graceful-agent:v9@{digest}"))),
        "{arguments:?}"
    );
}

/// T8, T9.
#[test]
fn roles_grant_nothing_broad() {
    let objects = template(&[]);
    let is_role = |object: &&Value| {
        let kind = object["kind"].as_str().expect("a kind");
        kind == "ClusterRole" || kind == "Role"
    };
    let roles: Vec<_> = objects.iter().filter(is_role).collect();
    assert_eq!(roles.len(), 4, "operator, view, edit and check");
    for rule in roles.iter().filter_map(|role| role["rules"].as_array()) {
        for rule in rule {
            for field in ["apiGroups", "resources", "verbs"] {
                for word in rule[field].as_array().expect("a list") {
                    let word = word.as_str().expect("a string");
                    assert!(!word.contains('*'), "{rule}");
                    assert!(!["secrets", "nodes", "pods/exec"].contains(&word), "{rule}");
                }
            }
        }
    }
}

#[test]
fn api_server_takes_every_object_as_it_is() {
    let mut objects = template(&["networkPolicy.egress.enabled=true"]);
    // The tests of the CRD put it in place, perhaps just now: it cannot be created again.
    objects.retain(|object| object["kind"] != "CustomResourceDefinition");
    // Nothing is stored, so the namespace would not be there for the others.
    for object in &mut objects {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata
                .entry("namespace")
                .and_modify(|namespace| *namespace = json!("default"));
            // What another test may have put in place is in nobody's way by another name.
            metadata
                .entry("name")
                .and_modify(|name| *name = json!(format!("dry-{}", name.as_str().unwrap())));
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
fn pods_run_where_pods_are_restricted() {
    const NAMESPACE: &str = "chart-restricted";
    let applied = kubectl(&["apply", "--server-side"], &[namespace(NAMESPACE)]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    let create = ["create", "--dry-run=server"];
    for (name, mut spec) in pods(&template(&[])) {
        // The service account is not there, and its absence would be what is complained about.
        spec["serviceAccountName"] = json!("default");
        spec["automountServiceAccountToken"] = json!(false);
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "operator", "namespace": NAMESPACE},
            "spec": spec,
        });
        let taken = kubectl(&create, std::slice::from_ref(&pod));
        assert!(taken.status.success(), "{name}: {}", text(&taken.stderr));

        // The rule is in force: the same pod as root is refused.
        pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
        let refused = text(&kubectl(&create, &[pod]).stderr);
        assert!(
            refused.contains("violates PodSecurity"),
            "{name}: {refused}"
        );
    }
}

/// By the prometheus-operator's own definitions, which `cargo xtask test cluster` fetches.
#[test]
fn monitors_are_what_the_prometheus_operator_knows() {
    let folder = std::env::var("PROMETHEUS_OPERATOR").expect("run cargo xtask test cluster");
    let crds = ["servicemonitors", "podmonitors", "prometheusrules"];
    for crd in crds {
        let file =
            format!("{folder}/example/prometheus-operator-crd/monitoring.coreos.com_{crd}.yaml");
        let name = format!("crd/{crd}.monitoring.coreos.com");
        for arguments in [
            ["apply", "--server-side", "--filename", file.as_str()],
            [
                "wait",
                "--for=condition=Established",
                &name,
                "--timeout=60s",
            ],
        ] {
            let mut output = run("kubectl", &arguments);
            // A definition that was just made has no conditions yet, which is an error to kubectl.
            while text(&output.stderr).contains("accessor error") {
                output = run("kubectl", &arguments);
            }
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
    }
    let mut objects = template(&[
        "metrics.serviceMonitor.enabled=true",
        "metrics.podMonitor.enabled=true",
        "metrics.agentMonitor.enabled=true",
        "metrics.prometheusRule.enabled=true",
    ]);
    objects.retain(|object| object["apiVersion"] == "monitoring.coreos.com/v1");
    assert_eq!(objects.len(), 4);
    for object in &mut objects {
        object["metadata"]["namespace"] = json!("default");
    }
    let create = ["create", "--dry-run=server", "--validate=strict"];
    let end = Instant::now() + Duration::from_secs(60);
    let taken = loop {
        let taken = kubectl(&create, &objects);
        // What is established is not at once what the API server says it has.
        if !text(&taken.stderr).contains("no matches for kind") || Instant::now() > end {
            break taken;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    // A key that they do not know is refused, so the others are known.
    objects[0]["spec"]["endpoint"] = json!([]);
    let refused = text(&kubectl(&create, &objects[..1]).stderr);
    assert!(refused.contains("unknown field"), "{refused}");
}
