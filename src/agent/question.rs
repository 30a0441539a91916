//! What the agent asks the application: whether a page answers well, whether a number is low enough.
//! What an answer means and when the next question is due are decided here. Pure; the time is an input.

use std::time::Duration;

use thiserror::Error;

use super::activity::Millis;
use crate::api::v1alpha1::{HttpPort, Metric};

/// Longest name of a confirmation in a receipt, in bytes.
const NAME: usize = 64;

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// The same where nothing else is waited for.
const SHORT_PAUSE: Duration = Duration::from_millis(250);

/// The longest, however much a question costs: sixteen pages of 4 MiB at a time take half a second of the
/// processor. Longer, and a drain would be done long before anybody asks.
const LONG_PAUSE: Duration = Duration::from_secs(60);

/// All questions may take this part of the time, as the looks at the connections may.
const SHARE: u32 = 125;

/// A question to the application, on a port of the pod itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Does the page answer 200 to 299?
    HttpGet(HttpPort),
    /// Is the number low enough?
    Metric(Metric),
}

impl Question {
    /// Port of the pod.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::HttpGet(HttpPort { port, .. }) | Self::Metric(Metric { port, .. }) => *port,
        }
    }

    /// Path on it.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::HttpGet(HttpPort { path, .. }) | Self::Metric(Metric { path, .. }) => path,
        }
    }

    /// How it is called where people read of it: `httpGet :9000/idle`, `metric jobs_running`. Short, and
    /// without what JSON would escape.
    #[must_use]
    pub fn name(&self) -> String {
        let name = match self {
            Self::HttpGet(HttpPort { port, path }) => format!("httpGet :{port}{path}"),
            Self::Metric(metric) => format!("metric {}", metric.name),
        };
        let plain = |c: char| {
            let is_plain = (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\';
            if is_plain { c } else { '?' }
        };
        name.chars().map(plain).take(NAME).collect()
    }
}

/// Why a confirmation does not hold, in words. Nothing of the answer stands in them but its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Why {
    /// It has not been asked yet.
    #[error("was not answered yet")]
    Unasked,
    /// No connection.
    #[error("nobody listens on its port")]
    NobodyListens,
    /// The time is up.
    #[error("no answer within 2 s")]
    TooSlow,
    /// No HTTP, or only the beginning of it.
    #[error("the answer breaks off or is not HTTP")]
    Broken,
    /// The path cannot be sent.
    #[error("the path cannot be sent")]
    Unsendable,
    /// 3xx.
    #[error("answered {0}: redirects are not followed")]
    Redirect(u16),
    /// Any other status that is no success.
    #[error("answered {0}")]
    Status(u16),
    /// More than is read.
    #[error("the answer is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    /// Compressed, which nobody asked for.
    #[error("the answer is encoded")]
    Encoded,
    /// OpenMetrics without its end, or a last line that may go on.
    #[error("the page ends without # EOF, or within a line")]
    CutOff,
    /// No series.
    #[error("the page has no series of that name with these labels")]
    Missing,
    /// A line of that name.
    #[error("a line of that name cannot be read")]
    Unreadable,
    /// NaN.
    #[error("the sum is not a number")]
    NotANumber,
    /// The work goes on.
    #[error("the sum is above atMost")]
    Above,
}

/// What a question came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The work is over.
    Done,
    /// It goes on.
    NotYet(Why),
    /// Nothing can be said.
    Error(Why),
}

/// What is known from the answers to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The last answer.
    pub answer: Answer,
    /// When the question was asked that was answered last.
    pub asked: Millis,
    /// Since when every answer has held; `None` where the last one did not.
    pub held: Option<Millis>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            answer: Answer::NotYet(Why::Unasked),
            asked: Millis::MIN,
            held: None,
        }
    }
}

impl Asked {
    /// Takes in an answer that came `now`. An error holds where it is to be ignored.
    pub fn take(&mut self, answer: Answer, asked: Millis, now: Millis, ignores_errors: bool) {
        let holds = match answer {
            Answer::Done => true,
            Answer::NotYet(_) => false,
            Answer::Error(_) => ignores_errors,
        };
        *self = Self {
            answer,
            asked,
            held: holds.then(|| self.held.unwrap_or(now)),
        };
    }

    /// Why it does not hold, or holds though nothing could be said.
    #[must_use]
    pub fn why(&self) -> Option<Why> {
        match self.answer {
            Answer::Done => None,
            Answer::NotYet(why) | Answer::Error(why) => Some(why),
        }
    }
}

/// How long after its answer a question is due again. `cost` is the processor time that all questions took
/// when they were last asked; `is_last` where nothing else is waited for.
#[must_use]
pub fn pause(cost: Duration, is_last: bool) -> Duration {
    let least = if is_last { SHORT_PAUSE } else { PAUSE };
    (cost * SHARE).clamp(least, LONG_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold_from_the_first_that_holds() {
        let mut asked = Asked::default();
        assert_eq!(asked.why(), Some(Why::Unasked));
        asked.take(Answer::Done, 10, 12, false);
        asked.take(Answer::Done, 20, 22, false);
        assert_eq!((asked.held, asked.asked), (Some(12), 20));
        asked.take(Answer::NotYet(Why::Above), 30, 32, false);
        assert_eq!((asked.held, asked.why()), (None, Some(Why::Above)));
        asked.take(Answer::Done, 40, 42, false);
        assert_eq!(asked.held, Some(42));
    }

    #[test]
    fn errors_hold_only_where_they_are_ignored() {
        let mut asked = Asked::default();
        asked.take(Answer::Error(Why::Missing), 10, 12, false);
        assert_eq!(asked.held, None);
        asked.take(Answer::Error(Why::Missing), 20, 22, true);
        assert_eq!((asked.held, asked.why()), (Some(22), Some(Why::Missing)));
        asked.take(Answer::NotYet(Why::Status(503)), 30, 32, true);
        assert_eq!(asked.held, None);
    }

    #[test]
    fn costly_questions_are_seldom_asked() {
        assert_eq!(pause(Duration::from_micros(300), false), PAUSE);
        assert_eq!(pause(Duration::from_micros(300), true), SHORT_PAUSE);
        assert_eq!(
            pause(Duration::from_millis(16), true),
            Duration::from_secs(2)
        );
        assert_eq!(pause(Duration::from_secs(1), true), LONG_PAUSE);
    }

    /// T13.
    #[test]
    fn names_are_short_and_plain() {
        let path = format!("/a\"\\\u{1b}\u{e4}{}", "x".repeat(2000));
        let name = Question::HttpGet(HttpPort { port: 9000, path }).name();
        assert!(name.starts_with("httpGet :9000/a????xx"), "{name}");
        assert_eq!(name.len(), NAME);
        assert_eq!(serde_json::to_string(&name).unwrap().len(), NAME + 2);
    }
}
