//! Each kind of connection that a pod has, and what it is taken for.

mod cycles;
mod properties;
mod wire;

use self::wire::{Wire, rules};
use super::*;

#[test]
fn keep_alive_between_requests_is_idle() {
    let mut wire = Wire::new();
    wire.receive(200).pass(20).send(500).pass(10_000);
    assert_eq!((wire.watch(1000), wire.disturbed), (Class::Idle, None));
}

#[test]
fn answer_within_the_same_tick_is_an_answer() {
    let mut wire = Wire::new();
    wire.receive(200).send(500);
    wire.info.bare_acks_out = 1;
    wire.pass(10_000);
    assert_eq!(wire.watch(1000), Class::Idle);
    assert_eq!(wire.disturbed, None);
}

#[test]
fn unanswered_first_request_is_busy_until_it_is_answered() {
    let mut wire = Wire::new();
    wire.receive(200).pass(1000);
    assert_eq!(wire.watch(7000), Class::Busy);
    assert_eq!(wire.quiet_for(), 0);
    wire.send(300).pass(50);
    wire.watch(2000);
    let answered = wire.now - 2050;
    let disturbed = wire.disturbed.unwrap();
    assert!((answered..answered + 4).contains(&disturbed), "{disturbed}");
    assert_eq!(wire.watch(1100), Class::Idle);
    assert_eq!(wire.disturbed, Some(disturbed));
}

#[test]
fn long_request_seen_from_its_beginning_holds_after_half_the_quiet_time() {
    let mut wire = Wire::new();
    wire.receive(200).send(500).pass(5000);
    wire.watch(500);
    wire.pass(30).receive(200);
    wire.watch(1400);
    assert_eq!(wire.disturbed, None);
    wire.watch(500);
    assert_eq!(wire.quiet_for(), 0);
}

/// The client that asks again in the very tick of the answer, as one without think time does.
#[test]
fn next_request_in_the_tick_of_the_last_answer_is_busy() {
    let mut wire = Wire::new();
    for _ in 0..3 {
        wire.receive(200);
        wire.info.bare_acks_out += 1;
        wire.pass(8000).send(300);
    }
    wire.receive(200).pass(40);
    wire.info.bare_acks_out += 1;
    wire.pass(2000);
    assert_eq!(wire.watch(5000), Class::Busy);
    assert_eq!(wire.quiet_for(), 0);
}

#[test]
fn bare_acknowledgement_after_an_unordered_turn_tells_of_a_request() {
    let mut wire = Wire::new();
    wire.receive(200).send(300);
    wire.info.bare_acks_out = 1;
    wire.pass(5000);
    wire.watch(100);
    wire.pass(90).receive(200).send(300).receive(200).pass(10);
    wire.look();
    wire.pass(40);
    wire.info.bare_acks_out += 1;
    assert_eq!(wire.watch(5000), Class::Busy);
    assert_eq!(wire.quiet_for(), 0);
}

#[test]
fn stream_holds_until_it_ends() {
    let mut wire = Wire::new();
    wire.receive(200).pass(5).send(400).pass(2000);
    for _ in 0..180 {
        wire.send(1000);
        wire.watch(100);
    }
    assert_eq!(wire.look(), Class::Busy);
    assert!(wire.quiet_for() <= 100, "{}", wire.quiet_for());
    wire.watch(3100);
    assert!(
        (3000..3300).contains(&wire.quiet_for()),
        "{}",
        wire.quiet_for()
    );
    assert_eq!(wire.look(), Class::Idle);
}

/// A gRPC client that reads a server stream tells the server so by window updates.
#[test]
fn stream_with_window_updates_is_no_cycle() {
    let mut wire = Wire::new();
    wire.receive(200).pass(5).send(400).pass(500);
    for _ in 0..60 {
        wire.send(16_384).pass(2).receive(26);
        wire.watch(100);
    }
    assert_eq!(wire.look(), Class::Busy);
    assert!(wire.quiet_for() <= 200, "{}", wire.quiet_for());
    assert_eq!(wire.watch(3200), Class::Idle);
}

#[test]
fn idle_http2_pool_is_idle_though_the_clients_frame_came_last() {
    // Preface and SETTINGS, then WINDOW_UPDATE; ours; then the client's SETTINGS acknowledgement.
    let mut wire = Wire::new();
    wire.receive(63)
        .receive(13)
        .pass(1)
        .send(40)
        .pass(8)
        .receive(9)
        .pass(10_000);
    assert_eq!(wire.watch(1000), Class::Idle);
    assert_eq!(wire.disturbed, None);
}

/// Hello, call and answer within one tick, as between two pods of a node. The client has not asked again:
/// its kernel acknowledged the answer by itself, 40 ms later.
#[test]
fn pool_whose_client_took_the_answer_is_idle_though_it_has_a_segment_more() {
    let mut wire = Wire::new();
    wire.receive(63).send(40).receive(9).receive(120).send(150);
    wire.info.bare_acks_out = 3;
    wire.pass(44).acknowledge().pass(10_000);
    assert_eq!(wire.watch(1000), Class::Idle);
    assert_eq!(wire.disturbed, None);

    // The first look comes before that acknowledgement.
    wire = Wire::new();
    wire.receive(63).send(40).receive(9).receive(120).send(150);
    wire.info.bare_acks_out = 3;
    assert_eq!(wire.pass(10).look(), Class::Busy);
    wire.pass(34).acknowledge();
    assert_eq!(wire.watch(3200), Class::Idle);
    assert_eq!(wire.disturbed, None);

    wire = Wire::new();
    wire.receive(63).send(40).receive(9).receive(120).send(150);
    wire.receive(120).acknowledge();
    wire.info.bare_acks_out = 3;
    wire.pass(10_000);
    assert_eq!(wire.watch(1000), Class::Busy);
}

#[test]
fn pool_that_was_opened_within_a_tick_and_never_used_is_idle() {
    let mut wire = Wire::new();
    wire.receive(63).send(40).receive(9);
    wire.info.bare_acks_out = 2;
    wire.pass(10_000);
    assert_eq!(wire.watch(1000), Class::Idle);
    assert_eq!(wire.disturbed, None);
}

/// A client of grpc-go measures the line by a `PING` for each message; a look a second sees many.
#[test]
fn stream_whose_messages_are_pinged_back_is_no_cycle() {
    let mut wire = Wire::new();
    wire.receive(120).pass(10).send(60).pass(10_000);
    wire.watch(100);
    wire.receive(120);
    for _ in 0..10 {
        for _ in 0..5 {
            wire.pass(100).send(120).pass(1).receive(17).send(17);
        }
        wire.look();
    }
    assert_eq!(wire.look(), Class::Busy);
    assert!(wire.quiet_for() < 500, "{}", wire.quiet_for());
    assert_eq!(wire.watch(3200), Class::Idle);
}

#[test]
fn upload_with_window_updates_holds_until_it_ends() {
    let mut wire = Wire::new();
    wire.receive(200).pass(10).send(40).pass(10_000);
    wire.watch(100);
    for _ in 0..30 {
        wire.receive(16 << 10).pass(2).send(26);
        wire.watch(200);
    }
    assert_eq!(wire.watch(100), Class::Busy);
    assert!(wire.quiet_for() < 500, "{}", wire.quiet_for());
    wire.send(150);
    assert_eq!(wire.watch(3200), Class::Idle);
}

/// `+OK` to a `SET`.
#[test]
fn short_answer_to_a_short_request_is_no_window_update() {
    let mut wire = Wire::new();
    wire.receive(500).pass(10).send(5).pass(10_000);
    wire.watch(100);
    for _ in 0..30 {
        wire.receive(500).pass(2).send(5);
        wire.watch(200);
    }
    assert_eq!(wire.look(), Class::Cycling);
    assert_eq!(wire.disturbed, None);
}

#[test]
fn window_update_after_an_answer_is_idle_when_the_quiet_time_has_passed() {
    let mut wire = Wire::new();
    wire.receive(200).pass(5).send(300).pass(10_000);
    wire.watch(100);
    wire.receive(200).pass(60).send(5000).pass(100);
    wire.look();
    wire.pass(50).receive(26);
    assert_eq!(wire.watch(3200), Class::Idle);
}

#[test]
fn pings_of_either_side_leave_a_pool_idle() {
    for client_first in [true, false] {
        let mut wire = Wire::new();
        wire.receive(200).pass(20).send(500).pass(10_000);
        wire.watch(100);
        for _ in 0..5 {
            if client_first {
                wire.receive(17).pass(1).send(17);
            } else {
                wire.send(17).pass(130);
                wire.look();
                wire.receive(17);
            }
            assert_eq!(wire.watch(5000), Class::Idle);
        }
        assert_eq!(wire.disturbed, None, "client first: {client_first}");
    }
}

/// T14.
#[test]
fn slow_loris_that_has_gone_silent_is_unresponsive() {
    let mut wire = Wire::new();
    wire.receive(30);
    assert_eq!(wire.watch(59_900), Class::Busy);
    assert_eq!(wire.quiet_for(), 0);
    assert_eq!(wire.watch(200), Class::Unresponsive);
    wire.watch(5000);
    assert!(wire.quiet_for() >= 5000);
}

#[test]
fn client_that_does_not_read_is_busy_then_unresponsive() {
    let mut wire = Wire::new();
    wire.receive(200).pass(5).send(1_000_000);
    wire.unacknowledged = 400_000;
    assert_eq!(wire.watch(30_000), Class::Busy);
    assert_eq!(wire.quiet_for(), 0);
    assert_eq!(wire.watch(31_000), Class::Unresponsive);
}

#[test]
fn half_closed_client_is_waited_for() {
    let mut wire = Wire::new();
    wire.receive(300).pass(2000);
    wire.look();
    // Its end of stream changes no counter: the reading takes it off.
    assert_eq!(wire.watch(5000), Class::Busy);
    wire.send(100);
    assert_eq!(wire.watch(3100), Class::Idle);
}

#[test]
fn connection_that_never_spoke_holds_nothing() {
    let mut wire = Wire::new();
    wire.born = wire.now;
    assert_eq!(wire.look(), Class::Cycling);
    assert_eq!(wire.watch(3100), Class::Idle);
    assert_eq!(wire.disturbed, None);
}

#[test]
fn event_after_long_silence_is_no_stream() {
    let mut wire = Wire::new();
    wire.receive(200).pass(5).send(400).pass(10_000);
    wire.watch(100);
    for _ in 0..4 {
        wire.send(600);
        wire.watch(10_000);
    }
    assert_eq!(wire.disturbed, None);
}

#[test]
fn wait_holds_for_idle_connections_but_not_for_new_ones() {
    let mut wire = Wire::waiting(KeepAlive::Wait);
    wire.receive(200).pass(20).send(500).pass(10_000);
    assert_eq!(wire.watch(1000), Class::Idle);
    assert_eq!(wire.quiet_for(), 0);

    let mut probe = Wire::waiting(KeepAlive::Wait);
    probe.born = probe.now;
    probe.watch(300);
    assert_eq!(probe.disturbed, None);
    probe.watch(1500);
    assert_eq!(probe.quiet_for(), 0);
}

#[test]
fn without_tcp_info_queues_are_work_and_silence_is_rest() {
    let rules = rules();
    let reading = |unread| Reading {
        cookie: 1,
        state: State::Established,
        local: "10.0.0.1:80".parse().unwrap(),
        peer: "10.0.0.2:999".parse().unwrap(),
        unread,
        unacknowledged: 0,
        info: None,
    };
    let mut track = Track::first(&reading(0), 0, Millis::MIN, &rules);
    track.next(&reading(5), 100, &rules);
    assert_eq!(track.class(100, &rules), Class::Busy);
    track.next(&reading(5), 2000, &rules);
    assert_eq!(track.disturbed(2000, &rules), Some(2000));
    track.next(&reading(0), 2100, &rules);
    assert_eq!(track.class(5100, &rules), Class::Idle);
}
