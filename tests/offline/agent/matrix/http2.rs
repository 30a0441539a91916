//! HTTP/2 and gRPC: many calls on one connection, and frames that are no call.

use std::time::Duration;

use super::watch::QUIET;
use super::wire::{Pair, Wire};

/// A frame is nine bytes and its payload.
const PREFACE: usize = 24;
const SETTINGS: usize = 9 + 18;
const ACKNOWLEDGED: usize = 9;
const WINDOW_UPDATE: usize = 9 + 4;
const PING: usize = 9 + 8;
const GOAWAY: usize = 9 + 8;

/// `HEADERS` by HPACK and a `DATA` frame with a message.
const CALL: usize = 9 + 70 + 9 + 5 + 30;
/// The same, and trailers.
const ANSWER: usize = 9 + 20 + 9 + 5 + 60 + 9 + 15;
const MESSAGE: usize = 9 + 5 + 80;

const ABOVE_QUIET: u64 = QUIET * 7 / 4;

super::scripts! {
    short_calls_on_one_connection_are_cycling => |wire| {
        let mut pair = pool(wire);
        wire.every(QUIET / 10, || pair.turn(CALL, ANSWER));
    },
    pool_after_a_call_is_idle => |wire| {
        let mut pair = pool(wire);
        pair.turn(CALL, ANSWER);
        wire.rest();
    },
    fresh_pool_is_idle => |wire| {
        let _pair = pool(wire);
        wire.rest();
    },
    window_update_after_an_answer_leaves_a_pool_idle => |wire| {
        let mut pair = pool(wire);
        // On loopback 16 KiB are one segment, which looks like no more than the call's one.
        pair.ask(CALL);
        wire.pause(Duration::from_millis(50));
        pair.answer(16 * 1024);
        wire.pause(Duration::from_millis(300));
        pair.ask(WINDOW_UPDATE);
        wire.rest();
    },
    rare_pings_leave_a_pool_idle => |wire| pings(wire, ABOVE_QUIET),
    frequent_pings_keep_a_pool_busy => |wire| pings(wire, QUIET / 2),
    slow_call_is_busy => |wire| {
        let mut pair = pool(wire);
        pair.turn(CALL, ANSWER);
        pair.ask(CALL);
        wire.rest();
    },
    slow_call_among_short_ones_is_cycling => |wire| {
        let mut pair = pool(wire);
        pair.ask(CALL);
        wire.every(QUIET / 10, || pair.turn(CALL, ANSWER));
    },
    answers_of_a_flowing_stream_are_busy => |wire| {
        let mut pair = pool(wire);
        pair.ask(CALL);
        wire.every(QUIET / 10, || {
            pair.answer(16 * 1024);
            pair.ask(2 * WINDOW_UPDATE);
        });
    },
    small_messages_that_are_pinged_back_are_busy => |wire| {
        let mut pair = pool(wire);
        pair.ask(CALL);
        wire.every(QUIET / 50, || {
            pair.answer(MESSAGE);
            pair.turn(PING, PING);
        });
    },
    requests_of_a_flowing_stream_are_busy => |wire| {
        let mut pair = pool(wire);
        pair.ask(CALL);
        wire.every(QUIET / 10, || {
            pair.ask(16 * 1024);
            pair.answer(2 * WINDOW_UPDATE);
        });
    },
    chatty_stream_is_cycling => |wire| {
        let mut pair = pool(wire);
        pair.turn(CALL, 29);
        wire.every(QUIET / 10, || pair.turn(MESSAGE, MESSAGE));
    },
    silent_stream_is_idle => |wire| {
        let mut pair = pool(wire);
        pair.turn(CALL, 29 + MESSAGE);
        wire.rest();
    },
    goaway_leaves_a_call_in_flight_busy => |wire| {
        let mut pair = pool(wire);
        pair.ask(CALL);
        pair.answer(GOAWAY + PING);
        pair.ask(PING);
        wire.rest();
    },
    pool_is_gone_after_goaway_and_its_last_answer => |wire| {
        let mut pair = pool(wire);
        pair.ask(CALL);
        pair.answer(GOAWAY);
        pair.answer(ANSWER);
        drop(pair);
        wire.rest();
    },
}

/// A connection on which both sides have said hello. The client's acknowledgement comes last.
fn pool(wire: &Wire) -> Pair {
    let mut pair = wire.connect();
    pair.ask(PREFACE + SETTINGS + WINDOW_UPDATE);
    pair.answer(SETTINGS + ACKNOWLEDGED);
    pair.ask(ACKNOWLEDGED);
    pair
}

/// Of both sides in turn, as a client's keep-alive and a server's are.
fn pings(wire: &Wire, gap: u64) {
    let mut pair = pool(wire);
    pair.turn(CALL, ANSWER);
    wire.pause(Duration::from_millis(gap));
    let mut is_ours = false;
    wire.every(gap, || {
        is_ours = !is_ours;
        if is_ours {
            pair.answer(PING);
            pair.ask(PING);
        } else {
            pair.turn(PING, PING);
        }
    });
}
