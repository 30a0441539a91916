//! Clients that ask again and again: short requests, long ones, and both.

use super::super::*;
use super::wire::Wire;

#[test]
fn chatty_connection_is_cycling_and_holds_nothing() {
    for think in [0, 70, 500, 2000] {
        let mut wire = Wire::new();
        wire.receive(200).pass(3).send(300);
        wire.info.bare_acks_out = 1;
        for _ in 0..40 {
            wire.watch(think + 100);
            wire.receive(200).pass(5).send(300);
        }
        assert_eq!(wire.look(), Class::Cycling);
        assert_eq!(wire.disturbed, None, "think time {think}");
    }
}

/// Request and answer in one tick, again and again: the order is never seen.
#[test]
fn fast_cycle_without_visible_order_holds_nothing() {
    let mut wire = Wire::new();
    wire.receive(200).send(300);
    wire.info.bare_acks_out = 1;
    for _ in 0..60 {
        wire.watch(700);
        wire.receive(200).send(300);
    }
    assert_eq!(wire.look(), Class::Cycling);
    assert_eq!(wire.disturbed, None);
}

#[test]
fn cycle_of_long_requests_holds_until_its_client_rests() {
    let mut wire = Wire::new();
    wire.receive(200).pass(3).send(300).pass(5000);
    wire.watch(100);
    for _ in 0..3 {
        wire.receive(200);
        wire.watch(4000);
        wire.send(300).pass(300);
        wire.look();
    }
    assert_eq!(wire.look(), Class::Busy);
    assert!(wire.quiet_for() <= 500);
    assert_eq!(wire.watch(3000), Class::Idle);
    assert!(wire.quiet_for() >= 3000);
}

/// A client that never rests would hold the drain to its deadline for one slow answer.
#[test]
fn slow_request_among_short_ones_holds_for_the_quiet_time_alone() {
    let mut wire = Wire::new();
    wire.receive(200).pass(3).send(300).pass(500);
    wire.watch(100);
    wire.receive(200);
    wire.watch(2500);
    wire.send(300);
    let answered = wire.now;
    for _ in 0..40 {
        wire.watch(300);
        wire.receive(200).pass(5).send(300);
    }
    assert_eq!(wire.look(), Class::Cycling);
    assert_eq!(wire.disturbed, Some(answered));
}
