//! What a pod is told when its drain is cancelled: the value of [`CANCELLED`].

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::CANCELLED;

/// When a pod was told that its drain is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The first time, for this drain.
    pub first: Timestamp,
    /// The last time: it is told again where it does not hear.
    pub last: Timestamp,
}

impl Told {
    /// As the pod carries it; `None` where it was never told, and where somebody wrote what cannot be read.
    #[must_use]
    pub fn read(pod: &Pod) -> Option<Self> {
        serde_json::from_str(pod.annotations().get(CANCELLED)?).ok()
    }
}
