//! The rows of HTTP and what is built on it.

use super::Called::{Busy, Cycling, Gone, Idle, Unresponsive};
use super::{GOODBYE, LET_GO, LIKE_REQUESTS, NOTHING, RACE, Row, SILENT, row};

pub(super) const HTTP1: &[Row] = &[
    row(
        "short_requests_on_a_kept_connection_are_cycling",
        "short requests on a kept connection, one after another",
        &[Cycling],
        RACE,
    ),
    row(
        "kept_connection_after_an_answer_is_idle",
        "a kept connection after its last answer",
        &[Idle],
        RACE,
    ),
    row(
        "connection_that_was_never_used_is_idle",
        "a connection opened ahead of use",
        &[Idle],
        RACE,
    ),
    row("slow_request_is_busy", "a slow request", &[Busy], NOTHING),
    row(
        "slow_requests_without_a_pause_are_busy",
        "long polling: a request that waits for news, its answer, the next one at once",
        &[Busy],
        "`notify`, to answer with `Connection: close`; else it lasts until the deadline",
    ),
    row(
        "slow_request_before_short_ones_is_forgotten",
        "a slow request, and then short ones for the quiet time",
        &[Cycling],
        RACE,
    ),
    row(
        "request_that_nobody_answers_turns_unresponsive",
        "a request without any answer",
        &[Unresponsive],
        LET_GO,
    ),
    row(
        "half_a_request_turns_unresponsive",
        "half a request, and no more",
        &[Unresponsive],
        LET_GO,
    ),
    row(
        "dripping_request_is_busy",
        "a request that comes in byte by byte (slow loris)",
        &[Busy],
        "a read timeout in the app; else it lasts until the deadline",
    ),
    row(
        "half_closed_client_that_waits_is_busy",
        "a client that has closed its half and waits for its answer",
        &[Busy],
        NOTHING,
    ),
    row(
        "half_closed_client_with_its_answer_is_idle",
        "the same after its answer, not closed by the app",
        &[Idle],
        NOTHING,
    ),
];

pub(super) const EVENTS: &[Row] = &[
    row(
        "events_in_short_gaps_are_busy",
        "events several times within the quiet time",
        &[Busy],
        GOODBYE,
    ),
    row(
        "events_in_gaps_below_the_quiet_time_are_busy",
        "events in gaps a little below the quiet time",
        &[Busy],
        GOODBYE,
    ),
    row(
        "events_in_gaps_above_the_quiet_time_are_idle_in_between",
        "events in gaps above the quiet time",
        &[Idle, Cycling],
        SILENT,
    ),
    row(
        "comments_below_the_quiet_time_keep_a_stream_busy",
        "no events, but a comment (`:`) within each quiet time",
        &[Busy],
        GOODBYE,
    ),
    row(
        "comments_above_the_quiet_time_leave_a_stream_idle",
        "no events, and a comment more rarely than that",
        &[Idle],
        SILENT,
    ),
];

pub(super) const WEBSOCKET: &[Row] = &[
    row(
        "chatty_websocket_is_cycling",
        "messages of the client and answers to them",
        &[Cycling],
        LIKE_REQUESTS,
    ),
    row(
        "websocket_that_pushes_is_busy",
        "messages of the server alone, several within the quiet time",
        &[Busy],
        GOODBYE,
    ),
    row(
        "websocket_that_only_listens_is_busy",
        "messages of the client alone, several within the quiet time",
        &[Busy],
        GOODBYE,
    ),
    row(
        "quiet_websocket_is_idle",
        "none after the handshake",
        &[Idle],
        SILENT,
    ),
    row(
        "websocket_with_rare_pings_is_idle",
        "pings and pongs, more rarely than the quiet time",
        &[Idle],
        SILENT,
    ),
    row(
        "websocket_with_frequent_pings_is_busy",
        "pings and pongs within each quiet time",
        &[Busy],
        GOODBYE,
    ),
];

pub(super) const HTTP2: &[Row] = &[
    row(
        "short_calls_on_one_connection_are_cycling",
        "short calls, one after another",
        &[Cycling],
        "`notify`, to send GOAWAY",
    ),
    row(
        "pool_after_a_call_is_idle",
        "a pool after its last call",
        &[Idle],
        NOTHING,
    ),
    row(
        "fresh_pool_is_idle",
        "a pool without a call: preface, `SETTINGS`, and the client's acknowledgement last",
        &[Idle],
        NOTHING,
    ),
    row(
        "window_update_after_an_answer_leaves_a_pool_idle",
        "a pool whose last frame is the client's `WINDOW_UPDATE`",
        &[Idle],
        NOTHING,
    ),
    row(
        "rare_pings_leave_a_pool_idle",
        "a pool with `PING`s, more rarely than the quiet time",
        &[Idle],
        NOTHING,
    ),
    row(
        "frequent_pings_keep_a_pool_busy",
        "a pool with `PING`s within each quiet time",
        &[Busy],
        "rarer `PING`s (gRPC's own minimum is 10 s), or `notify` to send GOAWAY",
    ),
    row("slow_call_is_busy", "a slow call", &[Busy], NOTHING),
    row(
        "slow_call_among_short_ones_is_cycling",
        "a slow call beside short ones on the same connection",
        &[Cycling],
        "`notify`, to send GOAWAY: the slow one is left alone then; or `metric`",
    ),
    row(
        "answers_of_a_flowing_stream_are_busy",
        "a server's stream that flows, with the client's `WINDOW_UPDATE`s",
        &[Busy],
        "an end, or `notify` to make one; else it lasts until the deadline",
    ),
    row(
        "small_messages_that_are_pinged_back_are_busy",
        "a server's stream of small messages, each answered by the client's `PING` (grpc-go)",
        &[Busy],
        "an end, or `notify` to make one; else it lasts until the deadline",
    ),
    row(
        "requests_of_a_flowing_stream_are_busy",
        "a client's stream that flows, with the server's `WINDOW_UPDATE`s",
        &[Busy],
        "an end, or `notify` to make one; else it lasts until the deadline",
    ),
    row(
        "chatty_stream_is_cycling",
        "a stream both ways, message by message",
        &[Cycling],
        LIKE_REQUESTS,
    ),
    row(
        "silent_stream_is_idle",
        "a stream that sends nothing for longer than the quiet time",
        &[Idle],
        SILENT,
    ),
    row(
        "goaway_leaves_a_call_in_flight_busy",
        "a call in flight after GOAWAY",
        &[Busy],
        NOTHING,
    ),
    row(
        "pool_is_gone_after_goaway_and_its_last_answer",
        "the same after its answer: the client closes",
        &[Gone],
        NOTHING,
    ),
];
