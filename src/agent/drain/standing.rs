//! Where each confirmation of a drain stands, in words: what the progress page lists, and which one the
//! receipt names. Pure.

use serde::Serialize;

use super::super::activity::Millis;
use super::super::activity::census::Evidence;
use super::settings::{Awaited, Settings};
use super::{Seen, Times};
use crate::api::receipt::Outcome;
use crate::api::v1alpha1::Connections;

/// Where one confirmation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What it is called: `connections`, `httpGet :9000/idle`, `metric jobs_running`.
    pub name: String,
    /// Whether it holds.
    pub state: State,
    /// Why it does not hold, or holds all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when it holds.
    #[serde(skip)]
    since: Millis,
}

/// Whether a confirmation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// It says that the work is over.
    Holds,
    /// It is waited for.
    Waits,
    /// It does not hold, and is waited for no longer: its timeoutSeconds have passed.
    GivenUp,
    /// Nothing can be said, and that does not matter: onError is Ignore.
    Ignored,
}

/// Where every confirmation stands.
#[must_use]
pub fn standings(settings: &Settings, times: Times, seen: Seen<'_>, now: Millis) -> Vec<Standing> {
    let connections = settings.connections.iter().enumerate();
    let connections = connections.map(|(at, one)| {
        let (holds, why, since) = of_connections(one, seen, seen.evidence.get(at));
        let name = name_of(settings, &one.what);
        stand(name, one.is_awaited(now - times.heard), (holds, why, since))
    });
    let questions = settings
        .questions
        .iter()
        .zip(seen.asked)
        .map(|(one, asked)| {
            let why = asked.why().map(|why| why.to_string());
            let held = (asked.held.is_some(), why, asked.held.unwrap_or_default());
            stand(one.what.name(), one.is_awaited(now - times.heard), held)
        });
    let unknown = (0..settings.unknown).map(|_| {
        let why = "this agent does not know its kind".to_owned();
        stand("confirmation".into(), true, (false, Some(why), 0))
    });
    connections.chain(questions).chain(unknown).collect()
}

/// The one that the receipt names, and why: on a drain that timed out the first that does not hold, else
/// one that was ignored, else the one that held last.
#[must_use]
pub fn last(mut all: Vec<Standing>, outcome: Outcome) -> Option<(String, Option<String>)> {
    let is_late = |one: &Standing| matches!(one.state, State::Waits | State::GivenUp);
    let late = all
        .iter()
        .position(|one| outcome == Outcome::TimedOut && is_late(one));
    let ignored = || all.iter().position(|one| one.state == State::Ignored);
    let newest = || {
        let times = all.iter().enumerate();
        times.max_by_key(|(_, one)| one.since).map(|(at, _)| at)
    };
    let at = late.or_else(ignored).or_else(newest)?;
    let one = all.swap_remove(at);
    Some((one.name, one.why))
}

type Held = (bool, Option<String>, Millis);

fn stand(name: String, is_awaited: bool, (holds, why, since): Held) -> Standing {
    let state = match (holds, &why, is_awaited) {
        (true, None, _) => State::Holds,
        (true, Some(_), _) => State::Ignored,
        (false, _, true) => State::Waits,
        (false, _, false) => State::GivenUp,
    };
    Standing {
        name,
        state,
        why,
        since,
    }
}

fn of_connections(one: &Awaited<Connections>, seen: Seen<'_>, evidence: Option<&Evidence>) -> Held {
    let Some(evidence) = evidence else {
        let why = if seen.is_unreadable {
            "the socket table cannot be read"
        } else {
            "was not looked at yet"
        };
        return (
            seen.is_unreadable && one.ignores_errors,
            Some(why.into()),
            0,
        );
    };
    let since = evidence.disturbed.unwrap_or_default();
    match evidence.counts.holding {
        0 => (true, None, since),
        holding => {
            let plural = if holding == 1 { "" } else { "s" };
            (
                false,
                Some(format!("{holding} connection{plural} with work")),
                since,
            )
        }
    }
}

/// `connections`, with the first ports where there are several such confirmations.
fn name_of(settings: &Settings, one: &Connections) -> String {
    /// More would not fit into a receipt.
    const MOST: usize = 4;
    if settings.connections.len() < 2 || one.ports.is_empty() {
        return "connections".into();
    }
    let ports = one.ports.iter().take(MOST).map(ToString::to_string);
    format!("connections :{}", ports.collect::<Vec<_>>().join(","))
}
