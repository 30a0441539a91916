//! The values of the operator's chart: a wrong one is refused by its name, and each one has an effect.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{CHART, CRDS_CHART, HELMS, render};

/// Wrong values, and what the refusal names.
const WRONG: &[(&str, &str)] = &[
    ("image.repo=x", "'repo' not allowed"),
    ("image.digest=latest", "/image/digest"),
    ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
    ("agent.image.tagg=x", "'tagg' not allowed"),
    ("replicas=-1", "/replicas"),
    ("replicaCount=1", "'replicaCount' not allowed"),
    ("crds.install=true", "'install' not allowed"),
    ("crds.keep=yes", "/crds/keep"),
    ("watchNamespaces=shop", "/watchNamespaces"),
    ("watchNamespaces={Shop}", "/watchNamespaces/0"),
    ("concurrency=0", "/concurrency"),
    ("logFormat=xml", "/logFormat"),
    ("serviceAccount.annotation.a=b", "'annotation' not allowed"),
    (
        "admissionPolicy.actions={Refuse}",
        "/admissionPolicy/actions/0",
    ),
    (
        "podDisruptionBudget.minAvailable=1",
        "'minAvailable' not allowed",
    ),
    (
        "podDisruptionBudget.maxUnavailable=0",
        "/podDisruptionBudget/maxUnavailable",
    ),
    ("resources.request.cpu=1", "'request' not allowed"),
    ("tolerations[0].opertor=Exists", "'opertor' not allowed"),
    ("topologySpreadConstraints[0].skew=1", "'skew' not allowed"),
    (
        "networkPolicy.egress.ports={0}",
        "/networkPolicy/egress/ports/0",
    ),
    (
        "metrics.serviceMonitor.interval=often",
        "/metrics/serviceMonitor/interval",
    ),
    (
        "metrics.podmonitor.enabled=true",
        "'podmonitor' not allowed",
    ),
    ("traces.endpoint=collector:4317", "/traces/endpoint"),
];

#[test]
fn wrong_value_is_refused_by_its_name() {
    for helm in HELMS {
        for (value, named) in WRONG {
            let error = render(helm, CHART, &["--set", value]).expect_err(value);
            assert!(error.contains(named), "{helm}: {value}: {error}");
        }
        let error = render(helm, CRDS_CHART, &["--set", "keep=true"]).expect_err("a wrong key");
        assert!(error.contains("'keep' not allowed"), "{helm}: {error}");
    }
}

#[test]
fn account_that_is_not_made_here_must_be_named() {
    for helm in HELMS {
        let error = render(helm, CHART, &["--set", "serviceAccount.create=false"]).unwrap_err();
        assert!(error.contains("serviceAccount.name is needed"), "{error}");
    }
}

/// Another value for each, that makes a difference beside `ci/everything-values.yaml`.
fn others() -> Vec<(&'static str, Value)> {
    vec![
        ("replicas", json!(0)),
        ("image.repository", json!("other")),
        ("image.tag", json!("other")),
        ("image.digest", json!("")),
        ("image.pullPolicy", json!("Never")),
        ("agent.image.repository", json!("other")),
        ("agent.image.tag", json!("other")),
        ("agent.image.digest", json!("")),
        ("agent.image.pullPolicy", json!("Never")),
        ("imagePullSecrets", json!([])),
        ("logFormat", json!("json")),
        ("logLevel", json!("error")),
        ("watchNamespaces", json!(["other"])),
        ("concurrency", json!(1)),
        ("extraArgs", json!(["--concurrency=9"])),
        ("commonLabels.team", json!("other")),
        ("crds.enabled", json!(false)),
        ("crds.keep", json!(true)),
        ("rbac.create", json!(false)),
        ("rbac.aggregate", json!(false)),
        ("serviceAccount.create", json!(false)),
        ("serviceAccount.name", json!("other")),
        (
            "serviceAccount.annotations",
            json!({"example.com/other": "a"}),
        ),
        ("admissionPolicy.enabled", json!(false)),
        ("admissionPolicy.actions", json!(["Deny"])),
        ("guard.enabled", json!(false)),
        ("check.enabled", json!(false)),
        ("podDisruptionBudget.enabled", json!(false)),
        ("podDisruptionBudget.maxUnavailable", json!(2)),
        ("resources", json!({"requests": {"cpu": "7m"}})),
        ("podLabels", json!({"example.com/other": "a"})),
        ("podAnnotations", json!({"example.com/other": "a"})),
        ("nodeSelector", json!({"example.com/other": "a"})),
        ("tolerations", json!([])),
        ("affinity", json!({"podAffinity": {}})),
        ("topologySpreadConstraints", json!([])),
        ("priorityClassName", json!("other")),
        ("networkPolicy.enabled", json!(false)),
        ("networkPolicy.from", json!([])),
        ("networkPolicy.egress.enabled", json!(false)),
        ("networkPolicy.egress.ports", json!([443])),
        ("metrics.serviceMonitor.enabled", json!(false)),
        ("metrics.serviceMonitor.interval", json!("1m")),
        ("metrics.serviceMonitor.labels", json!({"other": "a"})),
        ("metrics.podMonitor.enabled", json!(false)),
        ("metrics.podMonitor.interval", json!("1m")),
        ("metrics.podMonitor.labels", json!({"other": "a"})),
        ("metrics.agentMonitor.enabled", json!(false)),
        ("metrics.agentMonitor.interval", json!("1m")),
        ("metrics.agentMonitor.labels", json!({"other": "a"})),
        ("metrics.prometheusRule.enabled", json!(false)),
        ("metrics.prometheusRule.labels", json!({"other": "a"})),
        ("metrics.prometheusRule.runbooks", json!("https://other")),
        ("metrics.dashboards.enabled", json!(false)),
        ("metrics.dashboards.labels", json!({"other": "a"})),
        ("metrics.dashboards.annotations", json!({"other": "a"})),
        ("traces.endpoint", json!("http://other")),
        ("extraObjects", json!([])),
    ]
}

/// Paths of all values, as the schema has them: an object with named fields is its fields.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let fields = schema["properties"].as_object();
    let is_group = fields.is_some() && path != "resources" && path != "affinity";
    if !is_group {
        found.insert(path.to_owned());
        return;
    }
    for (name, field) in fields.into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        leaves(field, &path, found);
    }
}

#[test]
fn every_value_has_an_effect() {
    let schema = std::fs::read(format!("{CHART}/values.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_slice(&schema).expect("JSON");
    let mut all = BTreeSet::new();
    leaves(&schema, "", &mut all);
    all.remove("global");
    let others = others();
    let tried = others.iter().map(|(path, _)| *path);
    let tried: BTreeSet<_> = tried
        .map(|path| path.strip_suffix(".team").unwrap_or(path).to_owned())
        .collect();
    assert_eq!(all, tried, "a value that is not tried, or is no value");

    let everything = format!("{CHART}/ci/everything-values.yaml");
    let with = |set: &[&str]| {
        let mut arguments = vec!["--values", everything.as_str()];
        arguments.extend(set);
        render("helm", CHART, &arguments).unwrap_or_else(|error| panic!("{set:?}: {error}"))
    };
    let before = with(&[]);
    for (path, other) in others {
        let set = format!("{path}={other}");
        assert!(
            with(&["--set-json", &set]) != before,
            "{set} changes nothing"
        );
    }
}
