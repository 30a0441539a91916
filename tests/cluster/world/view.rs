//! What the status of an object says, in the words that both arms share.

use serde_json::Value;

/// The status of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) generation: i64,
    pub(crate) observed: i64,
    /// `spec.replicas`.
    pub(crate) wanted: i64,
    pub(crate) replicas: i64,
    pub(crate) updated: i64,
    pub(crate) ready: i64,
    pub(crate) available: i64,
    pub(crate) unavailable: i64,
    pub(crate) terminating: i64,
    pub(crate) collisions: i64,
    /// Type, status and reason of each condition.
    pub(crate) conditions: Vec<(String, String, String)>,
}

impl View {
    pub(crate) fn of(object: &Value) -> Self {
        let number = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = object.pointer("/status/conditions");
        let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
        Self {
            generation: number("/metadata/generation"),
            observed: number("/status/observedGeneration"),
            wanted: number("/spec/replicas"),
            replicas: number("/status/replicas"),
            updated: number("/status/updatedReplicas"),
            ready: number("/status/readyReplicas"),
            available: number("/status/availableReplicas"),
            unavailable: number("/status/unavailableReplicas"),
            terminating: number("/status/terminatingReplicas"),
            collisions: number("/status/collisionCount"),
            conditions: conditions
                .map(|one| {
                    (
                        text(&one["type"]),
                        text(&one["status"]),
                        text(&one["reason"]),
                    )
                })
                .collect(),
        }
    }

    /// It speaks of the present spec.
    pub(crate) fn is_observed(&self) -> bool {
        self.observed >= self.generation
    }

    /// The rule of `kubectl rollout status`.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_observed()
            && self.updated == self.wanted
            && self.replicas == self.wanted
            && self.available == self.wanted
    }

    /// Status and reason of a condition.
    pub(crate) fn condition(&self, kind: &str) -> Option<(&str, &str)> {
        let found = self.conditions.iter().find(|(name, ..)| name == kind)?;
        Some((&found.1, &found.2))
    }

    pub(crate) fn is(&self, kind: &str, status: &str, reason: &str) -> bool {
        self.condition(kind) == Some((status, reason))
    }
}
