//! How many cases a property tries. The usual number is what CI has time for; the stages of
//! `cargo xtask test --full` ask for a share of it, or for many times of it.

use proptest::prelude::ProptestConfig;

/// Percent of the usual number. Properties beside the code heed proptest's own `PROPTEST_CASES`.
const SHARE: &str = "GRACEFUL_CASES";

/// A property that usually tries this many cases.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let scaled = u64::from(usual) * percent() / 100;
    ProptestConfig {
        cases: u32::try_from(scaled).unwrap_or(u32::MAX).max(1),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

/// Whether the largest of a list of sizes can be left out.
pub(crate) fn is_short() -> bool {
    percent() < 100
}

fn percent() -> u64 {
    match std::env::var(SHARE) {
        Ok(text) => text.parse().expect("GRACEFUL_CASES is a percentage"),
        Err(_) => 100,
    }
}
