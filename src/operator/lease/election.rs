//! Who leads: the rules of client-go's `leaderelection`, told apart from their calls. Pure, with the time
//! of this machine's monotonic clock as an input: clocks of others are never compared.

use std::time::Duration;

use tokio::time::Instant;

/// For how long a lease is good after it was last renewed, as others see it (client-go's default).
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// A leader that could not renew for so long leads no more. Shorter than [`LEASE`] by more than any call
/// that is under way then.
pub(super) const RENEW: Duration = Duration::from_secs(10);

/// The pause between two renewals.
pub(super) const RETRY: Duration = Duration::from_secs(2);

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its resourceVersion.
    pub(super) version: String,
    /// Who holds it; empty where it was released.
    pub(super) holder: String,
    /// For how long it is good, as its holder says.
    pub(super) good_for: Duration,
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none: make it.
    Create,
    /// It is ours to take, at this version.
    Take(String),
    /// Somebody else holds it; look again then, or when it changes.
    Wait(Instant),
}

/// One candidate's view of the election.
#[derive(Debug)]
pub(super) struct Election {
    own: String,
    /// The record as it was last seen to change, and when.
    seen: Option<(Record, Instant)>,
}

impl Election {
    /// A candidate by a name that nobody else has.
    pub(super) fn new(own: String) -> Self {
        Self { own, seen: None }
    }

    /// The name.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Looks at the Lease. Another's is taken only after it has not changed for as long as it is good,
    /// by this machine's own clock.
    pub(super) fn look(&mut self, lease: Option<Record>, now: Instant) -> Step {
        let Some(record) = lease else {
            self.seen = None;
            return Step::Create;
        };
        if record.holder.is_empty() || record.holder == self.own {
            return Step::Take(record.version);
        }
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        // A holder that promises less may be an older release of ours; nobody is rushed.
        let expiry = since + record.good_for.max(LEASE);
        let version = record.version.clone();
        self.seen = Some((record, since));
        if now >= expiry {
            Step::Take(version)
        } else {
            Step::Wait(expiry)
        }
    }
}

/// Until when a renewal is good for its leader, counted from before it was sent.
pub(super) fn good_until(sent: Instant) -> Instant {
    sent + RENEW
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(version: u64, holder: &str) -> Record {
        Record {
            version: version.to_string(),
            holder: holder.into(),
            good_for: LEASE,
        }
    }

    #[test]
    fn lease_that_is_not_there_is_made_and_a_released_one_is_taken() {
        let (mut election, now) = (Election::new("a".into()), Instant::now());
        assert_eq!(election.look(None, now), Step::Create);
        let released = election.look(Some(record(1, "")), now);
        assert_eq!(released, Step::Take("1".into()));
    }

    #[test]
    fn lease_of_another_is_taken_once_it_stood_still_for_its_time() {
        let (mut election, now) = (Election::new("a".into()), Instant::now());
        let held = || Some(record(1, "b"));
        assert_eq!(election.look(held(), now), Step::Wait(now + LEASE));
        let renewed = now + LEASE - Duration::from_millis(1);
        let renewal = Some(record(2, "b"));
        assert_eq!(
            election.look(renewal.clone(), renewed),
            Step::Wait(renewed + LEASE)
        );
        assert_eq!(
            election.look(renewal, renewed + LEASE),
            Step::Take("2".into())
        );
    }

    #[test]
    fn holder_that_promises_more_is_waited_for() {
        let (mut election, now) = (Election::new("a".into()), Instant::now());
        let long = Record {
            good_for: Duration::from_secs(60),
            ..record(1, "b")
        };
        let step = election.look(Some(long), now);
        assert_eq!(step, Step::Wait(now + Duration::from_secs(60)));
    }

    /// What one of several candidates does next, after so many milliseconds: it looks, and its write is
    /// on its way for some time each way. Now and then nothing of its gets through, or it stands still.
    #[derive(Clone, Debug)]
    struct Turn {
        who: usize,
        after: u64,
        there: u64,
        back: u64,
        is_lost: bool,
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let turn = (0..3_usize, 0..9000_u64, 0..8000_u64, 0..8000_u64, 0..6_u8);
        let turn = turn.prop_map(|(who, after, there, back, lost)| Turn {
            who,
            after,
            there,
            back,
            is_lost: lost == 0,
        });
        prop::collection::vec(turn, 1..60)
    }

    proptest! {
        /// R06, R07: whatever is late or lost, no two lead at the same time.
        #[test]
        fn no_two_lead_at_the_same_time(turns in turns()) {
            let begin = Instant::now();
            let mut elections: Vec<_> = ["a", "b", "c"].map(|name| Election::new(name.into())).into();
            // A candidate does one thing at a time.
            let mut free = [begin; 3];
            let mut leads = [None::<Instant>; 3];
            let mut now = begin;
            // The API server: what it has since when, oldest first. Writes land in the order of time.
            let mut written: Vec<(Instant, Record)> = Vec::new();
            for turn in turns {
                now += Duration::from_millis(turn.after);
                if turn.is_lost || now < free[turn.who] {
                    continue;
                }
                let last = written.last();
                // A write that is still on its way is not seen, and wins over what was seen before it.
                let seen = written.iter().rev().find(|(at, _)| *at <= now);
                let step = elections[turn.who].look(seen.map(|(_, record)| record.clone()), now);
                let lands = now + Duration::from_millis(turn.there);
                free[turn.who] = lands + Duration::from_millis(turn.back);
                let is_first = match (&step, last) {
                    (Step::Wait(_), _) => continue,
                    (Step::Create, last) => last.is_none(),
                    (Step::Take(version), Some((at, last))) => *version == last.version && *at <= lands,
                    (Step::Take(_), None) => false,
                };
                if !is_first {
                    continue;
                }
                let number = written.len() as u64 + 1;
                written.push((lands, record(number, elections[turn.who].own())));
                // Nobody leads from before the write landed, nor after what the sending allows.
                let others = (0..3).filter(|other| *other != turn.who);
                for other in others {
                    prop_assert!(leads[other].is_none_or(|until| until <= lands), "{turn:?}");
                }
                leads[turn.who] = Some(good_until(now));
            }
        }
    }
}
