//! The figures that the tests measure, next to their limits. The one place for the slack that a busy
//! machine is given; `cargo xtask bench` collects the lines printed here.

use serde_json::json;

/// Factor on every limit of time: 1 for the bench, which asserts the limits themselves. CI shares its
/// machine, and fails only at twice of them.
pub(crate) fn slack() -> f64 {
    if std::env::var_os("GRACEFUL_BENCH").is_some() {
        1.0
    } else {
        2.0
    }
}

/// Prints a figure and fails where it is above its limit.
pub(crate) fn assert_at_most(figure: &str, value: f64, limit: f64, unit: &str) {
    show(figure, value, Some(limit), unit);
    assert!(
        value <= limit,
        "{figure}: {value:.2} {unit}, at most {limit:.2} wanted"
    );
}

/// Prints a figure, and its limit where it has one that somebody else asserts.
pub(crate) fn show(figure: &str, value: f64, limit: Option<f64>, unit: &str) {
    println!(
        "{}",
        json!({"figure": figure, "value": value, "limit": limit, "unit": unit})
    );
}

/// The middle of them, NaN where there are none: that is at most nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The largest of them.
pub(crate) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// Seconds of a difference of times in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a test")]
pub(crate) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
