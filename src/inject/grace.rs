//! The time from delete to SIGKILL: long enough for the drain, the user's own hook and the
//! application's exit, one after the other.

use super::hook::Hook;
use super::pod::Pod;
use super::{Injection, Refusal};

/// Kubernetes' own grace period, where a template says nothing.
const DEFAULT: i64 = 30;

/// What the kubelet and the runtime take for themselves between the steps, and the sidecars' exit
/// after the last ordinary container: with less, an application that uses its time to the full would
/// be killed; much more only delays the end of one that hangs.
const SLACK: i64 = 5;

/// How a pod's grace period is shared out. Fixed at the pod's birth.
pub(super) struct Grace {
    /// The pod's `terminationGracePeriodSeconds`.
    pub(super) seconds: i64,
    /// What of it is the drain's at most. The drain's own timeout may be raised later, while the pod
    /// runs; without this bound the kubelet would then end the drain, and leave the application two
    /// seconds to exit.
    pub(super) drain: i64,
}

/// The drain's own timeout, the longest of the user's hooks, the application's exit and some slack;
/// the user's own grace period where that is larger, and the difference is the drain's.
pub(super) fn of_pod(
    pod: &Pod,
    hooks: &[Hook],
    injection: &Injection<'_>,
) -> Result<Grace, Refusal> {
    let explicit = pod.spec.termination_grace_period_seconds;
    let shutdown = i64::from(injection.shutdown.timeout_seconds);
    // A sleep says how long it is. How long a command or a request takes is not written anywhere,
    // but it was content with the grace period that the user gave, which it shared with the
    // application's exit. So it gets what that leaves beside `shutdown`: 600 s for hook and exit, of
    // which 30 s are the exit's, leave 570 s to the hook.
    let unknown = explicit.unwrap_or(DEFAULT).saturating_sub(shutdown).max(0);
    let mut longest = 0;
    for (container, hook) in pod.containers.iter().zip(hooks) {
        let own = match hook {
            Hook::None => 0,
            Hook::Sleep(seconds) => {
                fits(*seconds, explicit, &container.at)?;
                *seconds
            }
            Hook::Exec(_) | Hook::HttpGet(_) => unknown,
        };
        longest = longest.max(own);
    }
    let drain = i64::from(injection.drain.deletion_timeout_seconds);
    let others = longest.saturating_add(shutdown).saturating_add(SLACK);
    let seconds = drain.saturating_add(others).max(explicit.unwrap_or(0));
    Ok(Grace {
        seconds,
        drain: seconds.saturating_sub(others).clamp(0, i64::from(i32::MAX)),
    })
}

/// A sleep has to end before the grace period that the user wrote themselves, or their application
/// would be killed without a SIGTERM in an ordinary Deployment.
fn fits(seconds: i64, grace: Option<i64>, container: &str) -> Result<(), Refusal> {
    match grace {
        Some(grace) if seconds >= grace => Err(Refusal::LongSleep {
            at: format!("{container}.lifecycle.preStop.sleep.seconds"),
        }),
        _ => Ok(()),
    }
}
