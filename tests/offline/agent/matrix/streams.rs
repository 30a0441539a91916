//! Server-sent events and WebSockets: streams that begin as a request of HTTP/1.1.

use std::time::Duration;

use super::watch::QUIET;
use super::wire::{Pair, Wire};

/// A masked text message of the client, and one of the server.
const MESSAGE: usize = 6 + 60;
const NEWS: usize = 4 + 180;

/// Control frames are masked as well where they are the client's.
const PING: usize = 2;
const PONG: usize = 6;

/// `event:`, `data:`, and the chunk around it.
const EVENT: usize = 140;
const COMMENT: usize = 7;

/// The shorter than the quiet time, the longer than the longest turn that counts as short.
const BELOW_QUIET: u64 = QUIET * 3 / 4;
const ABOVE_QUIET: u64 = QUIET * 7 / 4;
const OFTEN: u64 = QUIET / 5;

super::scripts! {
    events_in_short_gaps_are_busy => |wire| events(wire, OFTEN, EVENT),
    events_in_gaps_below_the_quiet_time_are_busy => |wire| events(wire, BELOW_QUIET, EVENT),
    events_in_gaps_above_the_quiet_time_are_idle_in_between => |wire| events(wire, ABOVE_QUIET, EVENT),
    comments_below_the_quiet_time_keep_a_stream_busy => |wire| events(wire, BELOW_QUIET, COMMENT),
    comments_above_the_quiet_time_leave_a_stream_idle => |wire| events(wire, ABOVE_QUIET, COMMENT),
    chatty_websocket_is_cycling => chatty,
    chatty_websocket_is_waited_for => chatty,
    websocket_that_pushes_is_busy => |wire| {
        let mut pair = upgraded(wire);
        wire.every(OFTEN, || pair.answer(NEWS));
    },
    websocket_that_only_listens_is_busy => |wire| {
        let mut pair = upgraded(wire);
        wire.every(OFTEN, || pair.ask(MESSAGE));
    },
    quiet_websocket_is_idle => quiet,
    quiet_websocket_is_waited_for => quiet,
    websocket_with_rare_pings_is_idle => |wire| pings(wire, ABOVE_QUIET),
    websocket_with_frequent_pings_is_busy => |wire| pings(wire, BELOW_QUIET),
}

fn events(wire: &Wire, gap: u64, bytes: usize) {
    let mut pair = wire.connect();
    pair.turn(200, 180);
    wire.every(gap, || pair.answer(bytes));
}

fn upgraded(wire: &Wire) -> Pair {
    let mut pair = wire.connect();
    pair.turn(260, 130);
    pair
}

fn chatty(wire: &Wire) {
    let mut pair = upgraded(wire);
    wire.every(QUIET / 10, || pair.turn(MESSAGE, NEWS));
}

fn quiet(wire: &Wire) {
    let _pair = upgraded(wire);
    wire.rest();
}

fn pings(wire: &Wire, gap: u64) {
    let mut pair = upgraded(wire);
    wire.pause(Duration::from_millis(gap));
    wire.every(gap, || {
        pair.answer(PING);
        pair.ask(PONG);
    });
}
