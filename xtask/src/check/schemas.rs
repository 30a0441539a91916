//! JSON schemas of Kubernetes' own kinds and of those of CustomResourceDefinitions, for kubeconform: closed, so that
//! a field that a kind does not have is refused. Pure: where they come from and go to is for others.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// The file that has every definition of Kubernetes' OpenAPI file. They refer to each other, those of schemas to
/// themselves, so they stay where they are and the file of a kind points there.
const DEFINITIONS: &str = "definitions.json";

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// How kubeconform is told what [`file_of`] calls the files.
pub(super) const LOCATION: &str = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json";

/// The group that has no name goes by its version.
fn file_of(group: &str, version: &str, kind: &str) -> String {
    let group = if group.is_empty() { version } else { group };
    format!("{group}_{version}_{}.json", kind.to_lowercase())
}

/// The files of Kubernetes' own kinds, from its OpenAPI file of version 2.
pub(super) fn native(mut swagger: Value) -> Result<Vec<(String, Value)>> {
    let definitions = swagger.get_mut("definitions").map(Value::take);
    let Some(Value::Object(mut definitions)) = definitions else {
        anyhow::bail!("the OpenAPI file has no definitions");
    };
    let mut files = Vec::new();
    for (name, definition) in &mut definitions {
        close(definition);
        if name == QUANTITY {
            // It is written as a string and may be given as a number.
            set(definition, "type", json!(["number", "string"]));
        }
        let kinds = definition.get("x-kubernetes-group-version-kind");
        // What is of every group is nobody's to apply: DeleteOptions and WatchEvent.
        if let Some([kind]) = kinds.and_then(Value::as_array).map(Vec::as_slice) {
            let text = |field: &str| kind.get(field).and_then(Value::as_str).context("a kind");
            let file = file_of(text("group")?, text("version")?, text("kind")?);
            files.push((file, reference(name)));
        }
    }
    files.push((DEFINITIONS.to_owned(), json!({"definitions": definitions})));
    Ok(files)
}

/// The files of a CustomResourceDefinition, one for each version.
pub(super) fn custom(crd: &Value) -> Result<Vec<(String, Value)>> {
    let text = |path: &str| crd.pointer(path).and_then(Value::as_str).context("a CRD");
    let (group, kind) = (text("/spec/group")?, text("/spec/names/kind")?);
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let versions = versions.into_iter().flatten().map(|version| {
        let name = version.get("name").and_then(Value::as_str);
        let schema = version.pointer("/schema/openAPIV3Schema");
        let (name, mut schema) = name.zip(schema.cloned()).context("a version of a CRD")?;
        close(&mut schema);
        // What every object has the API server knows by itself, so a CRD need not say it.
        let fields = schema.get_mut("properties").context("its fields")?;
        for word in ["apiVersion", "kind"] {
            set(fields, word, json!({"type": "string"}));
        }
        set(fields, "metadata", reference(METADATA));
        Ok((file_of(group, name, kind), schema))
    });
    versions.collect()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{DEFINITIONS}#/definitions/{name}")})
}

/// Closes every object of a schema that names its fields, and says in JSON Schema's words what is a number or a
/// string. It does not look into `anyOf` and its kind, which add to what is named beside them.
fn close(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        return;
    };
    let is = |fields: &Map<String, Value>, mark: &str| fields.get(mark) == Some(&json!(true));
    if is(fields, "x-kubernetes-int-or-string")
        || fields.get("format") == Some(&json!("int-or-string"))
    {
        fields.insert("type".to_owned(), json!(["integer", "string"]));
    }
    if fields.contains_key("properties") && !is(fields, "x-kubernetes-preserve-unknown-fields") {
        fields.entry("additionalProperties").or_insert(json!(false));
    }
    for below in ["items", "additionalProperties"] {
        fields.get_mut(below).into_iter().for_each(close);
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flatten()
        .for_each(|(_, it)| close(it));
}

fn set(schema: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = schema {
        fields.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(mut schema: Value) -> Value {
        close(&mut schema);
        schema
    }

    #[test]
    fn object_that_names_its_fields_is_closed_at_every_depth() {
        let leaf = json!({"properties": {"a": {"type": "string"}}});
        let shut = json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false});
        assert_eq!(closed(leaf.clone()), shut);
        assert_eq!(
            closed(json!({"items": {"additionalProperties": leaf.clone()}})),
            json!({"items": {"additionalProperties": shut}})
        );
        let deep = closed(json!({"properties": {"b": leaf}}));
        assert_eq!(deep.pointer("/properties/b"), Some(&shut));
    }

    #[test]
    fn object_of_any_fields_stays_open() {
        for open in [
            json!({"type": "object"}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"properties": {}, "x-kubernetes-preserve-unknown-fields": true}),
            json!({"anyOf": [{"properties": {"a": {"minimum": 1}}}]}),
        ] {
            assert_eq!(closed(open.clone()), open);
        }
    }

    /// The schema of schemas has fields that are called as the words of schemas.
    #[test]
    fn field_is_told_from_a_word_of_the_schema() {
        let named = json!({"properties": {
            "properties": {"type": "object", "additionalProperties": {"$ref": "#"}},
            "$ref": {"type": "string"},
        }});
        let mut expected = named.clone();
        set(&mut expected, "additionalProperties", json!(false));
        assert_eq!(closed(named), expected);
    }

    #[test]
    fn integer_or_string_is_either() {
        for marked in [
            json!({"type": "string", "format": "int-or-string"}),
            json!({"x-kubernetes-int-or-string": true}),
        ] {
            assert_eq!(closed(marked)["type"], json!(["integer", "string"]));
        }
    }

    #[test]
    fn kind_has_a_file_that_points_to_its_definition() {
        let kind = |group: &str, kind: &str| json!({"group": group, "version": "v1", "kind": kind});
        let files = native(json!({"definitions": {
            "apps.Deployment": {"x-kubernetes-group-version-kind": [kind("apps", "Deployment")]},
            "core.Pod": {"x-kubernetes-group-version-kind": [kind("", "Pod")]},
            "meta.DeleteOptions": {
                "x-kubernetes-group-version-kind": [kind("", "DeleteOptions"), kind("apps", "DeleteOptions")],
            },
            QUANTITY: {"type": "string"},
        }}));
        let files = files.unwrap();
        let to = |name: &str| json!({"$ref": format!("definitions.json#/definitions/{name}")});
        assert_eq!(
            files[0],
            ("apps_v1_deployment.json".into(), to("apps.Deployment"))
        );
        assert_eq!(files[1], ("v1_v1_pod.json".into(), to("core.Pod")));
        assert_eq!(files[2].0, "definitions.json");
        assert_eq!(files.len(), 3);
        let quantity = &files[2].1["definitions"][QUANTITY]["type"];
        assert_eq!(*quantity, json!(["number", "string"]));
        native(json!({})).unwrap_err();
    }

    #[test]
    fn version_of_a_crd_has_a_file_with_what_every_object_has() {
        let schema = json!({"properties": {"metadata": {"type": "object"}, "spec": {}}});
        let files = custom(&json!({"spec": {
            "group": "graceful.dev",
            "names": {"kind": "Some"},
            "versions": [{"name": "v1alpha1", "schema": {"openAPIV3Schema": schema}}],
        }}));
        let text = json!({"type": "string"});
        let expected = json!({
            "properties": {"apiVersion": text, "kind": text, "metadata": reference(METADATA), "spec": {}},
            "additionalProperties": false,
        });
        let file = "graceful.dev_v1alpha1_some.json".to_owned();
        assert_eq!(files.unwrap(), [(file, expected)]);
        custom(&json!({})).unwrap_err();
    }
}
