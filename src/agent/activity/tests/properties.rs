//! What holds for any course of a connection.

use proptest::prelude::*;

use super::super::{Class, Millis};
use super::wire::Wire;

/// One move on the wire.
#[derive(Clone, Debug)]
enum Move {
    Receive(u64),
    Send(u64),
    Watch(Millis),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (1_u64..5000).prop_map(Move::Receive),
        (1_u64..50_000).prop_map(Move::Send),
        (1_i64..5000).prop_map(Move::Watch),
    ];
    proptest::collection::vec(one, 1..40)
}

impl Move {
    fn make(&self, wire: &mut Wire) {
        match *self {
            Self::Receive(bytes) => drop(wire.receive(bytes)),
            Self::Send(bytes) => drop(wire.send(bytes)),
            Self::Watch(millis) => drop(wire.watch(millis)),
        }
    }
}

/// A connection with a past, and a pause behind it.
fn after(moves: &[Move]) -> Wire {
    let mut wire = Wire::new();
    for one in moves {
        one.make(&mut wire);
    }
    wire.watch(50);
    wire.pass(50);
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn silence_after_an_answer_always_becomes_idle(moves in moves()) {
        let mut wire = after(&moves);
        // An answer that no one can take for a control frame, clearly after everything.
        wire.send(100);
        let answered = wire.now;
        prop_assert_eq!(wire.watch(3100), Class::Idle);
        prop_assert!(wire.disturbed.is_none_or(|at| at <= answered));
    }

    #[test]
    fn request_that_came_clearly_last_holds(moves in moves(), bytes in 31_u64..5000) {
        let mut wire = after(&moves);
        wire.receive(bytes);
        prop_assert_eq!(wire.watch(5000), Class::Busy);
        prop_assert_eq!(wire.quiet_for(), 0);
    }

    #[test]
    fn disturbance_is_never_in_the_future(moves in moves()) {
        let mut wire = Wire::new();
        for one in moves {
            one.make(&mut wire);
            wire.look();
            prop_assert!(wire.disturbed.is_none_or(|at| at <= wire.now));
        }
    }
}
