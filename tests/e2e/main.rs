//! The promise, measured: a real kubelet, the installed operator, real traffic.
//!
//! Each test has a namespace of its own, labelled `restricted`. Those under load run alone, the
//! others side by side. Beside each load runs a control arm, a Service whose pods never change:
//! losses there mean a disturbed machine, and only then a test is repeated, once and visibly. What
//! happens in each namespace is held to the promises by the safety monitor.
#![cfg(test)]

mod app;
mod audit;
mod cluster;
#[path = "../fixtures/dashboards.rs"]
mod dashboards;
mod figure;
mod load;
#[path = "../fixtures/monitor.rs"]
mod monitor;
mod node;
mod process;
mod stream;
mod timeline;
#[path = "../fixtures/watcher.rs"]
mod watcher;

mod bench;
mod bounds;
mod callers;
mod ends;
mod examples;
mod exits;
mod first;
mod helm;
mod input;
mod matrix;
mod nodes;
mod operator;
mod operators;
mod outside;
mod pool;
mod ports;
mod postgres;
mod redis;
mod revisions;
mod role;
mod rollout;
mod upgrade;
mod watched;
mod work;
mod works;
mod writes;
