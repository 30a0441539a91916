//! Timeouts that measured drains and shutdowns suggest, and remarks on the template. Pure, and made not to
//! flap: a suggestion stays for as long as it is neither too short nor three times too long.

use super::plan::Draft;
use super::target::Target;
use crate::api::reason::Reason;
use crate::api::v1alpha1::{Advice, Fit, Measured, TimeoutAdvice};

/// Fewer say nothing.
const LEAST_SAMPLES: usize = 5;

/// The longest that a timeout may be.
const WEEK: i32 = 7 * 24 * 3600;

/// The timeouts that are suggested: a suggestion of 47 s looks more exact than it is, and moves with
/// every pod.
const STEPS: [i32; 22] = [
    5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1800, 3600, 7200, 14_400, 28_800,
    86_400, 172_800, WEEK,
];

/// A timeout as it is set.
#[derive(Clone, Copy, Debug)]
struct Set {
    field: &'static str,
    noun: &'static str,
    seconds: i32,
    /// What it is where nobody set it: never called too long.
    usual: i32,
    /// The least that the spec allows.
    least: i32,
}

/// What the measured times suggest, given what was suggested before, with the remarks on the template.
#[must_use]
pub(super) fn advise(
    target: &Target,
    measured: &Measured,
    remarks: &[String],
    previous: &Advice,
) -> Advice {
    let seconds = |length: std::time::Duration| i32::try_from(length.as_secs()).unwrap_or(WEEK);
    let drain = Set {
        field: "spec.drain.timeoutSeconds",
        noun: "drains",
        seconds: seconds(target.drain_timeout),
        usual: 300,
        least: seconds(target.drain_min.saturating_add(target.drain_quiet)),
    };
    let shutdown = Set {
        field: "spec.shutdown.timeoutSeconds",
        noun: "shutdowns",
        seconds: seconds(target.shutdown_timeout),
        usual: 30,
        least: 1,
    };
    Advice {
        drain: on_one(&drain, &measured.drains, previous.drain.as_ref()),
        shutdown: on_one(&shutdown, &measured.shutdowns, previous.shutdown.as_ref()),
        template: remarks.to_vec(),
    }
}

/// Tells what is new: another suggestion, another word on the timeout that is set, or a remark.
pub(super) fn tell(advice: &Advice, previous: &Advice, draft: &mut Draft) {
    let pairs = [
        ("spec.drain.timeoutSeconds", &advice.drain, &previous.drain),
        (
            "spec.shutdown.timeoutSeconds",
            &advice.shutdown,
            &previous.shutdown,
        ),
    ];
    for (field, now, before) in pairs {
        let Some(now) = now else { continue };
        let before = before.as_ref();
        if before.map(|it| (it.timeout_seconds, it.fit)) == Some((now.timeout_seconds, now.fit)) {
            continue;
        }
        let suggested = format!("{field}: {} is suggested", now.timeout_seconds);
        let message = match &now.message {
            Some(why) => format!("{suggested}; {why}"),
            None => format!("{suggested}; the one that is set fits"),
        };
        draft.tell(now.fit == Fit::TooShort, Reason::AdviceChanged, message);
    }
    for remark in &advice.template {
        if !previous.template.contains(remark) {
            draft.tell(true, Reason::AdviceChanged, remark.clone());
        }
    }
}

fn on_one(set: &Set, samples: &[i32], previous: Option<&TimeoutAdvice>) -> Option<TimeoutAdvice> {
    if samples.len() < LEAST_SAMPLES {
        return None;
    }
    let mut lengths: Vec<i32> = samples.iter().map(|it| it.saturating_abs()).collect();
    lengths.sort_unstable();
    let cut = samples.iter().filter(|it| **it < 0).count();
    let percentile = percentile(&lengths);
    let room = if is_common(cut, samples.len()) {
        percentile.saturating_mul(2)
    } else {
        percentile.saturating_add(percentile / 2)
    };
    let needed = step(room.max(set.least));
    let kept = previous.map(|it| it.timeout_seconds);
    let kept = kept.filter(|kept| *kept >= needed && *kept / 3 <= needed);
    let suggested = kept.unwrap_or(needed);
    let reached = lengths.iter().filter(|it| **it >= set.seconds).count();
    let all = samples.len();
    let Set {
        field,
        noun,
        seconds,
        ..
    } = set;
    let (fit, message) = if is_common(reached, all) {
        let message = format!(
            "{reached} of the last {all} {noun} reached {field} ({seconds} s): work is cut"
        );
        (Fit::TooShort, Some(message))
    } else if *seconds > set.usual && *seconds / 4 > suggested {
        let message = format!(
            "99 of 100 {noun} took no longer than {percentile} s: by {field} ({seconds} s) a pod that hangs holds a rollout for nothing"
        );
        (Fit::TooLong, Some(message))
    } else {
        (Fit::Fits, None)
    };
    Some(TimeoutAdvice {
        timeout_seconds: suggested,
        fit,
        message,
    })
}

/// More than one in a hundred.
fn is_common(some: usize, all: usize) -> bool {
    some * 100 > all
}

/// The 99th percentile of sorted numbers, by the nearest rank.
fn percentile(sorted: &[i32]) -> i32 {
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The first step that is long enough.
fn step(seconds: i32) -> i32 {
    let mut steps = STEPS.into_iter();
    steps.find(|step| *step >= seconds).unwrap_or(WEEK)
}
