//! One drain, judged: what it waits for, or how it ended. Pure; the time is an input, and nothing is
//! remembered here but what the arguments carry, so settings that change are in force at once.

mod settings;
pub mod standing;

use std::fmt;

use super::activity::Millis;
use super::activity::census::Evidence;
use super::question::{Asked, Why};
use crate::api::receipt::Outcome;

pub use settings::{Awaited, Settings, Way};

/// What the confirmations have come to, as far as it was looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// That of each confirmation by connections; empty where there is none yet or the last sample
    /// failed.
    pub evidence: &'a [Evidence],
    /// The last sample failed.
    pub is_unreadable: bool,
    /// The answers to each question.
    pub asked: &'a [Asked],
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
    /// The answer to the question of this number, for this reason.
    Answer(usize, Why),
    /// That question's answer once more: all has held for long enough, and an end is believed on a fresh
    /// answer alone.
    FreshAnswer(usize),
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
            Self::Answer(_, why) => write!(f, "the application: {why}"),
            Self::FreshAnswer(_) => write!(f, "a last answer of the application"),
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

/// Judges a drain.
#[must_use]
pub fn judge(
    settings: &Settings,
    times: Times,
    notice: Notice,
    seen: Seen<'_>,
    now: Millis,
) -> Verdict {
    let unresponsive = seen.evidence.iter().any(|one| one.counts.unresponsive > 0);
    let done = if is_given_up(settings, times, seen, now) {
        Outcome::TimedOut
    } else if unresponsive {
        Outcome::Unresponsive
    } else {
        Outcome::Drained
    };
    let Some(wait) = wait(settings, times, notice, seen, now) else {
        return Verdict::Ended(done);
    };
    if settings.outlasts || now - times.heard < settings.timeout {
        return Verdict::Waits(wait);
    }
    // minSeconds is for routes and says nothing of work. It counts from the first 503, the timeout
    // from hearing: where both are as long, an idle pod must not look overdue.
    let of_work = Settings {
        min: 0,
        ..settings.clone()
    };
    Verdict::Ended(match self::wait(&of_work, times, notice, seen, now) {
        None => done,
        Some(_) => Outcome::TimedOut,
    })
}

/// A confirmation is waited for no longer, and has not held for the quiet time.
fn is_given_up(settings: &Settings, times: Times, seen: Seen<'_>, now: Millis) -> bool {
    let elapsed = now - times.heard;
    let is_quiet = |since: Millis| now - since >= settings.quiet;
    let connections = settings.connections.iter().enumerate().any(|(at, one)| {
        let is_done = match seen.evidence.get(at) {
            None => seen.is_unreadable && one.ignores_errors,
            Some(it) => it.counts.holding == 0 && it.disturbed.is_none_or(is_quiet),
        };
        !one.is_awaited(elapsed) && !is_done
    });
    let questions = settings.questions.iter().enumerate().any(|(at, one)| {
        let held = seen.asked.get(at).and_then(|asked| asked.held);
        !one.is_awaited(elapsed) && !held.is_some_and(is_quiet)
    });
    connections || questions
}

/// What is waited for, the most telling first; `None` where nothing is.
fn wait(
    settings: &Settings,
    times: Times,
    notice: Notice,
    seen: Seen<'_>,
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
    let elapsed = now - times.heard;
    let connections = match awaited_evidence(settings, seen, elapsed) {
        Ok(connections) => connections,
        Err(wait) => return Some(wait),
    };
    let questions = match awaited_answers(settings, seen, elapsed) {
        Ok(questions) => questions,
        Err(wait) => return Some(wait),
    };
    let disturbed = connections.iter().filter_map(|one| one.disturbed).max();
    let arrival = connections
        .iter()
        .filter_map(|one| one.arrival)
        .filter(|at| at - withdrawn <= settings.arrivals)
        .max();
    let looked = disturbed.max(arrival).max(Some(times.heard));
    let answered = questions.iter().map(|(_, held, _)| *held).max();
    let since = looked.filter(|_| !connections.is_empty()).max(answered);
    let quiet = since.map_or(Millis::MIN, |since| since + settings.quiet);
    let minimum = withdrawn + settings.min;
    if quiet > now && quiet >= minimum {
        let new = arrival.is_some() && arrival > disturbed && arrival > Some(times.heard);
        return Some(if new && arrival >= answered {
            Wait::Arrivals(quiet - now)
        } else {
            Wait::Quiet(quiet - now)
        });
    }
    if minimum > now {
        return Some(Wait::Minimum(minimum - now));
    }
    let stale = questions
        .iter()
        .find(|(.., asked)| *asked < quiet.max(minimum));
    stale.map(|(at, ..)| Wait::FreshAnswer(*at))
}

/// What the connections that are waited for have come to, once there is nothing to do on any.
fn awaited_evidence<'a>(
    settings: &Settings,
    seen: Seen<'a>,
    elapsed: Millis,
) -> Result<Vec<&'a Evidence>, Wait> {
    let mut found = Vec::new();
    for (at, one) in settings.connections.iter().enumerate() {
        match seen.evidence.get(at) {
            _ if !one.is_awaited(elapsed) => {}
            Some(evidence) => found.push(evidence),
            None if seen.is_unreadable && one.ignores_errors => {}
            None => return Err(Wait::Sample),
        }
    }
    match found.iter().map(|one| one.counts.holding).max() {
        Some(holding) if holding > 0 => Err(Wait::Connections(holding)),
        _ => Ok(found),
    }
}

/// The questions that are waited for, once all of them hold: number, since when, and when it was asked
/// last.
fn awaited_answers(
    settings: &Settings,
    seen: Seen<'_>,
    elapsed: Millis,
) -> Result<Vec<(usize, Millis, Millis)>, Wait> {
    let all = settings.questions.iter().enumerate();
    let awaited = all.filter(|(_, one)| one.is_awaited(elapsed));
    awaited
        .map(|(at, _)| {
            let asked = seen.asked.get(at).copied().unwrap_or_default();
            let why = asked.why().unwrap_or(Why::Unasked);
            let held = asked.held.ok_or(Wait::Answer(at, why))?;
            Ok((at, held, asked.asked))
        })
        .collect()
}

#[cfg(test)]
mod tests;
