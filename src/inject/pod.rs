//! What injection reads of a pod template, typed. Only fields that decide something here: all others
//! pass by unread, so that a field of a newer Kubernetes is no error.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Refusal;
use super::draft::{Draft, TEMPLATE};

/// What is read of a template.
pub(super) struct Pod {
    pub(super) labels: Strings,
    pub(super) annotations: Strings,
    pub(super) spec: Spec,
    pub(super) volumes: Vec<Volume>,
    pub(super) init_containers: Vec<At<Container>>,
    pub(super) containers: Vec<At<Container>>,
}

/// Labels and the like. A null value is an empty string, as in Kubernetes.
pub(super) type Strings = BTreeMap<String, Option<String>>;

/// A part that is edited, and so read as it is.
pub(super) type Object = Map<String, Value>;

/// Something and where it stands.
pub(super) struct At<T> {
    pub(super) at: String,
    pub(super) it: T,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    #[serde(deserialize_with = "nullable")]
    pub(super) host_network: bool,
    pub(super) os: Option<Os>,
    #[serde(deserialize_with = "nullable")]
    pub(super) node_selector: Strings,
    pub(super) termination_grace_period_seconds: Option<i64>,
    /// The budget of the whole pod.
    #[serde(deserialize_with = "nullable")]
    pub(super) resources: Resources,
    pub(super) security_context: Option<SecurityContext>,
}

#[derive(Deserialize)]
pub(super) struct Os {
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecurityContext {
    pub(super) run_as_user: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Volume {
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    #[serde(default)]
    pub(super) image: Option<String>,
    #[serde(default)]
    pub(super) image_pull_policy: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) ports: Vec<Port>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) volume_mounts: Vec<VolumeMount>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) volume_devices: Vec<VolumeDevice>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) resources: Resources,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) lifecycle: Object,
    #[serde(default)]
    pub(super) readiness_probe: Option<Object>,
    #[serde(default)]
    pub(super) liveness_probe: Option<Object>,
    #[serde(default)]
    pub(super) startup_probe: Option<Object>,
}

#[derive(Deserialize)]
pub(super) struct Port {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(rename = "containerPort")]
    pub(super) number: u16,
    #[serde(default, rename = "hostPort")]
    pub(super) of_node: Option<u16>,
    #[serde(default)]
    pub(super) protocol: Option<String>,
}

impl Port {
    pub(super) fn is_tcp(&self) -> bool {
        self.protocol
            .as_deref()
            .is_none_or(|protocol| protocol == "TCP")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub(super) mount_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolumeDevice {
    pub(super) device_path: String,
}

/// Quantities are numbers or strings, so they are read where they are compared.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    #[serde(deserialize_with = "nullable")]
    pub(super) limits: BTreeMap<String, Value>,
    #[serde(deserialize_with = "nullable")]
    pub(super) requests: BTreeMap<String, Value>,
}

impl Pod {
    /// Reads a template.
    pub(super) fn read(draft: &Draft) -> Result<Self, Refusal> {
        let init_containers = list("initContainers", &draft.init_containers)?;
        let containers = list("containers", &draft.containers)?;
        if containers.is_empty() {
            return Err(Refusal::NoContainer);
        }
        let volumes = list("volumes", &draft.volumes)?.into_iter();
        Ok(Self {
            labels: read(&format!("{TEMPLATE}.metadata.labels"), &draft.labels)?,
            annotations: read(
                &format!("{TEMPLATE}.metadata.annotations"),
                &draft.annotations,
            )?,
            spec: read(&format!("{TEMPLATE}.spec"), &draft.spec)?,
            volumes: volumes.map(|volume| volume.it).collect(),
            init_containers,
            containers,
        })
    }

    /// All containers of the user's.
    pub(super) fn all_containers(&self) -> impl Iterator<Item = &At<Container>> {
        self.init_containers.iter().chain(&self.containers)
    }
}

impl Container {
    /// The number of the port with a name.
    pub(super) fn port_named(&self, name: &str) -> Option<u16> {
        let port = self
            .ports
            .iter()
            .find(|port| port.name.as_deref() == Some(name));
        port.map(|port| port.number)
    }
}

fn list<T: DeserializeOwned>(key: &str, items: &[Object]) -> Result<Vec<At<T>>, Refusal> {
    let items = items.iter().enumerate().map(|(i, item)| {
        let at = format!("{TEMPLATE}.spec.{key}[{i}]");
        Ok(At {
            it: read(&at, item)?,
            at,
        })
    });
    items.collect()
}

/// Reads one part of a template.
pub(super) fn read<T: DeserializeOwned>(at: &str, object: &Object) -> Result<T, Refusal> {
    T::deserialize(object).map_err(|error| Refusal::Unreadable {
        at: at.into(),
        why: error.to_string(),
    })
}

/// Null is absent, as everywhere in Kubernetes.
fn nullable<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
