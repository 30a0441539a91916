//! What was injected into a pod, carried in the annotation [`super::INJECTED`] of the ReplicaSet's
//! template and of each pod.

use serde::{Deserialize, Serialize};

/// What was injected into a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Image of the drain agent.
    pub agent: String,
    /// Port of the agent. Absent on hostNetwork, where it listens on none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The probes that the user's template did not have, as `container/kind`, such as
    /// `app/readiness`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// Digest of the injected template without what changes in place.
    pub digest: String,
}

impl Summary {
    /// Reads the annotation's value. `None` where somebody else wrote it.
    #[must_use]
    pub fn parse(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }
}
