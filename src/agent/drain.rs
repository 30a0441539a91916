//! One drain, judged: what it waits for, or how it ended. Pure; the time is an input, and nothing is
//! remembered here but what the arguments carry, so settings that change are in force at once.

use std::fmt;

use super::activity::census::Evidence;
use super::activity::{Millis, Rules};
use crate::api::receipt::Outcome;
use crate::api::v1alpha1::{Connections, Drain};

/// The part of `spec.drain` that the agent goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The length after which the drain ends, done or not.
    pub timeout: Millis,
    /// Least time out of service.
    pub min: Millis,
    /// For how long the confirmations must hold.
    pub quiet: Millis,
    /// For how long new connections may restart the quiet time.
    pub arrivals: Millis,
    /// The confirmations by connections.
    pub connections: Vec<Connections>,
    /// Confirmations of a kind that this agent does not know: they never hold.
    pub unknown: usize,
}

/// Which of the two ways out of service a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Planned: the pod lives while it drains.
    Readiness,
    /// Within the grace period of a pod that was deleted.
    Termination,
}

impl Settings {
    /// Reads the settings. On the host's network connections cannot confirm, since the table is the
    /// node's: what is absent there means `minSeconds` only.
    #[must_use]
    pub fn new(drain: &Drain, way: Way, host_network: bool) -> Self {
        let seconds = |number: i32| Millis::from(number.max(0)) * 1000;
        let all = match &drain.confirm {
            Some(list) => list.iter().map(|one| one.connections.clone()).collect(),
            None if host_network => Vec::new(),
            None => vec![Some(Connections::default())],
        };
        let unknown = all.iter().filter(|one| one.is_none()).count();
        Self {
            timeout: seconds(match way {
                Way::Readiness => drain.timeout_seconds,
                Way::Termination => drain.deletion_timeout_seconds,
            }),
            min: seconds(drain.min_seconds),
            quiet: seconds(drain.quiet_seconds),
            arrivals: seconds(drain.arrivals_seconds),
            connections: all.into_iter().flatten().collect(),
            unknown,
        }
    }

    /// The rules by which one confirmation judges connections.
    #[must_use]
    pub fn rules(&self, of: &Connections, quick_acks: u32) -> Rules {
        Rules {
            quiet: self.quiet,
            unresponsive: Millis::from(of.unresponsive_seconds.max(0)) * 1000,
            keep_alive: of.keep_alive,
            quick_acks,
        }
    }
}

/// How far the notice to the application has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notice {
    /// None was asked for.
    #[default]
    None,
    /// It is under way.
    Pending,
    /// The application has answered, whatever it answered.
    Delivered,
    /// It did not get through. The drain goes on.
    Failed,
}

/// The moments of a drain that are known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the agent heard of it.
    pub heard: Millis,
    /// When the pod began to be out of service.
    pub withdrawn: Option<Millis>,
}

/// What a drain waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The first readiness probe that is told so.
    Withdrawal,
    /// The notice to the application.
    Notice,
    /// A look at the connections.
    Sample,
    /// So many connections with work.
    Connections(u32),
    /// A confirmation of a kind that this agent does not know.
    Unknown,
    /// `minSeconds`, so much longer.
    Minimum(Millis),
    /// `quietSeconds`, so much longer.
    Quiet(Millis),
    /// The same, since new connections keep coming.
    Arrivals(Millis),
}

impl Wait {
    /// When it is over by the passing of time alone: so much later.
    #[must_use]
    pub fn left(self) -> Option<Millis> {
        match self {
            Self::Minimum(left) | Self::Quiet(left) | Self::Arrivals(left) => Some(left),
            _ => None,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |millis: &Millis| (millis + 999) / 1000;
        match self {
            Self::Withdrawal => write!(f, "a readiness probe to be told that the pod is withdrawn"),
            Self::Notice => write!(f, "the application to take the notice"),
            Self::Sample => write!(f, "a look at the connections"),
            Self::Connections(1) => write!(f, "1 connection with work"),
            Self::Connections(n) => write!(f, "{n} connections with work"),
            Self::Unknown => write!(f, "a confirmation of a kind that this agent does not know"),
            Self::Minimum(left) => write!(f, "minSeconds, {} s more", seconds(left)),
            Self::Quiet(left) => write!(f, "quietSeconds, {} s more", seconds(left)),
            Self::Arrivals(left) => {
                write!(f, "new connections to stop, {} s more", seconds(left))
            }
        }
    }
}

/// Where a drain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Waits(Wait),
    /// It is over.
    Ended(Outcome),
}

/// Arrivals that came too late to restart the quiet time, to be reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// All arrivals up to the last look.
    seen: u64,
    /// Those of them that were late.
    pub number: u64,
}

impl Late {
    /// Takes in a look. What came since the one before came now, as far as is known.
    pub fn count(&mut self, settings: &Settings, times: Times, evidence: &[Evidence], now: Millis) {
        let all = evidence.iter().map(|one| one.arrivals).max().unwrap_or(0);
        let is_late = |withdrawn| now - withdrawn > settings.arrivals;
        if times.withdrawn.is_some_and(is_late) {
            self.number += all.saturating_sub(self.seen);
        }
        self.seen = self.seen.max(all);
    }
}

/// Judges a drain. `evidence` is that of each confirmation, empty where there is none yet or the last
/// sample failed.
#[must_use]
pub fn judge(
    settings: &Settings,
    times: Times,
    notice: Notice,
    evidence: &[Evidence],
    now: Millis,
) -> Verdict {
    let unresponsive = evidence.iter().any(|one| one.counts.unresponsive > 0);
    let done = if unresponsive {
        Outcome::Unresponsive
    } else {
        Outcome::Drained
    };
    let Some(wait) = wait(settings, times, notice, evidence, now) else {
        return Verdict::Ended(done);
    };
    if now - times.heard < settings.timeout {
        return Verdict::Waits(wait);
    }
    // minSeconds is for routes and says nothing of work. It counts from the first 503, the timeout
    // from hearing: where both are as long, an idle pod must not look overdue.
    let of_work = Settings {
        min: 0,
        ..settings.clone()
    };
    Verdict::Ended(match self::wait(&of_work, times, notice, evidence, now) {
        None => done,
        Some(_) => Outcome::TimedOut,
    })
}

/// What is waited for, the most telling first; `None` where nothing is.
fn wait(
    settings: &Settings,
    times: Times,
    notice: Notice,
    evidence: &[Evidence],
    now: Millis,
) -> Option<Wait> {
    let Some(withdrawn) = times.withdrawn else {
        return Some(Wait::Withdrawal);
    };
    if notice == Notice::Pending {
        return Some(Wait::Notice);
    }
    if settings.unknown > 0 {
        return Some(Wait::Unknown);
    }
    if evidence.len() < settings.connections.len() {
        return Some(Wait::Sample);
    }
    let holding = evidence
        .iter()
        .map(|one| one.counts.holding)
        .max()
        .unwrap_or(0);
    if holding > 0 {
        return Some(Wait::Connections(holding));
    }
    let minimum = settings.min - (now - withdrawn);
    let disturbed = evidence.iter().filter_map(|one| one.disturbed).max();
    let arrival = evidence
        .iter()
        .filter_map(|one| one.arrival)
        .filter(|at| at - withdrawn <= settings.arrivals)
        .max();
    let since = disturbed
        .max(arrival)
        .unwrap_or(times.heard)
        .max(times.heard);
    let quiet = if settings.connections.is_empty() {
        0
    } else {
        settings.quiet - (now - since)
    };
    if quiet > 0 && quiet >= minimum {
        let new = arrival.is_some() && arrival > disturbed && arrival > Some(times.heard);
        return Some(if new {
            Wait::Arrivals(quiet)
        } else {
            Wait::Quiet(quiet)
        });
    }
    (minimum > 0).then_some(Wait::Minimum(minimum))
}

#[cfg(test)]
mod tests;
