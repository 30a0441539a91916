//! What is generated is as it would be generated now, and says what it must.

use std::collections::BTreeSet;

use graceful::api::{
    crd,
    v1alpha1::{GracefulDeployment, GracefulDeploymentSpec, validate},
};
use serde_json::{Value, json};

#[path = "../fixtures/specs.rs"]
mod specs;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crds/gracefuldeployments.graceful.dev.yaml"
);

/// What `kubectl apply` can keep in its annotation, less what else stands there.
const PLAIN_APPLY: usize = 240_000;

/// The one rule that needs the object as it was.
const SELECTOR_IMMUTABLE: &str = "selector cannot be changed: create a GracefulDeployment of another \
     name with the new selector, then delete this one";

fn schema() -> Value {
    crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn spec(value: &Value) -> GracefulDeploymentSpec {
    let object = json!({"metadata": {}, "spec": value});
    serde_json::from_value::<GracefulDeployment>(object)
        .unwrap()
        .spec
}

/// Visits a schema and every schema below it, with its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        walk(field, &format!("{path}.{name}"), visit);
    }
    for (key, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key) {
            walk(inner, &format!("{path}{sign}"), visit);
        }
    }
}

#[test]
fn crd_file_is_what_the_types_say() {
    let file = std::fs::read_to_string(FILE).unwrap();
    assert!(file == crd::yaml(), "stale: run cargo xtask generate");
    assert!(file.len() < PLAIN_APPLY, "{} bytes", file.len());
}

#[test]
fn every_field_outside_of_the_template_is_described() {
    let mut silent = Vec::new();
    walk(&schema(), "", &mut |path, field| {
        let is_inner = path.starts_with(".spec.template.") || path.ends_with(['[', ']', '}']);
        let prose = field["description"].as_str().unwrap_or_default();
        if !is_inner && prose.is_empty() {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, [""; 0]);
}

#[test]
fn no_field_inside_the_template_is_described() {
    walk(&schema(), "", &mut |path, field| {
        let is_inner = path.starts_with(".spec.template.");
        assert!(!is_inner || field.get("description").is_none(), "{path}");
    });
}

#[test]
fn schema_is_closed() {
    let mut open = BTreeSet::new();
    walk(&schema(), "", &mut |path, field| {
        if field.get("x-kubernetes-preserve-unknown-fields").is_some() {
            let is_quantity = field.get("pattern").is_some();
            open.insert(if is_quantity { "quantity" } else { path }.to_owned());
        }
    });
    let expected = [".spec.template.spec.ephemeralContainers[]", "quantity"];
    assert_eq!(open, expected.map(str::to_owned).into());
}

/// R34.
#[test]
fn every_rule_has_a_spec_that_breaks_it() {
    let mut rules = BTreeSet::new();
    walk(&schema(), "", &mut |_, field| {
        for rule in field["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            rules.insert(rule["message"].as_str().unwrap().to_owned());
        }
    });
    rules.remove(SELECTOR_IMMUTABLE);
    let broken = specs::all_broken()
        .iter()
        .map(|it| it.says.to_owned())
        .collect();
    assert_eq!(rules, broken);
}

/// B37, R34.
#[test]
fn stored_nonsense_is_told_in_the_same_words() {
    for broken in specs::all_broken() {
        let spec = spec(&specs::good_but(&broken.patch));
        let invalid = validate(&spec).expect_err(broken.says);
        let is_told = invalid
            .problems
            .iter()
            .any(|it| it.says == broken.says && broken.field.starts_with(&it.field));
        assert!(is_told, "{}: {}\ngot {invalid}", broken.field, broken.says);
    }
}

#[test]
fn specs_that_break_no_rule_are_valid() {
    for patch in specs::fine() {
        validate(&spec(&specs::good_but(&patch))).unwrap_or_else(|it| panic!("{patch}: {it}"));
    }
}

#[test]
fn defaults_of_schema_and_types_are_the_same() {
    let rust = serde_json::to_value(spec(&specs::good())).unwrap();
    let schema = schema();
    walk(&schema["properties"]["spec"], "", &mut |path, field| {
        let pointer = path.replace('.', "/");
        if let Some(default) = field.get("default")
            && let Some(value) = rust.pointer(&pointer)
            && path != ".replicas"
        {
            assert_eq!(value, default, "{path}");
        }
    });
}
