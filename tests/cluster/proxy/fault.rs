//! What goes wrong, as a test says it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::About;

/// Everything that goes wrong at present.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The operator dies at a write; gone once it did.
    pub(crate) crash: Option<Crash>,
    /// What becomes of the events of watches, by resource.
    pub(crate) flows: BTreeMap<&'static str, Flow>,
    /// Requests that are refused.
    pub(crate) refusals: Vec<Refusal>,
    /// Each request waits so long.
    pub(crate) delay: Option<Duration>,
    /// Nothing answers, and nothing that was open stays so.
    pub(crate) outage: bool,
    /// How often everything was cut.
    pub(crate) cuts: usize,
    /// A list says what it said when it was asked for last.
    pub(crate) stale_lists: bool,
}

/// The operator dies at a write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    /// The write's number, counted from 1 over the proxy's life.
    pub(crate) at: usize,
    pub(crate) when: When,
    /// The operator's process.
    pub(crate) process: u32,
}

/// On which side of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the API server gets it.
    Before,
    /// After it was done, and before the operator hears of it.
    After,
}

/// What becomes of the events of a watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    #[default]
    Pass,
    /// They wait.
    Hold,
    /// They are gathered for so long; of each object only the last is told.
    Coalesce(Duration),
    /// Each is late by that much.
    Delay(Duration),
    /// They are lost. What comes next is that the API server has forgotten where the watch was (410).
    Lose,
}

/// Requests that are refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) of: fn(&About) -> bool,
    pub(crate) code: u16,
    /// Seconds that the API server asks to wait.
    pub(crate) retry_after: Option<u32>,
    /// How many of them.
    pub(crate) times: usize,
}

impl Refusal {
    pub(super) fn reason(&self) -> &'static str {
        match self.code {
            409 => "Conflict",
            429 => "TooManyRequests",
            _ => "InternalError",
        }
    }
}

/// Kills a process as the kernel would, and returns when it is dead to all that matters here: it sends
/// nothing any more.
pub(crate) fn kill(process: u32) {
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status();
    assert!(
        killed.expect("kill").success(),
        "the operator was dead already"
    );
}
