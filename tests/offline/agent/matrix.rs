//! Every kind of connection against the real kernel: what the agent calls it, and whether a drain waits
//! for it. The expectations are in `rows`, which docs/connections.md is made of; each has a test of its
//! name and a script that moves the bytes. Sizes and times are the protocols', contents are not.
//!
//! All scripts run side by side and are seen by one reader of the socket table, so that the whole takes
//! about as long as its longest row.

mod http1;
mod http2;
mod raw;
mod rows;
mod streams;
mod tls;
mod transfers;
mod watch;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};
use std::thread::{self, JoinHandle};

use self::rows::{FAMILIES, Row};
use self::watch::{Outcome, Watch};
use self::wire::Wire;

/// Makes a connection of one kind and keeps it so until the wire says that it was judged.
type Script = fn(&Wire);

/// A test of each name, and the list of their scripts.
macro_rules! scripts {
    ($($name:ident => $script:expr,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::agent::matrix::holds(stringify!($name));
            }
        )*

        pub(super) const SCRIPTS: &[(&str, $crate::agent::matrix::Script)] =
            &[$((stringify!($name), $script)),*];
    };
}
use scripts;

const SCRIPTS: &[&[(&str, Script)]] = &[
    http1::SCRIPTS,
    http2::SCRIPTS,
    raw::SCRIPTS,
    streams::SCRIPTS,
    tls::SCRIPTS,
    transfers::SCRIPTS,
];

/// How often a row is tried: a machine that stands still for a second makes a short request a slow one.
const ATTEMPTS: u32 = 3;

fn rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().flat_map(|family| family.rows)
}

fn all_scripts() -> impl Iterator<Item = &'static (&'static str, Script)> {
    SCRIPTS.iter().copied().flatten()
}

/// Fails where the row of this name is not as the kernel and the agent have it.
fn holds(test: &str) {
    /// All rows under way, begun by the first test that asks.
    static RUNS: LazyLock<Mutex<BTreeMap<&str, JoinHandle<Outcome>>>> = LazyLock::new(|| {
        let watch = Watch::begin();
        let run = |(name, script): &(&'static str, Script)| {
            let (name, script, watch) = (*name, *script, watch.clone());
            (name, thread::spawn(move || run(name, script, &watch)))
        };
        Mutex::new(all_scripts().map(run).collect())
    });
    let run = RUNS.lock().unwrap().remove(test).unwrap();
    let outcome = run.join().unwrap();
    assert!(outcome.is_ok(), "{test}: {}", outcome.unwrap_err());
}

fn run(name: &str, script: Script, watch: &Watch) -> Outcome {
    let row = rows().find(|row| row.test == name).ok_or("no row")?;
    for _ in 1..ATTEMPTS {
        match watch.judge(row, script) {
            Err(why) => println!("once more: {name}: {why}"),
            fine => return fine,
        }
    }
    watch.judge(row, script)
}

#[test]
fn every_row_has_a_script() {
    let tested: BTreeSet<_> = all_scripts().map(|(name, _)| *name).collect();
    let told: BTreeSet<_> = rows().map(|row| row.test).collect();
    assert_eq!(tested, told);
    assert_eq!(rows().count(), told.len(), "a row stands twice");
}

/// The page's cells, of which none may break its table.
#[test]
fn every_row_is_told_in_words() {
    for family in FAMILIES {
        for cell in family.rows.iter().flat_map(|row| [row.wire, row.wants]) {
            let is_cell = !cell.is_empty() && !cell.contains(['|', '\n']);
            assert!(is_cell, "{}: {cell:?}", family.name);
        }
    }
}
