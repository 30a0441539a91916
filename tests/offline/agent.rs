//! The agent against the real kernel, on loopback: its parser of the socket table, its classes of
//! connections, and the whole life of the binary.

mod binary;
mod farewells;
mod faults;
mod kernel;
mod matrix;
mod notices;
mod pod;
mod questions;
mod site;
mod wrong;

use std::time::{Duration, Instant};

/// Waits for a condition, thirty seconds at most.
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
