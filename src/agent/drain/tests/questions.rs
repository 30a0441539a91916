//! Drains that wait for answers of the application: what holds them, what ends them, and which one is
//! named.

use proptest::prelude::*;

use super::super::standing::{State, last, standings};
use super::super::*;
use super::{holding, nothing};
use crate::agent::question::Answer;
use crate::api::v1alpha1::{Confirmation, Connections, Drain, HttpPort, OnError};

fn page(port: u16) -> Confirmation {
    let path = "/idle".into();
    Confirmation {
        http_get: Some(HttpPort { port, path }),
        ..Confirmation::default()
    }
}

fn settings(confirm: Vec<Confirmation>) -> Settings {
    let drain = Drain {
        confirm: Some(confirm),
        ..Drain::default()
    };
    Settings::new(&drain, Way::Readiness, false)
}

fn asked(answer: Answer, asked: Millis, held: Option<Millis>) -> Asked {
    Asked {
        answer,
        asked,
        held,
    }
}

const TIMES: Times = Times {
    heard: 0,
    withdrawn: Some(500),
};

fn verdict(settings: &Settings, asked: &[Asked], now: Millis) -> Verdict {
    let seen = Seen {
        asked,
        ..Seen::default()
    };
    judge(settings, TIMES, Notice::None, seen, now)
}

#[test]
fn answer_that_does_not_hold_is_waited_for_until_the_deadline() {
    let settings = settings(vec![page(1)]);
    let busy = [asked(Answer::NotYet(Why::Status(503)), 299_000, None)];
    let wait = Wait::Answer(0, Why::Status(503));
    assert_eq!(verdict(&settings, &busy, 299_999), Verdict::Waits(wait));
    assert_eq!(
        verdict(&settings, &busy, 300_000),
        Verdict::Ended(Outcome::TimedOut)
    );
    assert_eq!(
        verdict(&settings, &[], 9000),
        Verdict::Waits(Wait::Answer(0, Why::Unasked))
    );
}

/// R25: the quiet time counts from the first answer that held, and the end from one that is as young.
#[test]
fn answer_holds_for_the_quiet_time_and_is_asked_once_more() {
    let settings = settings(vec![page(1)]);
    let done = |at| [asked(Answer::Done, at, Some(20_000))];
    assert_eq!(
        verdict(&settings, &done(22_000), 22_000),
        Verdict::Waits(Wait::Quiet(1000))
    );
    assert_eq!(
        verdict(&settings, &done(22_900), 23_400),
        Verdict::Waits(Wait::FreshAnswer(0))
    );
    assert_eq!(
        verdict(&settings, &done(23_000), 23_400),
        Verdict::Ended(Outcome::Drained)
    );
}

#[test]
fn all_confirmations_must_hold() {
    let connections = Confirmation {
        connections: Some(Connections::default()),
        ..Confirmation::default()
    };
    let settings = settings(vec![page(1), connections, page(2)]);
    let done = asked(Answer::Done, 9000, Some(1000));
    let busy = asked(Answer::NotYet(Why::Above), 9000, None);
    let verdict = |evidence: &[Evidence], asked: &[Asked]| {
        let seen = Seen {
            evidence,
            asked,
            is_unreadable: false,
        };
        judge(&settings, TIMES, Notice::None, seen, 9100)
    };
    assert_eq!(
        verdict(&holding(1), &[done, done]),
        Verdict::Waits(Wait::Connections(1))
    );
    let wait = Wait::Answer(1, Why::Above);
    assert_eq!(verdict(&nothing(), &[done, busy]), Verdict::Waits(wait));
    assert_eq!(
        verdict(&nothing(), &[done, done]),
        Verdict::Ended(Outcome::Drained)
    );
}

#[test]
fn confirmation_past_its_own_timeout_no_longer_holds_and_is_not_done() {
    let mut one = page(1);
    one.timeout_seconds = Some(10);
    let settings = settings(vec![one, page(2)]);
    let busy = asked(Answer::NotYet(Why::Status(500)), 9000, None);
    let done = |at| asked(Answer::Done, at, Some(1000));
    let wait = Wait::Answer(0, Why::Status(500));
    assert_eq!(
        verdict(&settings, &[busy, done(9000)], 9999),
        Verdict::Waits(wait)
    );
    let end = verdict(&settings, &[busy, done(9000)], 10_000);
    assert_eq!(end, Verdict::Ended(Outcome::TimedOut));
    assert_eq!(
        verdict(&settings, &[done(9000), done(9000)], 10_000),
        Verdict::Ended(Outcome::Drained)
    );
}

#[test]
fn socket_table_that_cannot_be_read_holds_unless_that_is_ignored() {
    let mut one = Confirmation {
        connections: Some(Connections::default()),
        ..Confirmation::default()
    };
    let unreadable = Seen {
        is_unreadable: true,
        ..Seen::default()
    };
    let verdict = |one: &Confirmation| {
        judge(
            &settings(vec![one.clone()]),
            TIMES,
            Notice::None,
            unreadable,
            9000,
        )
    };
    assert_eq!(verdict(&one), Verdict::Waits(Wait::Sample));
    one.on_error = OnError::Ignore;
    assert_eq!(verdict(&one), Verdict::Ended(Outcome::Drained));
}

#[test]
fn receipt_names_what_is_stuck_else_what_was_ignored_else_what_came_last() {
    let mut metric = page(3);
    metric.on_error = OnError::Ignore;
    let settings = settings(vec![page(1), page(2), metric]);
    let done = |held| asked(Answer::Done, 9000, Some(held));
    let busy = asked(Answer::Error(Why::NobodyListens), 9000, None);
    let named = |all: &[Asked], outcome| {
        let seen = Seen {
            asked: all,
            ..Seen::default()
        };
        last(standings(&settings, TIMES, seen, 9000), outcome).unwrap()
    };
    let nobody = Some("nobody listens on its port".to_owned());
    let stuck = named(&[done(1), busy, done(2)], Outcome::TimedOut);
    assert_eq!(stuck, ("httpGet :2/idle".into(), nobody.clone()));
    let ignored = asked(Answer::Error(Why::NobodyListens), 9000, Some(1));
    let ignored = named(&[done(1), done(2), ignored], Outcome::Drained);
    assert_eq!(ignored, ("httpGet :3/idle".into(), nobody));
    let newest = named(&[done(7), done(2), done(3)], Outcome::Drained);
    assert_eq!(newest, ("httpGet :1/idle".into(), None));
}

#[test]
fn page_lists_where_each_confirmation_stands() {
    let mut late = page(1);
    late.timeout_seconds = Some(5);
    let settings = settings(vec![late, page(2), Confirmation::default()]);
    let busy = asked(Answer::NotYet(Why::Status(503)), 9000, None);
    let all = [busy, asked(Answer::Done, 9000, Some(1))];
    let seen = Seen {
        asked: &all,
        ..Seen::default()
    };
    let states: Vec<_> = standings(&settings, TIMES, seen, 9000)
        .iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, [State::GivenUp, State::Holds, State::Waits]);
}

fn answers() -> impl Strategy<Value = Asked> {
    let answer = prop_oneof![
        Just(Answer::Done),
        Just(Answer::NotYet(Why::Status(500))),
        Just(Answer::Error(Why::TooLarge(65_536))),
        Just(Answer::Error(Why::Redirect(302))),
    ];
    (answer, 0_i64..9000, 0_i64..9000).prop_map(|(answer, first, more)| Asked {
        answer,
        asked: first + more,
        held: (answer == Answer::Done).then_some(first),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    /// T6, B56: whatever else holds, and for however long it is waited for.
    #[test]
    fn wrong_answer_is_never_drained(
        all in proptest::collection::vec(answers(), 1..4),
        timeout in proptest::option::of(0..20_i32),
        now in 9000_i64..400_000,
    ) {
        let confirm = all.iter().map(|_| Confirmation { timeout_seconds: timeout, ..page(1) });
        let settings = settings(confirm.collect());
        let verdict = verdict(&settings, &all, now);
        if all.iter().any(|one| one.answer != Answer::Done) {
            prop_assert_ne!(verdict, Verdict::Ended(Outcome::Drained));
        }
        if now >= 300_000 {
            prop_assert!(matches!(verdict, Verdict::Ended(_)));
        }
    }
}
