//! The offline tests: no network, no cluster.
#![cfg(test)]

mod agent;
mod architecture;
mod cases;
mod chart;
mod docs;
mod examples;
mod generated;
mod inject;
#[path = "../fixtures/merge.rs"]
mod merge;
mod readme;
mod rollout;
mod safety;
mod simulation;
mod state_metrics;
mod stored;
mod watched;
