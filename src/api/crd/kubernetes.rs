//! Kubernetes' own part of the schema, from `kubernetes.json`, which `cargo xtask generate` takes from
//! the OpenAPI file of a Kubernetes release. Structure and list keys only: no default but what list
//! keys need, because a default that a newer CRD adds would change the hash of every template.

use serde_json::{Map, Value, json};

const DEFINITIONS: &str = include_str!("kubernetes.json");

/// The schema of a Kubernetes type, whole, with or without descriptions.
#[expect(
    clippy::expect_used,
    reason = "a generated constant: it fails in every run of the tests or in none"
)]
pub(super) fn schema(name: &str, described: bool) -> Value {
    let definitions = serde_json::from_str(DEFINITIONS).expect("kubernetes.json is JSON");
    resolve(&definitions, &json!({ "$ref": name }), described)
}

/// Puts definitions in the place of their references: a CRD's schema has none.
fn resolve(definitions: &Map<String, Value>, schema: &Value, described: bool) -> Value {
    let mut whole = Map::new();
    let target = schema.get("$ref").and_then(Value::as_str);
    if let Some(definition) = target.and_then(|name| definitions.get(name))
        && let Value::Object(fields) = resolve(definitions, definition, described)
    {
        whole = fields;
    }
    for (key, value) in schema.as_object().into_iter().flatten() {
        let value = match key.as_str() {
            "$ref" => continue,
            "description" if !described => continue,
            "properties" => properties(definitions, value, described),
            "items" | "additionalProperties" => resolve(definitions, value, described),
            _ => value.clone(),
        };
        whole.insert(key.clone(), value);
    }
    default_list_keys(&mut whole);
    Value::Object(whole)
}

fn properties(definitions: &Map<String, Value>, properties: &Value, described: bool) -> Value {
    properties
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), resolve(definitions, schema, described)))
        .collect()
}

/// A list's keys must be required, or have a default, which is Kubernetes' own.
fn default_list_keys(list: &mut Map<String, Value>) {
    let Some(Value::Array(keys)) = list.get("x-kubernetes-list-map-keys").cloned() else {
        return;
    };
    let Some(Value::Object(item)) = list.get_mut("items") else {
        return;
    };
    let required = item.get("required").cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = item.get_mut("properties") else {
        return;
    };
    for key in keys.iter().filter_map(Value::as_str) {
        let is_required = required
            .as_array()
            .is_some_and(|required| required.iter().any(|name| name == key));
        let default = if key == "protocol" { "TCP" } else { "" };
        if !is_required && let Some(Value::Object(field)) = properties.get_mut(key) {
            field.insert("default".into(), json!(default));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(schema: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(default) = schema.get("default") {
            found.push(format!("{path}={default}"));
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            defaults(field, &format!("{path}.{name}"), found);
        }
        if let Some(items) = schema.get("items") {
            defaults(items, &format!("{path}[]"), found);
        }
    }

    #[test]
    fn template_has_no_default_that_a_list_key_does_not_need() {
        let mut found = Vec::new();
        defaults(&schema("PodTemplateSpec", false), "", &mut found);
        assert_eq!(
            found,
            [
                ".spec.containers[].ports[].protocol=\"TCP\"",
                ".spec.imagePullSecrets[].name=\"\"",
                ".spec.initContainers[].ports[].protocol=\"TCP\"",
            ]
        );
    }

    #[test]
    fn every_reference_is_resolved() {
        let text = schema("PodTemplateSpec", false).to_string();
        assert!(!text.contains("$ref"));
        assert!(text.contains("hostnameOverride"));
    }
}
