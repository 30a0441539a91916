//! What other tools need to be told of a GracefulDeployment, derived: Argo CD's ConfigMap from the scripts in its
//! own layout, and kustomize's schema from Kubernetes' OpenAPI file. It knows nothing of what the scripts say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// Where the pages are, from the root.
pub(crate) const ARGO_CD: &str = "integrations/argo-cd/argocd-cm.yaml";
pub(crate) const KUSTOMIZE: &str = "integrations/kustomize/openapi.json";

/// Kubernetes' OpenAPI file of version 2, which is what kustomize reads.
pub(crate) const SWAGGER: &str = "api/openapi-spec/swagger.json";

const SCRIPTS: &str = "integrations/argo-cd/graceful.dev/GracefulDeployment";

const ARGO_CD_HEAD: &str = "\
# Written by `cargo xtask generate` from the scripts beside it. Health and actions of a GracefulDeployment:
#   kubectl patch configmap argocd-cm --namespace argocd --patch-file integrations/argo-cd/argocd-cm.yaml
data:
";

/// How lists are merged, and which kind a definition is: all that kustomize looks for.
const MERGING: [&str; 5] = [
    "x-kubernetes-group-version-kind",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
];
const KIND: &str = MERGING[0];
const MERGE_KEY: &str = MERGING[3];

const TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The patch of argocd-cm.
pub(crate) fn argo_cd(root: &Path) -> Result<String> {
    let scripts = root.join(SCRIPTS);
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let mut names = Vec::new();
    let actions = scripts.join("actions");
    for entry in fs::read_dir(&actions).with_context(|| format!("read {}", actions.display()))? {
        let path = entry.context("read an action")?.path();
        if path.join("action.lua").is_file() {
            names.push(path);
        }
    }
    names.sort();
    let mut page = ARGO_CD_HEAD.to_owned();
    let key = |what: &str| {
        format!("  resource.customizations.{what}.graceful.dev_GracefulDeployment: |\n")
    };
    page.push_str(&key("health"));
    page.push_str(&indented(&read(&scripts.join("health.lua"))?, 4));
    page.push_str(&key("actions"));
    page.push_str("    discovery.lua: |\n");
    page.push_str(&indented(&read(&actions.join("discovery.lua"))?, 6));
    page.push_str("    definitions:\n");
    for path in names {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(page, "    - name: {name}\n      action.lua: |\n");
        page.push_str(&indented(&read(&path.join("action.lua"))?, 8));
    }
    Ok(page)
}

/// A text of lines, each that is not empty moved to the right.
fn indented(text: &str, by: usize) -> String {
    let mut moved = String::new();
    for line in text.lines() {
        let by = if line.is_empty() { 0 } else { by };
        let _ = writeln!(moved, "{:by$}{line}", "");
    }
    moved
}

/// The schema for kustomize: a schema of one's own takes the place of the one that it has built in, so every
/// kind that has lists to merge is in it, without all that kustomize does not look at.
pub(crate) fn kustomize(swagger: &Value) -> Result<String> {
    let all = swagger.get("definitions").and_then(Value::as_object);
    let all = all.context("the OpenAPI file has no definitions")?;
    let merged = with_merge_keys(all);
    let mut wanted: Vec<&str> = vec![TEMPLATE, METADATA];
    wanted.extend(merged.iter().copied().filter(|name| {
        let definition = all.get(*name);
        let is_kind = definition.is_some_and(|definition| definition.get(KIND).is_some());
        let is_object = definition.is_some_and(|it| it.pointer("/properties/metadata").is_some());
        is_kind && is_object && !name.ends_with("List")
    }));
    let mut kept = BTreeMap::from([("dev.graceful.v1alpha1.GracefulDeployment", ours())]);
    while let Some(name) = wanted.pop() {
        let Some(definition) = all.get(name).filter(|_| merged.contains(name)) else {
            continue;
        };
        if kept.insert(name, pruned(definition, &merged)).is_none() {
            wanted.extend(properties(definition).flat_map(|(_, property)| references(property)));
        }
    }
    let mut page = String::from("{\"definitions\": {\n");
    for (at, (name, definition)) in kept.iter().enumerate() {
        let comma = if at + 1 < kept.len() { "," } else { "" };
        let _ = writeln!(page, "{}: {definition}{comma}", json!(name));
    }
    page.push_str("}}\n");
    Ok(page)
}

fn ours() -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
    json!({
        KIND: [{"group": "graceful.dev", "version": "v1alpha1", "kind": "GracefulDeployment"}],
        "properties": {
            "metadata": reference(METADATA),
            "spec": {"type": "object", "properties": {"template": reference(TEMPLATE)}},
        },
    })
}

/// The definitions in which, or below which, a list has a key to merge by.
fn with_merge_keys(all: &Map<String, Value>) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (name, definition) in all {
            if properties(definition).any(|(_, property)| leads_to_a_key(property, &found)) {
                found.insert(name.as_str());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn leads_to_a_key(property: &Value, found: &BTreeSet<&str>) -> bool {
    property.get(MERGE_KEY).is_some() || references(property).any(|name| found.contains(name))
}

fn properties(definition: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = definition.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten()
}

/// Names of the definitions that a property refers to, itself or by its items.
fn references(property: &Value) -> impl Iterator<Item = &str> {
    let inner = [None, Some("items"), Some("additionalProperties")];
    inner.into_iter().filter_map(move |key| {
        let schema = key.map_or(Some(property), |key| property.get(key))?;
        schema.get("$ref")?.as_str()?.strip_prefix("#/definitions/")
    })
}

/// A definition with what says how lists are merged, or leads there.
fn pruned(definition: &Value, merged: &BTreeSet<&str>) -> Value {
    let keep = |schema: &Value| -> Map<String, Value> {
        let fields = schema.as_object().into_iter().flatten();
        fields
            .filter(|(key, _)| {
                MERGING.contains(&key.as_str()) || ["$ref", "type"].contains(&key.as_str())
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let mut kept = Map::new();
    for (name, property) in properties(definition) {
        if !leads_to_a_key(property, merged) {
            continue;
        }
        let mut schema = keep(property);
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = property.get(key) {
                schema.insert(key.into(), keep(inner).into());
            }
        }
        kept.insert(name.clone(), schema.into());
    }
    let mut schema = keep(definition);
    schema.remove("type");
    schema.insert("properties".into(), kept.into());
    schema.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swagger() -> Value {
        let reference =
            |name: &str| json!({"$ref": format!("#/definitions/{name}"), "description": "no"});
        let named = json!({"type": "array", "items": {"type": "string"}, MERGE_KEY: "name", "description": "no"});
        json!({"definitions": {
            METADATA: {"type": "object", "properties": {"owners": named, "name": {"type": "string"}}},
            TEMPLATE: {"type": "object", "properties": {"spec": reference("a.Spec"), "size": reference("a.Size")}},
            "a.Spec": {"properties": {"containers": named}},
            "a.Size": {"properties": {"height": {"type": "integer"}}},
            "a.Thing": {
                KIND: [{"kind": "Thing"}],
                "properties": {"metadata": reference(METADATA), "size": reference("a.Size")},
            },
            "a.Loose": {KIND: [{"kind": "Loose"}], "properties": {"size": reference("a.Size")}},
        }})
    }

    #[test]
    fn schema_has_what_leads_to_a_merge_key_and_nothing_else() {
        let page: Value = serde_json::from_str(&kustomize(&swagger()).unwrap()).unwrap();
        let definitions = page["definitions"].as_object().unwrap();
        let names: Vec<_> = definitions.keys().map(String::as_str).collect();
        let ours = "dev.graceful.v1alpha1.GracefulDeployment";
        assert_eq!(names, ["a.Spec", "a.Thing", ours, TEMPLATE, METADATA]);
        let expected = json!({"properties": {"spec": {"$ref": "#/definitions/a.Spec"}}});
        assert_eq!(definitions[TEMPLATE], expected);
        assert_eq!(definitions["a.Thing"][KIND], json!([{"kind": "Thing"}]));
    }

    #[test]
    fn script_is_moved_as_a_whole() {
        assert_eq!(indented("a\n\n  b\n", 2), "  a\n\n    b\n");
    }
}
