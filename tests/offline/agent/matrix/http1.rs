//! HTTP/1.1: requests, kept connections, long polling, and clients that close their half.

use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::watch::QUIET;
use super::wire::Wire;

const REQUEST: usize = 120;
const ANSWER: usize = 600;

super::scripts! {
    short_requests_on_a_kept_connection_are_cycling => |wire| {
        let mut pair = wire.connect();
        wire.every(QUIET / 10, || pair.turn(REQUEST, ANSWER));
    },
    kept_connection_after_an_answer_is_idle => answered,
    kept_connection_is_waited_for => answered,
    connection_that_was_never_used_is_idle => |wire| {
        let _pair = wire.connect();
        wire.rest();
    },
    slow_request_is_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        wire.rest();
    },
    slow_requests_without_a_pause_are_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        wire.every(QUIET * 5 / 4, || pair.turn(REQUEST, ANSWER));
    },
    slow_request_before_short_ones_is_forgotten => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        thread::sleep(Duration::from_millis(QUIET));
        pair.answer(ANSWER);
        wire.every(QUIET / 10, || pair.turn(REQUEST, ANSWER));
    },
    request_that_nobody_answers_turns_unresponsive => |wire| {
        let mut pair = wire.connect();
        pair.turn(REQUEST, ANSWER);
        pair.ask(REQUEST);
        wire.rest();
    },
    half_a_request_turns_unresponsive => |wire| {
        let mut pair = wire.connect();
        pair.ask(40);
        wire.rest();
    },
    dripping_request_is_busy => |wire| {
        let mut pair = wire.connect();
        wire.every(QUIET / 4, || pair.ask(1));
    },
    half_closed_client_that_waits_is_busy => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        pair.client.shutdown(Shutdown::Write).unwrap();
        wire.rest();
    },
    half_closed_client_with_its_answer_is_idle => |wire| {
        let mut pair = wire.connect();
        pair.ask(REQUEST);
        pair.client.shutdown(Shutdown::Write).unwrap();
        pair.answer(ANSWER);
        wire.rest();
    },
}

fn answered(wire: &Wire) {
    let mut pair = wire.connect();
    pair.turn(REQUEST, ANSWER);
    wire.rest();
}
