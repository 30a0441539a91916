//! The configuration of kube-state-metrics keeps to the CRD: it asks for fields that there are, and no number of the
//! status is forgotten. What the real program makes of it is for the cluster tests.

use std::collections::BTreeSet;

use graceful::api::crd;
use serde_json::Value;

const CONFIGURATION: &str =
    include_str!("../../integrations/kube-state-metrics/configuration.yaml");

/// How often a name was taken: of interest to nobody but the operator.
const UNTOLD: [&str; 1] = ["status.collisionCount"];

/// Every metric: its name, and the path that it tells.
fn metrics() -> Vec<(String, Vec<String>)> {
    let configuration: Value = serde_yaml_ng::from_str(CONFIGURATION).expect("YAML");
    let metrics = configuration["spec"]["resources"][0]["metrics"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let metric = |metric: &Value| {
        let path = metric["each"]["gauge"]["path"].as_array().expect("a path");
        (text(&metric["name"]), path.iter().map(text).collect())
    };
    let metrics = metrics.as_array().expect("metrics").iter();
    metrics.map(metric).collect()
}

fn schema() -> Value {
    crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn every_path_is_one_of_the_crd() {
    let schema = schema();
    for (name, path) in metrics() {
        if path[0] == "metadata" {
            continue;
        }
        let mut field = &schema;
        for part in &path {
            field = &field["properties"][part];
        }
        assert!(field.is_object(), "{name}: {path:?}");
    }
}

#[test]
fn every_number_of_the_status_is_told() {
    let told: BTreeSet<String> = metrics()
        .into_iter()
        .map(|(_, path)| path.join("."))
        .collect();
    let schema = schema();
    let status = &schema["properties"]["status"]["properties"];
    let last = &status["lastRollout"]["properties"];
    for (place, fields) in [("status", status), ("status.lastRollout", last)] {
        for (name, field) in fields.as_object().expect("fields") {
            let path = format!("{place}.{name}");
            let is_number = field["type"] == "integer";
            assert!(
                !is_number || told.contains(&path) || UNTOLD.contains(&path.as_str()),
                "{path} is in no metric"
            );
        }
    }
}

#[test]
fn names_are_different() {
    let all = metrics();
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len());
}
