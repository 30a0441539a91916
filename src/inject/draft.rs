//! A pod template taken apart for editing, as JSON, and put together again. What nobody edits comes
//! back as it was, in the place where it was.

use serde_json::{Map, Value};

use super::Refusal;

/// Path of the template in the user's object.
pub(super) const TEMPLATE: &str = "spec.template";

/// A pod template taken apart.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    template: Map<String, Value>,
    metadata: Map<String, Value>,
    /// `metadata.labels`.
    pub(super) labels: Map<String, Value>,
    /// `metadata.annotations`.
    pub(super) annotations: Map<String, Value>,
    /// `spec`, but for the lists below.
    pub(super) spec: Map<String, Value>,
    /// `spec.initContainers`.
    pub(super) init_containers: Vec<Map<String, Value>>,
    /// `spec.containers`.
    pub(super) containers: Vec<Map<String, Value>>,
    /// `spec.volumes`.
    pub(super) volumes: Vec<Map<String, Value>>,
}

impl Draft {
    /// Takes a template apart. Null and absent are the same thing, as everywhere in Kubernetes.
    pub(super) fn open(template: &Value) -> Result<Self, Refusal> {
        let mut template = object(TEMPLATE.into(), template.clone())?;
        let mut metadata = object_in(&mut template, TEMPLATE, "metadata")?;
        let mut spec = object_in(&mut template, TEMPLATE, "spec")?;
        let spec_path = format!("{TEMPLATE}.spec");
        let metadata_path = format!("{TEMPLATE}.metadata");
        Ok(Self {
            labels: object_in(&mut metadata, &metadata_path, "labels")?,
            annotations: object_in(&mut metadata, &metadata_path, "annotations")?,
            init_containers: objects_in(&mut spec, &spec_path, "initContainers")?,
            containers: objects_in(&mut spec, &spec_path, "containers")?,
            volumes: objects_in(&mut spec, &spec_path, "volumes")?,
            template,
            metadata,
            spec,
        })
    }

    /// Puts the template together.
    pub(super) fn close(self) -> Value {
        let Self {
            mut template,
            mut metadata,
            mut spec,
            ..
        } = self;
        if !self.labels.is_empty() || metadata.contains_key("labels") {
            metadata.insert("labels".into(), self.labels.into());
        }
        metadata.insert("annotations".into(), self.annotations.into());
        spec.insert("initContainers".into(), self.init_containers.into());
        spec.insert("containers".into(), self.containers.into());
        spec.insert("volumes".into(), self.volumes.into());
        template.insert("metadata".into(), metadata.into());
        template.insert("spec".into(), spec.into());
        template.into()
    }
}

/// The object at a key of an object, made where there is none.
pub(super) fn child<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
) -> Option<&'a mut Map<String, Value>> {
    let child = parent.entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = Map::new().into();
    }
    child.as_object_mut()
}

/// Adds to the list at a key of an object, made where there is none.
pub(super) fn push(
    parent: &mut Map<String, Value>,
    key: &str,
    items: impl IntoIterator<Item = Value>,
) {
    let list = parent.entry(key).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    if let Some(list) = list.as_array_mut() {
        list.extend(items);
    }
}

/// Leaves null in the key's place, so that the order of keys is the same after the key is written
/// back.
fn taken(parent: &mut Map<String, Value>, key: &str) -> Value {
    parent.get_mut(key).map(Value::take).unwrap_or_default()
}

fn object_in(
    parent: &mut Map<String, Value>,
    at: &str,
    key: &str,
) -> Result<Map<String, Value>, Refusal> {
    object(format!("{at}.{key}"), taken(parent, key))
}

fn objects_in(
    parent: &mut Map<String, Value>,
    at: &str,
    key: &str,
) -> Result<Vec<Map<String, Value>>, Refusal> {
    match taken(parent, key) {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items
                .map(|(i, item)| object(format!("{at}.{key}[{i}]"), item))
                .collect()
        }
        _ => Err(unreadable(format!("{at}.{key}"), "expected a list")),
    }
}

fn object(at: String, value: Value) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => Ok(object),
        _ => Err(unreadable(at, "expected an object")),
    }
}

fn unreadable(at: String, why: &str) -> Refusal {
    Refusal::Unreadable {
        at,
        why: why.into(),
    }
}
