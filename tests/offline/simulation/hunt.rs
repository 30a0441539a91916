//! Runs many seeds on all cores, and tells the first that breaks a promise in the shortest way that is
//! found: with every deed, fault and lag left out that the failure does not need.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::drive::{Tally, run, run_told};
use super::script::{Permanent, Script};

/// What many runs came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) seeds: usize,
    pub(super) steps: usize,
    pub(super) writes: usize,
    pub(super) crashes: usize,
    /// Hours of the cluster's time.
    pub(super) hours: i64,
}

/// A run that went wrong, and why.
pub(super) struct Broken {
    pub(super) script: Script,
    pub(super) what: String,
    pub(super) trace: Vec<String>,
}

/// Runs these seeds; those that went wrong, lowest first.
pub(super) fn hunt(from: u64, count: u64) -> (Sum, Vec<Broken>) {
    hunt_for(from..from + count, Script::of)
}

/// The same, of scripts of one's own.
pub(super) fn hunt_for(
    seeds: Range<u64>,
    script: impl Fn(u64) -> Script + Sync,
) -> (Sum, Vec<Broken>) {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((Vec::new(), Vec::new()));
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let script = script(seed);
                    let result = run(script.clone());
                    let mut found = found.lock().expect("no thread panics here");
                    match result {
                        Ok(tally) => found.0.push(tally),
                        Err(what) => found.1.push(Broken {
                            script,
                            what,
                            trace: Vec::new(),
                        }),
                    }
                }
            });
        }
    });
    let (tallies, mut broken) = found.into_inner().expect("no thread panics here");
    broken.sort_by_key(|broken| broken.script.seed);
    (sum(&tallies), broken)
}

fn sum(tallies: &[Tally]) -> Sum {
    let of = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum();
    Sum {
        seeds: tallies.len(),
        steps: of(|tally| tally.steps),
        writes: of(|tally| tally.writes),
        crashes: of(|tally| tally.crashes),
        hours: tallies.iter().map(|tally| tally.time).sum::<i64>() / 3_600_000,
    }
}

/// Leaves out what the failure does not need, and tells the rest.
pub(super) fn shorten(script: &Script) -> Broken {
    let mut shortest = script.clone();
    loop {
        let before = shortest.clone();
        let fails = |candidate: &Script| run(candidate.clone()).is_err();
        for index in (0..shortest.deeds.len()).rev() {
            let mut candidate = shortest.clone();
            candidate.deeds.remove(index);
            if fails(&candidate) {
                shortest = candidate;
            }
        }
        for index in (0..shortest.faults.len()).rev() {
            let mut candidate = shortest.clone();
            candidate.faults.remove(index);
            if fails(&candidate) {
                shortest = candidate;
            }
        }
        for simpler in [
            |script: &mut Script| script.lag = 5,
            |script: &mut Script| script.controller_lag = 5,
            |script: &mut Script| script.permanent = Permanent::Nothing,
            |script: &mut Script| script.services.truncate(1),
        ] {
            let mut candidate = shortest.clone();
            simpler(&mut candidate);
            if fails(&candidate) {
                shortest = candidate;
            }
        }
        let size = |script: &Script| (script.deeds.len(), script.faults.len());
        if size(&before) == size(&shortest) {
            break;
        }
    }
    let (result, trace) = run_told(shortest.clone());
    let what = match result {
        Err(what) => what,
        Ok(_) => "it went well the second time: the simulation is not deterministic".into(),
    };
    Broken {
        script: shortest,
        what,
        trace,
    }
}

impl Sum {
    /// For a person.
    pub(super) fn tell(&self) -> String {
        let Self {
            seeds,
            steps,
            writes,
            crashes,
            hours,
        } = self;
        format!(
            "{seeds} seeds went well: {steps} steps in {hours} hours of the cluster's time, {writes} writes of the operator, {crashes} crashes"
        )
    }
}

impl Broken {
    /// For a person: what is broken, by which script, and the story of it.
    pub(super) fn tell(&self) -> String {
        let Self {
            script,
            what,
            trace,
        } = self;
        format!(
            "seed {}: {}\nspec {}\nservices {:?}\nlag {} ms, controllers' {} ms, permanent {:?}\ndeeds {:#?}\nfaults {:?}\n{}\nseed {}: {}",
            script.seed,
            what,
            script.object["spec"],
            script
                .services
                .iter()
                .map(|one| one["spec"].to_string())
                .collect::<Vec<_>>(),
            script.lag,
            script.controller_lag,
            script.permanent,
            script.deeds,
            script.faults,
            trace.join("\n"),
            script.seed,
            what,
        )
    }
}
