//! What would grow in an operator that runs for months: two thousand objects come with their pods, roll and go, and
//! what it keeps of them goes with them. Only `cargo xtask test soak` runs it, alone.

use std::ops::Range;
use std::time::Instant;

use kube::Client;

use super::books::series;
use super::figure::{count, median, show};
use super::{AT_ONCE, Fleet, Life, alone, assert_kept, at_most, say};
use crate::world::Graceful;

/// The first rounds, until the allocator and the maps have found their size.
const WARM_UP: usize = 2;

/// Rounds of [`AT_ONCE`] objects each that are then made.
const ROUNDS: usize = 20;

/// A look is the middle of so many rounds: what the allocator holds differs a little from one to the next.
const LOOK: usize = 3;

/// How much more than at first may be there at the end, in percent.
const GROWTH: f64 = 5.0;

/// R36.
#[test]
fn two_thousand_objects_that_come_roll_and_go_leave_nothing_behind() {
    alone(soak());
}

async fn soak() {
    let client = Client::try_default().await.expect("a cluster");
    let fleet = Fleet::<Graceful>::new(&client).await;
    let life = Life::start("soaks").await;
    let (mut memory, mut lines) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let began = Instant::now();
        fleet.grow(0..AT_ONCE).await;
        fleet.roll(AT_ONCE, "web:2").await;
        fleet.shrink().await;
        life.until_forgotten().await;
        memory.push(life.memory());
        let of_page = series(&life.page().await);
        lines.push(count(u64::try_from(of_page).expect("a count")));
        let (memory, lines) = (memory[round], lines[round]);
        let done = (round + 1) * AT_ONCE;
        say(
            &format!("{done} objects: {memory:.2} MiB, {lines} series, the last {AT_ONCE}"),
            began,
        );
    }
    let made = u64::try_from(ROUNDS * AT_ONCE).expect("a count");
    show("objects of the soak", count(made), None, "objects");
    let (first, last) = (
        WARM_UP..WARM_UP + LOOK,
        WARM_UP + ROUNDS - LOOK..WARM_UP + ROUNDS,
    );
    let look = |of: &[f64], rounds: &Range<usize>| median(&of[rounds.clone()]);
    for (what, unit, of) in [("memory", "MiB", &memory), ("series", "series", &lines)] {
        let (before, after) = (look(of, &first), look(of, &last));
        show(
            &format!("{what} of the operator, early"),
            before,
            None,
            unit,
        );
        let limit = before * (1.0 + GROWTH / 100.0);
        at_most(&format!("{what} of the operator, late"), after, limit, unit);
    }
    assert_kept();
}
