//! The application's end, watched: from when a hook says that its container is about to be ended until the
//! kubelet ends the agent, which it does once the application's containers are gone.
//!
//! What can be known of connections to others: the kernel closes those that a process leaves open when it
//! ends, as an application does that closes them in order a moment before. So none is called left open
//! but where the application was killed, which the operator knows by its exit code, or where its protocol has
//! a goodbye that every client says and none was said. What ends by a reset leaves no trace and counts
//! nowhere, nor do connections to addresses of the pod itself.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::activity::Millis;
use super::clock::Clock;
use super::confirm::{Confirmations, Own};
use super::drain::{Settings, Way};
use super::memory::{Memory, Serving};
use super::sockets::closed::{Closed, Closings, End, remains};
use super::sockets::local;
use super::words::Word;
use crate::api::farewell::{Exit, Farewell};
use crate::api::receipt::Receipt;
use crate::api::v1alpha1::Drain;

/// Ports of protocols whose clients all say goodbye before they close: MySQL (`COM_QUIT`), PostgreSQL
/// (`Terminate`), AMQP (`close`). One that listens elsewhere is not recognised.
const SAY_GOODBYE: [u16; 3] = [3306, 5432, 5672];

/// For so many milliseconds nothing must have been sent on a connection that ended without a goodbye, which
/// is said a round trip before. Longer, and a pool whose connection a probe uses each second is not seen.
const SILENCE: u32 = 500;

/// What was closed in this time before the agent was told to end, ended with the application: the kubelet
/// notices the end of a container within milliseconds, on a busy node within a second.
const RECENT: u32 = 1500;

/// An application that has come to the end of its grace period is killed up to a second after the agent is told
/// to end: the kubelet takes a hook's time off it in whole seconds, rounded down. The agent has two seconds;
/// shorter, and pools of such an application are not seen to be left open, longer, and nothing is said at all.
const PATIENCE: Duration = Duration::from_millis(1600);

/// The same where the application cannot have been killed: what is open still is another sidecar's, which ends
/// after the agent.
const BRIEF: Duration = Duration::from_millis(300);

/// The kubelet kills no container sooner than two seconds after its SIGTERM, of which the agent sees one at least.
const SOONEST_KILL: u64 = 1000;

/// Between two looks at whether it is gone.
const PAUSE: Duration = Duration::from_millis(25);

/// Announcements are taken off the kernel's hands this often: it keeps some hundred.
pub const TICK: Duration = Duration::from_millis(50);

/// A hook that has told nothing more for so long, and no end of the agent since: one container was
/// restarted, for its liveness probe failed, and the pod lives on. What comes later is another departure.
const STALE: Millis = 120_000;

/// So many connections of these protocols are kept in mind.
const MOST: usize = 4096;

/// The application's end, as far as it has been watched.
pub struct Departure {
    closings: Option<Closings>,
    silent: Vec<Closed>,
    settings: Settings,
    confirmations: Confirmations,
    ending: Option<Millis>,
    told: Millis,
    next_look: Millis,
    busy: u32,
}

impl Departure {
    /// Begins to watch. What the application listened on a drain may remember: it may have closed its
    /// listeners by the first look.
    #[must_use]
    pub fn begin(memory: &Memory, drain: Drain, serving: &Serving, now: Millis) -> Self {
        let host_network = serving.port.is_none();
        let listened = memory.mark().map(|mark| mark.listened);
        // Whatever confirms a drain, what is cut is connections.
        let drain = Drain {
            confirm: None,
            ..drain
        };
        let closings = (!host_network).then(Closings::open);
        let closings = closings.and_then(|opened| {
            let told = opened.inspect_err(|error| eprintln!("hear of closed connections: {error}"));
            told.ok()
        });
        Self {
            closings,
            silent: Vec::new(),
            settings: Settings::new(&drain, Way::Termination, host_network),
            confirmations: Confirmations::new(listened.unwrap_or_default(), None),
            ending: None,
            told: now,
            next_look: Millis::MIN,
            busy: 0,
        }
    }

    /// It has gone on for so long without a word that it may be none.
    #[must_use]
    pub fn is_stale(&self, now: Millis) -> bool {
        now - self.told > STALE
    }

    /// A hook has said something.
    pub fn heed(&mut self, word: Word, now: Millis) {
        self.told = now;
        if word == Word::Ending {
            self.ending.get_or_insert(now);
        }
    }

    /// Takes in what has happened, and looks at the connections when that is due.
    pub fn look(&mut self, serving: &Serving, clock: &Clock) {
        self.listen();
        if self.is_stale(clock.now()) {
            self.closings = None;
        }
        if clock.now() < self.next_look {
            return;
        }
        let own = Own {
            port: serving.port,
            kubelet: serving.kubelet,
            accepted: 0,
        };
        let sample = self
            .confirmations
            .sample(&self.settings, &own, || clock.now());
        if sample.is_ok() {
            self.busy = self.confirmations.busy();
        }
        self.next_look = clock.now() + self.confirmations.pace.millis();
    }

    fn listen(&mut self) {
        let Some(closings) = &mut self.closings else {
            return;
        };
        let silent = &mut self.silent;
        let read = closings.read(&mut |closed| {
            let is_silent = closed.sent_ago >= SILENCE;
            if is_silent && SAY_GOODBYE.contains(&closed.peer.port()) && silent.len() < MOST {
                silent.push(closed);
            }
        });
        if let Err(error) = read {
            // What was lost may be anything: what is known of the others stays true.
            eprintln!("hear of closed connections: {error}");
        }
    }
}

/// How the application has ended, now that the agent is told to end.
pub async fn exit(watched: Option<Departure>, serving: &Serving, clock: &Clock) -> Exit {
    let now = clock.now();
    let ending = watched.as_ref().and_then(|it| it.ending);
    let mut exit = Exit {
        shutdown: ending.and_then(|ending| u64::try_from(now - ending).ok()),
        busy: watched.as_ref().map_or(0, |it| it.busy),
        ..Exit::default()
    };
    let Some(port) = serving.port else {
        // On the host's network the connections are the node's.
        return exit;
    };
    let sides = Sides::of_pod(port);
    let mut left = sides.look(RECENT);
    let patience = patience(exit.shutdown);
    let told = tokio::time::Instant::now();
    while left.as_ref().is_ok_and(|left| left.is_alive) && told.elapsed() < patience {
        sleep(PAUSE).await;
        let since = u32::try_from(told.elapsed().as_millis()).unwrap_or(u32::MAX);
        left = sides.look(RECENT.saturating_add(since));
    }
    let Ok(left) = left.inspect_err(|error| eprintln!("look at what is left: {error}")) else {
        return exit;
    };
    let mut silent = Vec::new();
    if let Some(mut watched) = watched {
        watched.listen();
        silent = watched.silent;
    }
    left.tell(&silent, &mut exit);
    exit
}

/// How long to wait for the end of connections, so many milliseconds after SIGTERM, where that is known.
fn patience(shutdown: Option<u64>) -> Duration {
    match shutdown {
        Some(shutdown) if shutdown < SOONEST_KILL => BRIEF,
        _ => PATIENCE,
    }
}

/// The termination message: how the application ended, and the receipt of a drain that was under way.
#[must_use]
pub fn last_words(uid: &str, exit: Exit, receipt: Option<&Receipt>) -> String {
    let uid = uid.to_owned();
    let mut words = json!(Farewell { uid, exit });
    if let (Some(words), Value::Object(receipt)) = (words.as_object_mut(), json!(receipt)) {
        words.extend(receipt);
    }
    words.to_string()
}

/// Which side of a connection is whose, by its ports alone: the listeners are gone with the application.
struct Sides {
    own: Vec<IpAddr>,
    agent: u16,
    /// The first and the last port that the kernel gives to connections to others.
    given: (u16, u16),
}

/// What the application has left behind.
#[derive(Debug, Default)]
struct Left {
    /// It has connections still, or the end of one to others is under way.
    is_alive: bool,
    /// Connections to others that ended with it: both ends.
    ended: BTreeSet<(SocketAddr, SocketAddr)>,
}

impl Sides {
    fn of_pod(agent: u16) -> Self {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = range.unwrap_or_default();
        let mut ports = range.split_whitespace().map(|word| word.parse().ok());
        let (first, last) = (ports.next().flatten(), ports.next().flatten());
        Self {
            own: local::addresses(),
            agent,
            given: (first.unwrap_or(32_768), last.unwrap_or(60_999)),
        }
    }

    /// From this pod to another, so that nothing that came in is taken for it.
    fn is_outgoing(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        let (first, last) = self.given;
        (first..=last).contains(&local.port()) && peer.port() < first && !self.is_own(peer)
    }

    fn is_own(&self, peer: SocketAddr) -> bool {
        peer.ip().is_loopback() || self.own.contains(&peer.ip())
    }

    /// What was closed longer ago than that did not end with the application.
    fn look(&self, recent: u32) -> io::Result<Left> {
        let mut left = Left::default();
        let looked = remains(&mut |remain| match remain.end {
            End::Open => {
                left.is_alive |= remain.local.port() != self.agent && !self.is_own(remain.peer);
            }
            End::Closing => left.is_alive |= self.is_outgoing(remain.local, remain.peer),
            End::Closed(ago) if ago <= recent && self.is_outgoing(remain.local, remain.peer) => {
                left.ended.insert((remain.local, remain.peer));
            }
            End::Closed(_) => {}
        });
        looked.map_err(io::Error::other)?;
        Ok(left)
    }
}

impl Left {
    fn tell(&self, silent: &[Closed], exit: &mut Exit) {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let pools: BTreeSet<_> = self.ended.iter().map(|(_, peer)| peer).collect();
        let is_left = |one: &&Closed| self.ended.contains(&(one.local, one.peer));
        let unsaid: BTreeSet<_> = silent.iter().filter(is_left).map(|one| one.peer).collect();
        exit.open = count(self.ended.len());
        exit.pools = count(pools.len());
        exit.silent = count(unsaid.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides() -> Sides {
        Sides {
            own: vec!["10.0.0.7".parse().unwrap()],
            agent: 15990,
            given: (32_768, 60_999),
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_leads_from_the_pod_to_others_is_outgoing() {
        let is_outgoing = |local: &str, peer: &str| sides().is_outgoing(at(local), at(peer));
        assert!(is_outgoing("10.0.0.7:40000", "10.0.0.9:5432"));
        assert!(!is_outgoing("10.0.0.7:8080", "10.0.0.9:40000"));
        assert!(!is_outgoing("10.0.0.7:40000", "127.0.0.1:5432"));
        assert!(!is_outgoing("10.0.0.7:40000", "10.0.0.7:5432"));
        assert!(!is_outgoing("10.0.0.7:40000", "10.0.0.9:41000"));
    }

    #[test]
    fn an_application_that_may_be_killed_yet_is_waited_for_within_the_agents_own_two_seconds() {
        assert_eq!(patience(Some(SOONEST_KILL - 1)), BRIEF);
        // A hook of 1.9 s counts as one second.
        for shutdown in [None, Some(SOONEST_KILL), Some(60_000)] {
            let patience = patience(shutdown);
            assert!(patience > Duration::from_millis(1300), "{patience:?}");
            assert!(patience < Duration::from_millis(1800), "{patience:?}");
        }
    }

    #[test]
    fn a_pool_is_silent_only_where_a_connection_of_it_ended_with_the_application() {
        let end = |port: u16, peer: &str| (SocketAddr::new(sides().own[0], port), at(peer));
        let closed = |(local, peer)| Closed {
            local,
            peer,
            sent_ago: 5000,
        };
        let (one, other) = (end(40_000, "10.0.0.9:5432"), end(40_001, "10.0.0.9:5432"));
        let earlier = end(40_002, "10.0.0.8:5432");
        let redis = end(40_003, "10.0.0.8:6379");
        let left = Left {
            is_alive: false,
            ended: BTreeSet::from([one, other, redis]),
        };
        let mut exit = Exit::default();
        left.tell(&[closed(one), closed(other), closed(earlier)], &mut exit);
        assert_eq!((exit.open, exit.pools, exit.silent), (3, 2, 1));
    }
}
