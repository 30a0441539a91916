//! A made-up connection, counted as the kernel would count it, for the tests of the classes.

use super::super::{Class, Millis, Rules, Track};
use crate::agent::sockets::{Info, Reading, State};
use crate::api::v1alpha1::KeepAlive;

pub(super) fn rules() -> Rules {
    Rules {
        quiet: 3000,
        unresponsive: 60_000,
        keep_alive: KeepAlive::Finish,
        quick_acks: 1,
    }
}

/// A connection as its kernel would count it: what happens is told in time's order, and looked at
/// every 100 ms.
pub(super) struct Wire {
    pub(super) now: Millis,
    pub(super) info: Info,
    pub(super) received_at: Millis,
    pub(super) sent_at: Millis,
    pub(super) acked_at: Millis,
    pub(super) unread: u32,
    pub(super) unacknowledged: u32,
    pub(super) track: Option<Track>,
    pub(super) born: Millis,
    pub(super) rules: Rules,
    /// The last moment that kept the pod from being quiet.
    pub(super) disturbed: Option<Millis>,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self {
            now: 1_000_000,
            info: Info::default(),
            received_at: 1_000_000,
            sent_at: 1_000_000,
            acked_at: 1_000_000,
            unread: 0,
            unacknowledged: 0,
            track: None,
            born: Millis::MIN,
            rules: rules(),
            disturbed: None,
        }
    }

    pub(super) fn waiting(keep_alive: KeepAlive) -> Self {
        let mut wire = Self::new();
        wire.rules.keep_alive = keep_alive;
        wire
    }

    pub(super) fn receive(&mut self, bytes: u64) -> &mut Self {
        self.info.received += bytes;
        self.info.data_segments_in += 1;
        self.received_at = self.now;
        self.acked_at = self.now;
        self
    }

    pub(super) fn send(&mut self, bytes: u64) -> &mut Self {
        self.info.written += bytes;
        self.info.data_segments_out += u32::try_from(bytes / 1400 + 1).unwrap();
        self.sent_at = self.now;
        self
    }

    /// The client's kernel acknowledges, with data or by itself.
    pub(super) fn acknowledge(&mut self) -> &mut Self {
        self.acked_at = self.now;
        self
    }

    /// Time in which nobody looks.
    pub(super) fn pass(&mut self, millis: Millis) -> &mut Self {
        self.now += millis;
        self
    }

    pub(super) fn look(&mut self) -> Class {
        let tick = |at: Millis| u32::try_from((self.now - at) / 4 * 4).unwrap();
        self.info.received_ago = tick(self.received_at);
        self.info.sent_ago = tick(self.sent_at);
        self.info.acked_ago = tick(self.acked_at);
        let reading = Reading {
            cookie: 1,
            state: State::Established,
            local: "10.0.0.1:80".parse().unwrap(),
            peer: "10.0.0.2:999".parse().unwrap(),
            unread: self.unread,
            unacknowledged: self.unacknowledged,
            info: Some(self.info),
        };
        let track = match &mut self.track {
            None => self
                .track
                .insert(Track::first(&reading, self.now, self.born, &self.rules)),
            Some(track) => {
                track.next(&reading, self.now, &self.rules);
                track
            }
        };
        self.disturbed = self.disturbed.max(track.disturbed(self.now, &self.rules));
        track.class(self.now, &self.rules)
    }

    /// Time under the eyes of the agent.
    pub(super) fn watch(&mut self, millis: Millis) -> Class {
        let end = self.now + millis;
        let mut class = self.look();
        while self.now < end {
            self.now += 100.min(end - self.now);
            class = self.look();
        }
        class
    }

    pub(super) fn quiet_for(&self) -> Millis {
        self.disturbed.map_or(Millis::MAX, |at| self.now - at)
    }
}
