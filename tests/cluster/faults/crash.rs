//! The operator dies at every write, on either side of it: the next one comes to the same end by the
//! same makings and deletions.

use std::sync::Mutex;
use std::thread;

use super::spec;
use super::through::{Through, run};
use crate::proxy::{Crash, When};
use crate::world::WEB;

/// Objects that are worked on side by side, each in a namespace of its own with an operator of its own.
const SIDE_BY_SIDE: usize = 6;

/// Changes before one that is like all that follow: the history is full by then.
const WARM_UP: usize = 2;

/// What was done over all namespaces.
#[derive(Debug, Default)]
struct Deaths {
    /// Writes of the change without a death, by namespace.
    writes: Vec<usize>,
    died: usize,
    /// Changes that came to their end with fewer writes than expected.
    spared: usize,
}

/// R01, R02: each write of a rollout.
#[test]
fn rollout_ends_the_same_whichever_write_the_operator_dies_at() {
    die_at_every_write("crash-rollout", (2, 1), async |through, round| {
        through
            .world
            .set_image(&format!("{WEB}:{}", 2 + round))
            .await;
    });
}

/// R01, R02: each write of a scale-down and of the scale-up after it.
#[test]
fn scaling_ends_the_same_whichever_write_the_operator_dies_at() {
    die_at_every_write("crash-scaling", (3, 2), async |through, round| {
        through
            .world
            .scale(if round % 2 == 0 { 1 } else { 3 })
            .await;
    });
}

/// `kinds` of changes take turns.
fn die_at_every_write(
    name: &str,
    (replicas, kinds): (i32, usize),
    change: impl AsyncFn(&Through, usize) + Copy + Send + Sync,
) {
    let deaths = Mutex::new(Deaths::default());
    thread::scope(|scope| {
        for share in 0..SIDE_BY_SIDE {
            let deaths = &deaths;
            scope.spawn(move || {
                run(&format!("{name}-{share}"), async |mut through| {
                    through.create(replicas, spec()).await;
                    die_for(&mut through, (share, kinds), change, deaths).await;
                });
            });
        }
    });
    let deaths = deaths.into_inner().unwrap();
    println!("{name}: {deaths:?}");
    assert!(deaths.died > deaths.spared, "{deaths:?}");
}

/// Makes a change once in peace, and then once for each death of this share.
async fn die_for(
    through: &mut Through,
    (share, kinds): (usize, usize),
    change: impl AsyncFn(&Through, usize),
    deaths: &Mutex<Deaths>,
) {
    let mut rounds = 0..;
    let mut round = || rounds.next().expect("numbers go on");
    let mut ends = Vec::new();
    for _ in 0..WARM_UP + kinds {
        let (mark, before) = (through.mark().await, through.proxy.writes());
        change(through, round()).await;
        through.settle().await;
        let end = through.last_end(&mark).await;
        ends.push((end, through.proxy.writes() - before));
    }
    let ends = ends.split_off(WARM_UP);
    let most = ends.iter().map(|(_, writes)| *writes).max().unwrap_or(0);
    deaths.lock().unwrap().writes.push(most);
    let points = (1..=most).flat_map(|at| [(at, When::Before), (at, When::After)]);
    let own = points
        .enumerate()
        .filter(|(number, _)| number % SIDE_BY_SIDE == share);
    for (_, (at, when)) in own {
        for (other, most) in &ends {
            let mark = through.mark().await;
            let (at_all, process) = (through.proxy.writes() + at, through.process());
            through.proxy.set(|faults| {
                let crash = Crash {
                    at: at_all,
                    when,
                    process,
                };
                faults.crash = Some(crash);
            });
            change(through, round()).await;
            let proxy = through.proxy.clone();
            tokio::select! {
                () = proxy.crashed() => {}
                () = through.settle() => {}
            };
            if proxy.disarm() {
                deaths.lock().unwrap().spared += 1;
            } else {
                through.restart();
                deaths.lock().unwrap().died += 1;
            }
            through.settle().await;
            let what = format!("dead {when:?} write {at} of {most}");
            through.ends_like(&mark, other, &what).await;
        }
    }
}
