//! The operator's real loop in a simulated cluster where everything happens that chance seldom finds:
//! lagging caches, crashes at any write, lost answers, meddlers, lost nodes, clocks that are set. Each
//! run follows from its seed; a run that breaks a promise is told in the shortest way that is found.

mod agent;
#[path = "../fixtures/apiserver.rs"]
mod apiserver;
mod calm;
mod chance;
mod controllers;
mod door;
mod drive;
mod hunt;
mod informer;
mod judge;
mod kubelet;
mod meddler;
mod script;
mod sets;
mod sizes;
mod story;
mod victims;
mod wires;
mod world;

use self::hunt::{hunt, shorten};
use self::script::Script;

/// Runs of one test run; `SIMULATION_SEEDS` asks for another number.
const SEEDS: u64 = 500;

/// Least steps of all of them, for the default number.
const STEPS: usize = 100_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Safety in every step, whatever happens (R01, R02, R04, R05); then rest within a bound, or an honest
/// word why not, and no write for a minute.
#[test]
fn no_seed_breaks_a_promise() {
    let count = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let from = number("SIMULATION_FROM").unwrap_or(0);
    let (sum, broken) = hunt(from, count);
    println!("{}", sum.tell());
    for broken in &broken {
        println!("seed {}: {}", broken.script.seed, broken.what);
    }
    if let Some(first) = broken.first() {
        panic!("{}", shorten(&first.script).tell());
    }
    assert!(count < SEEDS || sum.steps >= STEPS, "{}", sum.tell());
}

/// One run, told whole: what `cargo xtask simulate --seed N` runs.
#[test]
fn seed_is_told() {
    let Some(seed) = number("SIMULATION_SEED") else {
        return;
    };
    let mut script = if number("SIMULATION_SLOW").is_some() {
        Script::slow_controller(seed)
    } else {
        Script::of(seed)
    };
    if number("SIMULATION_SHORTEN").is_some() {
        script = shorten(&script).script;
    }
    let (result, trace) = drive::run_told(script);
    println!("{}", trace.join("\n"));
    println!("{result:?}");
    assert!(result.is_ok(), "seed {seed}: {result:?}");
}
