//! The offline tests: no network, no cluster.
#![cfg(test)]

mod agent;
mod architecture;
mod cases;
mod chart;
mod generated;
mod inject;
mod readme;
mod rollout;
mod safety;
mod simulation;
mod stored;
