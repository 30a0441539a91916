//! What was measured of the last pods that left, the timeouts that it suggests, and what is to be said of
//! the template. Bounded: the last hundred of each, and sixteen sentences.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long the last drains and shutdowns took, oldest first, at most 100 of each, in whole seconds
/// rounded up. A negative one was cut off after so many seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Planned drains, from when the pod heard until its agent's receipt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drains: Vec<i32>,
    /// Shutdowns, from SIGTERM until the application's containers were gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shutdowns: Vec<i32>,
}

impl Measured {
    /// Nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drains.is_empty() && self.shutdowns.is_empty()
    }
}

/// Timeouts that were measured to fit, and remarks on the template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// On spec.drain.timeoutSeconds. Absent until five drains were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<TimeoutAdvice>,
    /// On spec.shutdown.timeoutSeconds. Absent until five shutdowns were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<TimeoutAdvice>,
    /// What works in spec.template, and not as its author may think: where, what it comes to, and what to write
    /// instead. At most 16 sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template: Vec<String>,
}

impl Advice {
    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drain.is_none() && self.shutdown.is_none() && self.template.is_empty()
    }
}

/// Advice on one timeout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutAdvice {
    /// The suggested timeout: the 99th percentile of what was measured and half as much again, rounded up.
    /// Twice of it where some were cut off, for how long these would have taken nobody knows.
    pub timeout_seconds: i32,
    /// What is to be said of the timeout that is set.
    pub fit: Fit,
    /// Why it does not fit, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What is to be said of a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Fit {
    /// It fits.
    Fits,
    /// More than one in a hundred reach it: work is cut.
    TooShort,
    /// It is above the default and more than four times what is suggested: a pod that hangs holds a
    /// rollout for nothing.
    TooLong,
}
