//! One connection over time: samples of the kernel's counters become busy, idle, cycling or
//! unresponsive. Pure; the time is an input. What a drain makes of it is decided in [`super::drain`].
//!
//! The unit is the *turn*: a request, and the bytes written until the next request. A turn longer
//! than half the quiet time is what SIGTERM would cut; a shorter one fits into the app's own shutdown.

pub mod arrivals;
pub mod census;
mod class;
mod signs;
#[cfg(test)]
mod tests;

use crate::agent::sockets::{Info, Reading, State};
use crate::api::v1alpha1::KeepAlive;

pub use class::Class;

/// Milliseconds on the agent's own clock. Negative before it began.
pub type Millis = i64;

/// Bytes that control frames make up: HTTP/2 `SETTINGS` (9), `PING` (17), `WINDOW_UPDATE` (13, often
/// two), a `WebSocket` ping. An HTTP/1.1 request or a gRPC call is longer. Larger, and short requests pass
/// for control frames; smaller, and an idle gRPC pool looks like a request for ever.
const CONTROL: u64 = 30;

/// The kernel delays a bare acknowledgement by 40 to 200 ms: a request that stays unanswered is
/// acknowledged bare within this time.
const DELAYED_ACK: Millis = 250;

/// So long ago that nothing counts from it, and no difference to it overflows.
const NEVER: Millis = Millis::MIN / 2;

/// Shortest turn that counts as long, however short the quiet time is.
const SHORTEST_LONG: Millis = 500;

/// What the settings of a drain make of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For how long nothing must happen.
    pub quiet: Millis,
    /// When an unanswered request no longer holds the drain.
    pub unresponsive: Millis,
    /// What becomes of idle connections.
    pub keep_alive: KeepAlive,
    /// How many first requests of a connection the kernel acknowledges at once and bare
    /// (`net.ipv4.tcp_pingpong_thresh`; 3 before Linux 6.7).
    pub quick_acks: u32,
}

impl Rules {
    /// How long a turn may take and still be left to the application's shutdown.
    #[must_use]
    pub fn short(&self) -> Millis {
        (self.quiet / 2).max(SHORTEST_LONG)
    }
}

/// Whether the application owes the client an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// The client's bytes may be control frames, or older than the last answer.
    Maybe,
    Answer,
}

/// What is remembered of one connection from sample to sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Track {
    received: u64,
    written: u64,
    unread: u32,
    unacknowledged: u32,
    bare_acks_out: u32,
    /// Upper bound of the bytes received since the last answer.
    unanswered: u32,
    data_segments_in: u32,
    data_segments_out: u32,
    owed: Owed,
    /// The order of the last request and the last answer is not known yet.
    unordered: bool,
    /// When the last byte of a turn longer than [`Rules::short`] came or went; long ago where none was
    /// seen. What has been short for the quiet time counts as short: one slow request is no stream.
    long: Millis,
    /// A short turn was seen from its beginning to its end.
    cycled: bool,
    /// When the first sample saw it; `Millis::MIN` if the drain found it there.
    born: Millis,
    /// When the turn began.
    began: Millis,
    /// When the last byte of a turn came or went.
    spoke: Millis,
    /// When the last byte of any kind came or went.
    moved: Millis,
    /// When we last wrote a control frame out of silence.
    pinged: Millis,
    sampled: Millis,
}

impl Track {
    /// A connection seen for the first time.
    #[must_use]
    pub fn first(reading: &Reading, now: Millis, born: Millis, rules: &Rules) -> Self {
        let mut track = Self {
            received: 0,
            written: 0,
            unread: reading.unread,
            unacknowledged: reading.unacknowledged,
            bare_acks_out: 0,
            unanswered: 0,
            data_segments_in: 0,
            data_segments_out: 0,
            owed: Owed::Nothing,
            unordered: false,
            long: NEVER,
            cycled: false,
            born,
            began: now,
            spoke: now,
            moved: now,
            pinged: NEVER,
            sampled: now,
        };
        if let Some(info) = reading.info {
            track.first_info(&info, now, rules);
        }
        track
    }

    fn first_info(&mut self, info: &Info, now: Millis, rules: &Rules) {
        let received = now - Millis::from(info.received_ago);
        let sent = now - Millis::from(info.sent_ago);
        self.spoke = received.max(sent);
        self.moved = self.spoke;
        self.began = self.spoke;
        if info.received > 0 && info.written == 0 {
            self.owed = Owed::Answer;
        } else if info.received > 0 {
            if sent > received {
                self.began = received;
            } else if received > sent {
                self.owed = if signs::is_control(info.received, info.data_segments_in) {
                    Owed::Maybe
                } else {
                    Owed::Answer
                };
            } else if signs::has_taken_the_answer(info) {
                self.owed = Owed::Nothing;
            } else if signs::is_control(info.received, info.data_segments_in) {
                self.owed = Owed::Maybe;
            } else if signs::owes_one(info, rules) {
                self.owed = Owed::Answer;
                self.unordered = true;
            } else {
                self.owed = Owed::Maybe;
                self.unordered = true;
            }
        }
        if self.owed == Owed::Nothing {
            self.note_long(rules);
        }
        self.remember(info);
    }

    /// The next sample of the same connection.
    pub fn next(&mut self, reading: &Reading, now: Millis, rules: &Rules) {
        let queues = (reading.unread, reading.unacknowledged);
        let before = (self.unread, self.unacknowledged);
        if queues != before {
            self.moved = now;
        }
        (self.unread, self.unacknowledged) = queues;
        if let Some(info) = reading.info {
            self.next_info(&info, now, rules);
            self.remember(&info);
        } else if queues != (0, 0) {
            if before == (0, 0) {
                self.began = now;
            }
            self.spoke = now;
        }
        self.sampled = now;
    }

    fn next_info(&mut self, info: &Info, now: Millis, rules: &Rules) {
        let received = info.received.saturating_sub(self.received);
        let written = info.written.saturating_sub(self.written);
        if received == 0 && written == 0 {
            self.silence(info, now, rules);
            return;
        }
        let clamp = |ago: u32| (now - Millis::from(ago)).clamp(self.sampled, now);
        let step = Step {
            received,
            written,
            received_at: clamp(info.received_ago),
            sent_at: if info.written == self.written {
                self.sampled
            } else {
                clamp(info.sent_ago)
            },
            segments_in: info.data_segments_in.wrapping_sub(self.data_segments_in),
            segments_out: info.data_segments_out.wrapping_sub(self.data_segments_out),
            delayed: info.bare_acks_out > self.bare_acks_out
                && info.bare_acks_out > rules.quick_acks,
        };
        self.moved = now;
        let silent = step.received_at.max(step.sent_at) - self.spoke > rules.quiet
            && self.owed == Owed::Nothing;
        if silent && self.is_control_exchange(&step, now) {
            return;
        }
        if received == 0 {
            self.answered(&step, silent, rules);
        } else if written == 0 {
            self.asked(&step, rules);
        } else {
            self.both(&step, rules);
        }
    }

    /// No byte came or went. After an unordered turn, the client's own bare acknowledgement says that our
    /// answer came last, and ours that its request did; none at all leaves what the books looked like.
    fn silence(&mut self, info: &Info, now: Millis, rules: &Rules) {
        if !self.unordered {
            return;
        }
        if signs::has_taken_the_answer(info) {
            self.owed = Owed::Nothing;
        } else if info.bare_acks_out > self.bare_acks_out && info.bare_acks_out > rules.quick_acks {
            self.owed = Owed::Answer;
        } else if now - self.spoke <= DELAYED_ACK {
            return;
        } else if self.owed == Owed::Maybe {
            self.owed = Owed::Nothing;
        }
        self.unordered = false;
    }

    /// A ping and its answer, whoever began, on a connection that was silent.
    fn is_control_exchange(&mut self, step: &Step, now: Millis) -> bool {
        let small = step.received <= CONTROL && step.written <= signs::CONTROL_SEGMENT;
        if small && step.written > 0 {
            self.pinged = now;
            return true;
        }
        small && now - self.pinged < 1000
    }

    fn answered(&mut self, step: &Step, silent: bool, rules: &Rules) {
        if silent {
            self.began = step.sent_at;
        } else if self.owed != Owed::Nothing && step.sent_at - self.began <= rules.short() {
            self.cycled = true;
        }
        self.owed = Owed::Nothing;
        self.unordered = false;
        self.unanswered = 0;
        self.spoke = step.sent_at;
        self.note_long(rules);
    }

    fn asked(&mut self, step: &Step, rules: &Rules) {
        let bytes = u64::from(self.unanswered).saturating_add(step.received);
        let fits = bytes <= CONTROL && self.written > 0;
        let goes_on = fits && self.is_long(step.received_at, rules);
        if self.owed == Owed::Nothing && !goes_on {
            self.began = step.received_at;
        }
        self.unanswered = u32::try_from(bytes).unwrap_or(u32::MAX);
        if !fits {
            self.owed = Owed::Answer;
        } else if self.owed == Owed::Nothing {
            self.owed = Owed::Maybe;
        }
        self.unordered = false;
        self.spoke = step.received_at;
        if goes_on {
            self.note_long(rules);
        }
    }

    fn both(&mut self, step: &Step, rules: &Rules) {
        if signs::is_read_by_client(step) {
            // A stream and its client's window updates: the turn goes on.
            self.answered(step, false, rules);
            if step.received_at >= step.sent_at {
                self.owed = Owed::Maybe;
            }
            return;
        }
        if signs::is_read_by_server(step) {
            // An upload and the server's window updates: the same.
            self.owed = Owed::Maybe;
            self.unordered = false;
            self.spoke = step.received_at.max(step.sent_at);
            self.note_long(rules);
            return;
        }
        if self.owed == Owed::Answer && self.sampled - self.began > rules.short() {
            self.long = self.sampled;
        }
        self.cycled = true;
        self.began = step.received_at;
        self.spoke = step.received_at.max(step.sent_at);
        self.unanswered = u32::try_from(step.received).unwrap_or(u32::MAX);
        self.unordered = false;
        self.owed = if step.sent_at > step.received_at {
            self.unanswered = 0;
            Owed::Nothing
        } else if step.received_at > step.sent_at {
            if step.received > CONTROL {
                Owed::Answer
            } else {
                Owed::Maybe
            }
        } else if step.delayed {
            Owed::Answer
        } else {
            self.unordered = true;
            Owed::Maybe
        };
    }

    fn remember(&mut self, info: &Info) {
        self.received = info.received;
        self.written = info.written;
        self.bare_acks_out = info.bare_acks_out;
        self.data_segments_in = info.data_segments_in;
        self.data_segments_out = info.data_segments_out;
    }

    /// Notes the turn up to here where it is long.
    fn note_long(&mut self, rules: &Rules) {
        if self.spoke - self.began > rules.short() {
            self.long = self.spoke;
        }
    }
}

/// What happened between two samples.
struct Step {
    received: u64,
    written: u64,
    received_at: Millis,
    sent_at: Millis,
    segments_in: u32,
    segments_out: u32,
    /// A bare acknowledgement went out that was not one of the quick first ones.
    delayed: bool,
}

/// Whether a socket in this state is a connection, not a listener.
#[must_use]
pub fn is_connection(state: State) -> bool {
    state != State::Listen
}
