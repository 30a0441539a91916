//! The offline tests: no network, no cluster.
#![cfg(test)]

mod agent;
mod architecture;
mod cases;
mod chart;
mod docs;
mod examples;
#[expect(unreachable_pub, reason = "for the fuzzers it is a library")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzzed;
mod generated;
mod inject;
#[path = "../fixtures/merge.rs"]
mod merge;
mod parsers;
mod readme;
mod rollout;
mod safety;
mod simulation;
mod state_metrics;
mod stored;
mod watched;
