//! What the agent writes and somebody reads later: its mark after a restart, its receipt and its last words by
//! the operator, the word of a hook. What is read is written and read again as the same, and a record that
//! is cut off is none.

use std::fmt::Debug;
use std::sync::LazyLock;

use graceful::agent::clock::{Clock, Stamp};
use graceful::agent::memory::{Mark, Serving};
use graceful::agent::words::Word;
use graceful::api::farewell::Farewell;
use graceful::api::receipt::Receipt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cuts::{Numbers, lengths};

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

/// Holds for any record.
pub fn hold(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    same_again(Receipt::parse, &text);
    same_again(Farewell::parse, &text);
    same_again(parse::<Serving>, &text);
    same_again(parse::<Mark>, &text);
    if let Some(mark) = parse::<Mark>(&text) {
        assert!(
            CLOCK.place(&mark.heard) <= CLOCK.now(),
            "heard in the future"
        );
        let withdrawn = mark.withdrawn.map(|stamp| CLOCK.place(&stamp));
        assert!(withdrawn.is_none_or(|at| at <= CLOCK.now()));
    }
    kept_moment_holds(data);
    assert!(Word::read(data).is_none() || data == b"l" || data == b"e");
}

/// A moment of this boot, at whatever time the mark says.
fn kept_moment_holds(data: &[u8]) {
    let uptime = i64::from_le_bytes(Numbers(data).bytes());
    let mut stamp = serde_json::to_value(CLOCK.stamp()).unwrap_or_default();
    stamp["uptime"] = uptime.into();
    let kept: Option<Stamp> = serde_json::from_value(stamp).ok();
    let kept = kept.map(|kept| CLOCK.place(&kept));
    assert!(kept.is_some_and(|at| at <= CLOCK.now()), "in the future");
}

fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn same_again<T: Serialize + PartialEq + Debug>(parse: fn(&str) -> Option<T>, text: &str) {
    let Some(record) = parse(text) else { return };
    let written = serde_json::to_string(&record).unwrap_or_default();
    for cut in lengths(written.len()).filter_map(|length| written.get(..length)) {
        assert_eq!(parse(cut), None, "{cut}");
    }
    assert_eq!(parse(&written), Some(record), "{written}");
}
