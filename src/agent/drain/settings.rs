//! The part of `spec.drain` that the agent goes by, read once.

use super::super::activity::{Millis, Rules};
use super::super::question::Question;
use crate::api::v1alpha1::{Confirmation, Connections, Drain, OnError, OnTimeout};

/// The part of `spec.drain` that the agent goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The length after which the drain ends, done or not.
    pub timeout: Millis,
    /// It goes on after that until its work is over: the deadline is the operator's to act on. Only a drain
    /// that runs sees its work end, and an end of the agent is followed by the kubelet's back-off.
    pub outlasts: bool,
    /// Least time out of service.
    pub min: Millis,
    /// For how long the confirmations must hold.
    pub quiet: Millis,
    /// For how long new connections may restart the quiet time.
    pub arrivals: Millis,
    /// The confirmations by connections.
    pub connections: Vec<Awaited<Connections>>,
    /// Those that ask the application.
    pub questions: Vec<Awaited<Question>>,
    /// Confirmations of a kind that this agent does not know: they never hold.
    pub unknown: usize,
    /// Which of the two ways out of service the drain is.
    pub way: Way,
}

/// Which of the two ways out of service a drain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Planned: the pod lives while it drains.
    Readiness,
    /// Within the grace period of a pod that was deleted.
    Termination,
}

/// A confirmation, and on what terms it is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaited<T> {
    /// The confirmation.
    pub what: T,
    /// For how long it is waited for, where that is not as long as the drain may take.
    pub timeout: Option<Millis>,
    /// An error does not hold the drain.
    pub ignores_errors: bool,
}

impl<T> Awaited<T> {
    fn new(what: T, of: &Confirmation) -> Self {
        Self {
            what,
            timeout: of.timeout_seconds.map(millis),
            ignores_errors: of.on_error == OnError::Ignore,
        }
    }

    /// Whether it is still waited for, so long after the drain was heard of.
    #[must_use]
    pub fn is_awaited(&self, elapsed: Millis) -> bool {
        self.timeout.is_none_or(|timeout| elapsed < timeout)
    }
}

impl Settings {
    /// Reads the settings. On the host's network connections cannot confirm, since the table is the
    /// node's: what is absent there means `minSeconds` only. What a pod condition confirms is the
    /// operator's to judge.
    #[must_use]
    pub fn new(drain: &Drain, way: Way, host_network: bool) -> Self {
        let default = Confirmation {
            connections: Some(Connections::default()),
            ..Confirmation::default()
        };
        let all = match &drain.confirm {
            Some(list) => list.clone(),
            None if host_network => Vec::new(),
            None => vec![default],
        };
        let mut settings = Self {
            timeout: millis(match way {
                Way::Readiness => drain.timeout_seconds,
                Way::Termination => drain.deletion_timeout_seconds,
            }),
            outlasts: way == Way::Readiness && drain.on_timeout == OnTimeout::Pause,
            min: millis(drain.min_seconds),
            quiet: millis(drain.quiet_seconds),
            arrivals: millis(drain.arrivals_seconds),
            connections: Vec::new(),
            questions: Vec::new(),
            unknown: 0,
            way,
        };
        for one in &all {
            settings.add(one);
        }
        settings
    }

    fn add(&mut self, one: &Confirmation) {
        let page = one.http_get.clone().map(Question::HttpGet);
        let number = one.metric.clone().map(Question::Metric);
        let questions = page.into_iter().chain(number);
        let before = self.connections.len() + self.questions.len();
        self.connections
            .extend(one.connections.clone().map(|what| Awaited::new(what, one)));
        self.questions
            .extend(questions.map(|what| Awaited::new(what, one)));
        let is_known = self.connections.len() + self.questions.len() > before;
        if !is_known && one.condition.is_none() {
            self.unknown += 1;
        }
    }

    /// The rules by which one confirmation judges connections.
    #[must_use]
    pub fn rules(&self, of: &Connections, quick_acks: u32) -> Rules {
        Rules {
            quiet: self.quiet,
            unresponsive: millis(of.unresponsive_seconds),
            keep_alive: of.keep_alive,
            quick_acks,
        }
    }
}

fn millis(seconds: i32) -> Millis {
    Millis::from(seconds.max(0)) * 1000
}
