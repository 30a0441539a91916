//! Against a real API server: what a model cannot prove.
#![cfg(test)]

mod behaviour;
mod chart;
#[cfg(feature = "traces")]
#[path = "../fixtures/collector.rs"]
mod collector;
mod compat;
mod conformance;
mod crd;
#[path = "../fixtures/dashboards.rs"]
mod dashboards;
mod docs;
mod faults;
#[path = "../fixtures/merge.rs"]
mod merge;
mod metrics;
#[path = "../fixtures/monitor.rs"]
mod monitor;
mod proxy;
mod scale;
mod standin;
mod state_metrics;
#[cfg(feature = "traces")]
mod traces;
#[path = "../fixtures/watcher.rs"]
mod watcher;
mod world;
