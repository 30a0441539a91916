//! A finished span, and how it and its trace are named. The names follow from what is on record alone, so
//! that whichever operator tells of a rollout tells of the same trace. Pure.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::api::v1alpha1::{DrainRecord, RolloutRecord};

/// Id of a trace.
pub(super) type TraceId = [u8; 16];

/// Id of a span.
pub(super) type SpanId = [u8; 8];

/// What happened from one time to another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'static str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// What users may have noticed.
    pub(super) failure: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Bool(is_so)
    }
}

/// The trace of a rollout. The same revision may be rolled out again, but not begin at the same time; the
/// status has times to the microsecond.
pub(super) fn of_rollout(object: &str, rollout: &RolloutRecord) -> TraceId {
    let started = rollout.started.0.as_microsecond().to_string();
    let words = ["rollout", object, &rollout.revision, &started];
    digest(words.map(str::as_bytes))
}

/// The trace of a pod that leaves for no rollout.
pub(super) fn of_drain(object: &str, drain: &DrainRecord) -> TraceId {
    digest(["drain", object, &drain.uid, &drain.epoch].map(str::as_bytes))
}

/// A span of a trace, by what tells it from the others.
pub(super) fn within(trace: &TraceId, words: &[&str]) -> SpanId {
    let words = words.iter().map(|word| word.as_bytes());
    digest(std::iter::once(trace.as_slice()).chain(words))
}

/// The first bytes of a SHA-256. All zeros, which is no id, comes once in 2^64.
fn digest<'a, const N: usize>(words: impl IntoIterator<Item = &'a [u8]>) -> [u8; N] {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word);
        hash.update([0]);
    }
    let mut id = [0; N];
    for (to, from) in id.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    id
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(started: &str) -> RolloutRecord {
        let started = json!({"revision": "chat-1", "started": started, "progressed": started});
        serde_json::from_value(started).unwrap()
    }

    #[test]
    fn a_rollout_has_the_same_trace_before_and_after_it_is_written() {
        let mut fresh = rollout("2026-01-01T00:00:00.123456Z");
        let written = of_rollout("u", &fresh);
        fresh.started.0 += std::time::Duration::from_nanos(789);
        assert_eq!(of_rollout("u", &fresh), written);
    }

    #[test]
    fn rollouts_of_one_revision_have_a_trace_each() {
        let (one, two) = (
            rollout("2026-01-01T00:00:00Z"),
            rollout("2026-01-01T00:00:01Z"),
        );
        assert_ne!(of_rollout("u", &one), of_rollout("u", &two));
        assert_ne!(of_rollout("u", &one), of_rollout("v", &one));
    }
}
