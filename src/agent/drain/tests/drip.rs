//! R25, R11: work that stops and comes again, looked at from time to time. Whatever falls between two
//! looks, no drain is called done within the quiet time of work that could be known.

use proptest::prelude::*;

use super::super::*;
use super::of;
use crate::agent::activity::census::{Census, Scope};
use crate::agent::sockets::{Info, Reading, State};
use crate::api::v1alpha1::{Connections, Drain};

/// Longer than half the quiet time, and long enough to be seen so at any pace.
const LENGTHS: std::ops::Range<Millis> = 2600..9000;

/// A request on a connection of its own, from its first byte to the end of the connection.
#[derive(Clone, Copy, Debug)]
struct Work {
    begin: Millis,
    end: Millis,
}

/// Works, one after the other, with pauses between them.
fn works() -> impl Strategy<Value = Vec<Work>> {
    proptest::collection::vec((0_i64..6000, LENGTHS), 1..6).prop_map(|all| {
        let mut clock = 0;
        let lay = |(pause, length)| {
            let begin = clock + pause;
            clock = begin + length;
            Work { begin, end: clock }
        };
        all.into_iter().map(lay).collect()
    })
}

impl Work {
    fn reading(self, cookie: u64, now: Millis) -> Reading {
        let ago = u32::try_from(now - self.begin).unwrap();
        Reading {
            cookie,
            state: State::Established,
            local: "10.0.0.1:8080".parse().unwrap(),
            peer: "10.0.0.9:999".parse().unwrap(),
            unread: 0,
            unacknowledged: 0,
            info: Some(Info {
                received: 200,
                received_ago: ago,
                sent_ago: ago,
                data_segments_in: 1,
                ..Info::default()
            }),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn drain_is_never_done_within_the_quiet_time_of_work(
        works in works(),
        pauses in proptest::collection::vec(100_i64..=1000, 1..20),
    ) {
        let settings = Settings::new(
            &Drain { min_seconds: 0, arrivals_seconds: 0, ..Drain::default() },
            Way::Readiness,
            false,
        );
        let connections = Connections { ports: vec![8080], ..Connections::default() };
        let rules = settings.rules(&connections, 1);
        let scope = Scope::new(&connections, None, Vec::new());
        let times = Times { heard: 0, withdrawn: Some(0) };
        let mut census = Census::default();
        let mut now = 0;
        for pause in pauses.iter().cycle() {
            census.begin();
            for (cookie, work) in (1..).zip(&works) {
                if (work.begin..work.end).contains(&now) {
                    census.see(&work.reading(cookie, now), &scope, now, &rules);
                }
            }
            let evidence = [census.end(0, None, now)];
            let verdict = judge(&settings, times, Notice::None, of(&evidence), now);
            let Verdict::Waits(wait) = verdict else { break };
            now += wait.left().unwrap_or(*pause).clamp(1, *pause);
        }
        for work in works.iter().filter(|work| work.begin <= now) {
            // One that had just begun is left to the application's own shutdown.
            let is_new = now < work.end && now - work.begin <= rules.short();
            prop_assert!(is_new || now - work.end >= settings.quiet, "done at {now}: {work:?}");
        }
    }
}
