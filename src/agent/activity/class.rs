//! What a track says at one moment: what the connection is doing, and whether it holds a drain.

use super::{Millis, NEVER, Owed, Rules, Track};
use crate::api::v1alpha1::KeepAlive;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A request, an answer or a stream is under way.
    Busy,
    /// The last thing that happened was an answer, then nothing for the quiet time.
    Idle,
    /// Short requests keep being answered.
    Cycling,
    /// A request is unanswered, and no byte came or went for the time of the rules.
    Unresponsive,
}

impl Track {
    /// What the connection is doing.
    #[must_use]
    pub fn class(&self, now: Millis, rules: &Rules) -> Class {
        if self.is_in_flight(now, rules) {
            if now - self.moved >= rules.unresponsive {
                Class::Unresponsive
            } else {
                Class::Busy
            }
        } else if now - self.spoke >= rules.quiet {
            Class::Idle
        } else if self.is_long(now, rules) {
            Class::Busy
        } else {
            Class::Cycling
        }
    }

    /// Until when the connection kept the pod from being quiet: `now` where it still does, `None`
    /// where it never did.
    #[must_use]
    pub fn disturbed(&self, now: Millis, rules: &Rules) -> Option<Millis> {
        let class = self.class(now, rules);
        if class == Class::Unresponsive {
            return None;
        }
        if rules.keep_alive == KeepAlive::Wait && now - rules.short() > self.born {
            return Some(now);
        }
        if self.is_in_flight(now, rules) && now - self.began > rules.short() {
            let certain = self.owed == Owed::Answer || self.has_queues();
            return Some(if certain { now } else { self.spoke });
        }
        (class == Class::Busy && self.long != NEVER).then_some(self.long)
    }

    pub(super) fn is_long(&self, now: Millis, rules: &Rules) -> bool {
        now - self.long < rules.quiet
    }

    fn is_in_flight(&self, now: Millis, rules: &Rules) -> bool {
        let doubtful = self.owed == Owed::Maybe && !self.cycled && now - self.spoke < rules.quiet;
        self.has_queues() || self.owed == Owed::Answer || doubtful
    }

    fn has_queues(&self) -> bool {
        self.unread > 0 || self.unacknowledged > 0
    }
}
