//! The confirmations of one drain, read from inside the pod: takes a sample of the socket table and
//! hands it to each census, and asks the application. IO only; what a sample means is decided in
//! [`super::activity`], what an answer means in [`super::question`].

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use super::activity::Millis;
use super::activity::arrivals::passive_opens;
use super::activity::census::{Census, Evidence, Scope};
use super::ask::Asking;
use super::clock::processor_time;
use super::drain::{Awaited, Seen, Settings, Verdict, Wait, Way};
use super::pace::Pace;
use super::question::{Asked, pause};
use super::sockets::{SocketsError, State, Table, local};
use crate::api::receipt::MeasuredBy;

/// Requests of a connection that kernels before 6.7 acknowledge at once; later ones tell their own
/// number.
const QUICK_ACKS_OF_OLD: u32 = 3;

/// What the agent knows of itself, so that it does not take itself for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Its port.
    pub port: Option<u16>,
    /// Where the probes on that port come from.
    pub kubelet: Option<IpAddr>,
    /// Connections that it has accepted since the last sample.
    pub accepted: u32,
}

/// `/proc/net/snmp`, kept open: a look opens, sizes and closes no file for one number.
struct Snmp {
    file: Option<File>,
    /// Room for twice the lines up to TCP's, were all their numbers the largest.
    buffer: Vec<u8>,
}

impl Snmp {
    fn open() -> Self {
        Self {
            file: File::open("/proc/net/snmp").ok(),
            buffer: vec![0; 4096],
        }
    }

    fn passive_opens(&mut self) -> Option<u64> {
        let length = self.file.as_ref()?.read_at(&mut self.buffer, 0).ok()?;
        let text = std::str::from_utf8(self.buffer.get(..length)?).ok()?;
        passive_opens(text)
    }
}

/// The confirmations of one drain.
pub struct Confirmations {
    table: Table,
    snmp: Snmp,
    censuses: Vec<Census>,
    addresses: Vec<IpAddr>,
    quick_acks: u32,
    evidence: Vec<Evidence>,
    /// How the table was read.
    pub measured_by: MeasuredBy,
    /// Connections in the first sample.
    pub at_start: Option<u32>,
    /// How often a sample is taken.
    pub pace: Pace,
    /// Local ports whose connections matter: those asked for, and all that were ever listened on, on
    /// loopback too.
    ports: BTreeSet<u16>,
    /// Whether the last sample could be taken.
    is_fresh: bool,
    /// Whether one was tried.
    is_tried: bool,
    listened: Vec<u16>,
    asking: Vec<Asking>,
    /// What is known of each question.
    asked: Vec<Asked>,
    /// Connections that were opened for questions since the last sample.
    opened: Rc<Cell<u32>>,
}

impl Confirmations {
    /// Begins anew, or goes on after a restart with the ports that were listened on then.
    #[must_use]
    pub fn new(listened: Vec<u16>, at_start: Option<u32>) -> Self {
        let threshold = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_pingpong_thresh");
        let threshold = threshold.ok().and_then(|text| text.trim().parse().ok());
        Self {
            table: Table::open(),
            snmp: Snmp::open(),
            censuses: Vec::new(),
            addresses: local::addresses(),
            quick_acks: threshold.unwrap_or(QUICK_ACKS_OF_OLD),
            evidence: Vec::new(),
            measured_by: MeasuredBy::Nothing,
            at_start,
            pace: Pace::default(),
            ports: listened.iter().copied().collect(),
            is_fresh: false,
            is_tried: false,
            listened,
            asking: Vec::new(),
            asked: Vec::new(),
            opened: Rc::default(),
        }
    }

    /// Takes a sample. No confirmation by connections, no sample.
    ///
    /// # Errors
    /// When the table cannot be read: the evidence stays as it was.
    pub fn sample(
        &mut self,
        settings: &Settings,
        own: &Own,
        clock: impl Fn() -> Millis,
    ) -> Result<(), SocketsError> {
        if self.censuses.len() != settings.connections.len() {
            let census = Census::new(self.listened());
            self.censuses = vec![census; settings.connections.len()];
            self.evidence.clear();
        }
        if settings.connections.is_empty() {
            self.pace.note(processor_time());
            return Ok(());
        }
        self.is_tried = true;
        let named = settings.connections.iter();
        self.ports.extend(named.flat_map(|one| &one.what.ports));
        if !self.evidence.is_empty() {
            // From the second sample on: the first one tells which ports are listened on.
            self.table.narrow(&self.ports);
        }
        self.is_fresh = false;
        let now = clock();
        let mut sides: Vec<_> = settings
            .connections
            .iter()
            .zip(&mut self.censuses)
            .map(|(Awaited { what: one, .. }, census)| {
                census.begin();
                let mut scope = Scope::new(one, own.port, self.addresses.clone());
                scope.kubelet = own.kubelet;
                (census, scope, settings.rules(one, self.quick_acks))
            })
            .collect();
        let ports = &mut self.ports;
        self.measured_by = self.table.read(&mut |reading| {
            if reading.state == State::Listen {
                ports.insert(reading.local.port());
            }
            for (census, scope, rules) in &mut sides {
                census.see(&reading, scope, now, rules);
            }
        })?;
        // The hooks of several containers ask at the same time: the kernel counts what the others opened.
        let is_alone = settings.way == Way::Readiness || settings.questions.is_empty();
        let opens = self.snmp.passive_opens().filter(|_| is_alone);
        let accepted = own.accepted.saturating_add(self.opened.take());
        self.evidence = sides
            .iter_mut()
            .map(|(census, ..)| census.end(accepted, opens, now))
            .collect();
        self.at_start = self.at_start.or(Some(self.connections()));
        self.is_fresh = true;
        self.pace.note(processor_time());
        Ok(())
    }

    /// Takes in the answers that have come.
    pub fn take_answers(&mut self, settings: &Settings, now: Millis) {
        let wanted = || settings.questions.iter().map(|one| &one.what);
        if !self.asking.iter().map(|one| &one.question).eq(wanted()) {
            self.asking = wanted().cloned().map(Asking::new).collect();
        }
        for (asking, one) in self.asking.iter_mut().zip(&settings.questions) {
            asking.take(now, one.ignores_errors);
        }
        self.asked = self.asking.iter().map(|one| one.known).collect();
    }

    /// Asks the application what is due to be asked, by where the drain stands.
    pub fn ask(&mut self, verdict: Verdict, now: Millis) {
        /// So fresh an answer needs no other, unless it is waited for.
        const FRESH: Millis = 200;
        let wait = match verdict {
            Verdict::Waits(Wait::Withdrawal | Wait::Notice) => return,
            Verdict::Waits(wait) => Some(wait),
            Verdict::Ended(_) => None,
        };
        // What all of them took: each by itself would have a share of its own.
        let cost = self.asking.iter().map(Asking::cost).sum();
        let usual = pause(cost, matches!(wait, Some(Wait::Answer(..))));
        for (at, asking) in self.asking.iter_mut().enumerate() {
            let is_urgent = match wait {
                Some(Wait::FreshAnswer(wanted)) => {
                    at == wanted || now.saturating_sub(asking.known.asked) > FRESH
                }
                _ => false,
            };
            let pause = if is_urgent { Duration::ZERO } else { usual };
            asking.ask(now, pause, &self.opened);
        }
    }

    /// Whether an answer of the application is awaited.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asking.iter().any(Asking::is_under_way)
    }

    /// What the last sample and the last answers say.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            evidence: if self.is_fresh { &self.evidence } else { &[] },
            is_unreadable: self.is_tried && !self.is_fresh,
            asked: &self.asked,
        }
    }

    /// Ports that were ever listened on during this drain.
    #[must_use]
    pub fn listened(&self) -> Vec<u16> {
        match self.censuses.first() {
            Some(census) => census.listened().collect(),
            None => self.listened.clone(),
        }
    }

    /// Inbound connections in the last sample.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.evidence
            .iter()
            .map(|one| one.counts.all())
            .max()
            .unwrap_or(0)
    }

    /// Connections whose work SIGTERM may cut: those that hold the drain and those that are
    /// unresponsive.
    #[must_use]
    pub fn busy(&self) -> u32 {
        let cut = |one: &Evidence| one.counts.holding + one.counts.unresponsive;
        self.evidence.iter().map(cut).max().unwrap_or(0)
    }
}
