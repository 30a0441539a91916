//! The charts agree with the rest of the repository, and each value with what is said of it. What helm makes
//! of them is a cluster test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

const CHARTS: [&str; 2] = [
    "charts/graceful-deployment",
    "charts/graceful-deployment-crds",
];

/// Values that are Kubernetes' own objects or free lists: their schema says what may stand in them.
const WHOLE: &[&str] = &[
    "affinity",
    "commonLabels",
    "metrics.dashboards.labels",
    "nodeSelector",
    "resources",
    "topologySpreadConstraints",
];

/// Objects in the schema that take any key, and why.
const OPEN: &[(&str, &str)] = &[
    (
        "global",
        "set by parent charts for all of their subcharts alike",
    ),
    (
        "affinity.nodeAffinity",
        "Kubernetes' own; the API server refuses a wrong key",
    ),
    ("affinity.podAffinity", "as above"),
    ("affinity.podAntiAffinity", "as above"),
    ("networkPolicy.from[].podSelector", "as above"),
    ("networkPolicy.from[].namespaceSelector", "as above"),
    ("topologySpreadConstraints[].labelSelector", "as above"),
    ("extraObjects[]", "objects of any kind"),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(chart: &str) -> Value {
    serde_json::from_str(&read(&format!("{chart}/values.schema.json"))).expect("JSON")
}

#[test]
fn charts_have_the_version_of_the_package() {
    for chart in CHARTS {
        let chart: Value =
            serde_yaml_ng::from_str(&read(&format!("{chart}/Chart.yaml"))).expect("YAML");
        assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn charts_carry_the_generated_crd_and_one_template_for_it() {
    const CRD: &str = "gracefuldeployments.graceful.dev.yaml";
    let generated = read(&format!("crds/{CRD}"));
    let template = read(&format!("{}/templates/crds.yaml", CHARTS[0]));
    for chart in CHARTS {
        assert!(
            generated == read(&format!("{chart}/files/{CRD}")),
            "run cargo xtask generate"
        );
        assert!(
            template == read(&format!("{chart}/templates/crds.yaml")),
            "{chart}"
        );
    }
}

/// The annotation that Artifact Hub shows is an example that works.
#[test]
fn example_of_the_chart_is_a_valid_object() {
    let chart: Value =
        serde_yaml_ng::from_str(&read(&format!("{}/Chart.yaml", CHARTS[0]))).expect("YAML");
    let text = &chart["annotations"]["artifacthub.io/crdsExamples"];
    let examples: Vec<graceful::api::v1alpha1::GracefulDeployment> =
        serde_yaml_ng::from_str(text.as_str().expect("text")).expect("YAML");
    assert_eq!(examples.len(), 1);
    for example in examples {
        let problems = graceful::api::v1alpha1::validate(&example.spec);
        assert!(problems.is_ok(), "{problems:?}");
    }
}

/// What values.yaml says of each value: the comment above it, by its path.
fn comments(chart: &str) -> BTreeMap<String, String> {
    let (mut said, mut path, mut comment) = (BTreeMap::new(), Vec::new(), Vec::new());
    for line in read(&format!("{chart}/values.yaml")).lines() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 2;
        if let Some(words) = text.strip_prefix("# ") {
            comment.push(words.to_owned());
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        let Some((key, _)) = text.split_once(':').filter(|_| !text.starts_with('-')) else {
            continue;
        };
        path.truncate(depth);
        path.push(key.to_owned());
        let mut outer = (1..path.len()).filter_map(|depth| path.get(..depth));
        if !outer.any(|outer| WHOLE.contains(&outer.join(".").as_str())) {
            said.insert(path.join("."), comment);
        }
    }
    said
}

/// What the schema says of each value.
fn descriptions(schema: &Value, path: &str, said: &mut BTreeMap<String, String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let text = field["description"].as_str().unwrap_or_default();
        said.insert(path.clone(), text.to_owned());
        if !WHOLE.contains(&path.as_str()) {
            descriptions(field, &path, said);
        }
    }
}

/// Editors show the schema's words, people read the file's.
#[test]
fn every_value_is_described_once_and_alike() {
    for chart in CHARTS {
        let mut described = BTreeMap::new();
        descriptions(&schema(chart), "", &mut described);
        described.remove("global");
        let commented = comments(chart);
        for (path, words) in &commented {
            assert!(!words.is_empty(), "{chart}: {path} has no comment");
        }
        assert_eq!(commented, described, "{chart}");
    }
}

/// Calls back for every schema of an object, with its path.
fn objects(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    let kind = &schema["type"];
    let is_object = kind == "object"
        || kind
            .as_array()
            .is_some_and(|kinds| kinds.contains(&"object".into()));
    if is_object {
        visit(path, schema);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        objects(field, &path, visit);
    }
    if let Some(items) = schema.get("items") {
        objects(items, &format!("{path}[]"), visit);
    }
}

#[test]
fn wrong_key_is_refused_everywhere() {
    let mut open = Vec::new();
    for chart in CHARTS {
        objects(&schema(chart), "", &mut |path, schema| {
            match &schema["additionalProperties"] {
                Value::Bool(false) => assert!(schema["properties"].is_object(), "{path}"),
                // A map of labels or the like.
                Value::Object(values) => assert!(values.contains_key("type"), "{path}"),
                _ => open.push(path.to_owned()),
            }
        });
    }
    open.sort();
    open.dedup();
    let mut known: Vec<_> = OPEN.iter().map(|(path, _)| (*path).to_owned()).collect();
    known.sort();
    assert_eq!(open, known);
}
