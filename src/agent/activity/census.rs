//! All inbound connections over time: which sockets count, what each is doing, and since when the
//! pod is quiet. Pure; one [`Census`] serves one `connections` confirmation.
//!
//! Memory is bounded: what does not fit among [`MOST`] remembered connections is judged by the
//! kernel's ages alone.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::arrivals::{Arrivals, New};
use super::{Class, Millis, Rules, Track, is_connection};
use crate::agent::sockets::Reading;
use crate::api::v1alpha1::Connections;

/// Connections that are remembered: 7/8 of 2^15, where the map would double. 4 MiB at most, which a
/// container limit of 16 MiB has room for.
pub const MOST: usize = 28_672;

/// Which sockets are the pod's inbound connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Ports asked for; empty means every port that is listened on.
    pub ports: Vec<u16>,
    /// Ports left out, the agent's own among them.
    pub except: Vec<u16>,
    /// Addresses whose connections do not count: the pod's own. Loopback is not named here.
    pub own: Vec<IpAddr>,
    /// Whether loopback counts: the tests' way to make inbound connections.
    pub loopback: bool,
    /// Where the kubelet's probes come from.
    pub kubelet: Option<IpAddr>,
}

impl Scope {
    /// The scope that the settings ask for.
    #[must_use]
    pub fn new(settings: &Connections, agent_port: Option<u16>, own: Vec<IpAddr>) -> Self {
        let mut except = settings.except_ports.clone();
        except.extend(agent_port);
        Self {
            ports: settings.ports.clone(),
            except,
            own,
            ..Self::default()
        }
    }

    fn has_port(&self, port: u16, listened: &BTreeSet<u16>) -> bool {
        !self.except.contains(&port)
            && if self.ports.is_empty() {
                listened.contains(&port)
            } else {
                self.ports.contains(&port)
            }
    }

    fn has_peer(&self, peer: IpAddr) -> bool {
        if peer.is_loopback() {
            return self.loopback;
        }
        !self.own.contains(&peer)
    }
}

/// How many connections do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Class [`Class::Busy`].
    pub busy: u32,
    /// Class [`Class::Idle`].
    pub idle: u32,
    /// Class [`Class::Cycling`].
    pub cycling: u32,
    /// Class [`Class::Unresponsive`].
    pub unresponsive: u32,
    /// Those of them that hold the drain now.
    pub holding: u32,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u32 {
        self.busy + self.idle + self.cycling + self.unresponsive
    }
}

/// What one sample says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How many connections do what.
    pub counts: Counts,
    /// The last moment at which something held the drain, `None` if nothing ever did.
    pub disturbed: Option<Millis>,
    /// The last new connection that probes do not explain.
    pub arrival: Option<Millis>,
    /// How many of those there were.
    pub arrivals: u64,
}

/// A connection that is remembered.
#[derive(Clone, Copy, Debug)]
struct Known {
    track: Track,
    /// The last sample that saw it.
    seen: u32,
    /// Whether it held the drain then.
    held: bool,
}

/// The connections of a pod over time.
#[derive(Clone, Debug, Default)]
pub struct Census {
    tracks: HashMap<u64, Known>,
    /// Ports that were ever listened on. An app that closes its listener still has connections.
    listened: BTreeSet<u16>,
    /// The pod talks to itself: the kernel's count of opened connections counts that as well.
    talks_to_itself: bool,
    sample: u32,
    /// A sample is complete: what is new from here on has come since.
    has_ended: bool,
    tally: Tally,
    arrivals: Arrivals,
    new: New,
}

/// What the connections of a sample come to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    counts: Counts,
    /// Of all samples.
    disturbed: Option<Millis>,
}

impl Tally {
    /// Counts a connection. `true` where it holds the drain.
    fn count(&mut self, track: &Track, now: Millis, rules: &Rules) -> bool {
        match track.class(now, rules) {
            Class::Busy => self.counts.busy += 1,
            Class::Idle => self.counts.idle += 1,
            Class::Cycling => self.counts.cycling += 1,
            Class::Unresponsive => self.counts.unresponsive += 1,
        }
        let disturbed = track.disturbed(now, rules);
        self.disturbed = self.disturbed.max(disturbed);
        // A stream between two of its writes holds the drain as much as in the midst of one.
        let holds = disturbed.is_some_and(|at| now - at < rules.quiet);
        self.counts.holding += u32::from(holds);
        holds
    }
}

impl Census {
    /// A census that knows already which ports were listened on, from before a restart.
    #[must_use]
    pub fn new(listened: impl IntoIterator<Item = u16>) -> Self {
        Self {
            listened: listened.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Ports that were ever listened on.
    pub fn listened(&self) -> impl Iterator<Item = u16> {
        self.listened.iter().copied()
    }

    /// Begins a sample.
    pub fn begin(&mut self) {
        self.sample = self.sample.wrapping_add(1);
        self.tally.counts = Counts::default();
        self.new = New::default();
    }

    /// Takes in one socket of the sample; listeners come before their connections.
    pub fn see(&mut self, reading: &Reading, scope: &Scope, now: Millis, rules: &Rules) {
        let port = reading.local.port();
        if !is_connection(reading.state) {
            let reachable = scope.loopback || !reading.local.ip().is_loopback();
            if reachable && self.listened.len() < 1024 {
                self.listened.insert(port);
            }
            return;
        }
        let room = self.tracks.len() < MOST;
        let first = !self.has_ended;
        let counted = scope.has_port(port, &self.listened) && scope.has_peer(reading.peer.ip());
        self.talks_to_itself |= !scope.has_peer(reading.peer.ip());
        if !counted && !self.listened.contains(&port) {
            return;
        }
        let known = self.tracks.get_mut(&reading.cookie);
        if known.is_none() && !first && self.listened.contains(&port) {
            self.new.seen += 1;
            if counted && scope.kubelet == Some(reading.peer.ip()) {
                self.new.from_kubelet += 1;
            } else if counted && room {
                self.new.from_clients += 1;
            }
        }
        let sample = self.sample;
        if let Some(known) = known {
            known.seen = sample;
            if counted {
                known.track.next(reading, now, rules);
                known.held = self.tally.count(&known.track, now, rules);
            }
            return;
        }
        let born = if first { Millis::MIN } else { now };
        let track = Track::first(reading, now, born, rules);
        let held = counted && self.tally.count(&track, now, rules);
        if room {
            let known = Known {
                track,
                seen: sample,
                held,
            };
            self.tracks.insert(reading.cookie, known);
        }
    }

    /// Ends a sample: what was not seen is gone. Where it was at work, nobody saw when it stopped: the
    /// quiet time begins now.
    pub fn end(&mut self, own: u32, passive_opens: Option<u64>, now: Millis) -> Evidence {
        let sample = self.sample;
        let mut has_lost = false;
        self.tracks.retain(|_, known| {
            has_lost |= known.seen != sample && known.held;
            known.seen == sample
        });
        if has_lost {
            self.tally.disturbed = Some(now);
        }
        self.has_ended = true;
        self.new.own = own;
        self.new.passive_opens = passive_opens.filter(|_| !self.talks_to_itself);
        self.new.ports = u32::try_from(self.listened.len()).unwrap_or(u32::MAX);
        self.arrivals.count(&self.new, now);
        Evidence {
            counts: self.tally.counts,
            disturbed: self.tally.disturbed,
            arrival: self.arrivals.last(),
            arrivals: self.arrivals.total(),
        }
    }
}

#[cfg(test)]
mod tests;
