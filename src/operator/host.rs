//! What the operator takes from the machine that it runs on: the wall clock and randomness. Both come
//! from here alone, and monotonic time and waits come from tokio, so that a simulation can bring its
//! own and see the same run twice.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use jiff::Timestamp;

/// A machine to run on.
pub trait Host: Send + Sync {
    /// What its wall clock shows. It may be set at any time, ahead and back.
    fn wall(&self) -> Timestamp;

    /// A random number.
    fn random(&self) -> u64;
}

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct System;

impl Host for System {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Random enough for epochs and for spreading waits: the standard library seeds its hash maps from
    /// the system's randomness, and no two states are alike.
    fn random(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_differ() {
        assert_ne!(System.random(), System.random());
    }
}
