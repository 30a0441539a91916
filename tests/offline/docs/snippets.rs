//! YAML in the pages is what the API takes: each key of it is a field of the schema, so that no page shows
//! what a user's API server would refuse.

use graceful::api::crd;
use serde::Deserialize;
use serde_json::Value;

use super::pages;

fn schema() -> Value {
    crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Where the schema knows no such field.
fn unknown(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                let field = schema["properties"].get(name);
                match field.or_else(|| schema.get("additionalProperties")) {
                    Some(field) => unknown(value, field, &path, found),
                    None => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                unknown(item, &schema["items"], &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

/// The schema that a block is an excerpt of: the whole object, its spec, or fields of its spec. `None` for
/// what is another kind.
fn excerpt_of(value: &Value, schema: &Value) -> Option<Value> {
    let spec = &schema["properties"]["spec"];
    let first = value.as_object()?.keys().next()?;
    if value["kind"] == "GracefulDeployment" {
        let mut whole = schema.clone();
        // What every object has is not in a CRD.
        for own in ["apiVersion", "kind", "metadata"] {
            whole["properties"][own] =
                serde_json::json!({"additionalProperties": {"additionalProperties": {}}});
        }
        Some(whole)
    } else if value.get("kind").is_some() {
        None
    } else if first == "spec" {
        Some(serde_json::json!({"properties": {"spec": spec}}))
    } else {
        spec["properties"].get(first).map(|_| spec.clone())
    }
}

#[test]
fn every_field_in_a_page_is_one() {
    let schema = schema();
    let mut tried = 0;
    for page in pages() {
        for block in page.blocks("yaml") {
            for document in serde_yaml_ng::Deserializer::from_str(&block) {
                let value = Value::deserialize(document);
                let value = value.unwrap_or_else(|error| panic!("{}: {error}\n{block}", page.path));
                if let Some(schema) = excerpt_of(&value, &schema) {
                    let mut found = Vec::new();
                    unknown(&value, &schema, "", &mut found);
                    assert_eq!(found, [""; 0], "{}\n{block}", page.path);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 5, "{tried} blocks are about GracefulDeployments");
}

#[test]
fn field_that_is_none_is_found() {
    let value = serde_json::json!({"drain": {"timeoutSecond": 3}});
    let schema = excerpt_of(&value, &schema()).expect("of the spec");
    let mut found = Vec::new();
    unknown(&value, &schema, "", &mut found);
    assert_eq!(found, [".drain.timeoutSecond"]);
}
