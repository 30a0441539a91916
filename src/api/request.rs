//! The request that travels to the agent in the annotation [`super::DRAIN`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::v1alpha1::Drain;

/// Asks the agent of one pod to drain. Carries everything that the drain needs, so that a change of
/// `spec.drain` governs a drain that is under way: the same epoch with other settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainRequest {
    /// The random id of this drain of this pod; comes back in the receipt.
    pub epoch: String,
    /// The settings of this drain.
    pub drain: Drain,
    /// When it was asked last. Another time for the same epoch asks for nothing new: it makes the
    /// kubelet, which can lose a change of the file until its next full sync (a minute or more),
    /// write the file again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
}
