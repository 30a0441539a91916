//! Against a real API server: what a model cannot prove.
#![cfg(test)]

mod chart;
mod crd;
