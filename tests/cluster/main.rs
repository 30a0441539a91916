//! Against a real API server: what a model cannot prove.
#![cfg(test)]

mod behaviour;
mod chart;
mod crd;
mod standin;
mod world;
