//! Traces of rollouts, for a collector that speaks OTLP: one for each rollout, with a span for each pod that
//! left and for each step of its drain. They are told from what is on record, when it is written that something
//! has ended. No decision depends on them, and nothing waits for them.

#[cfg(feature = "traces")]
mod export;
#[cfg(not(feature = "traces"))]
mod off;
#[cfg(feature = "traces")]
mod otlp;
#[cfg(feature = "traces")]
mod span;
#[cfg(feature = "traces")]
mod steps;
#[cfg(feature = "traces")]
#[cfg(test)]
mod tests;
#[cfg(feature = "traces")]
mod tree;

#[cfg(feature = "traces")]
pub(super) use self::export::{NoCollector, To, Traces};
#[cfg(not(feature = "traces"))]
pub(super) use self::off::{NoCollector, To, Traces};
