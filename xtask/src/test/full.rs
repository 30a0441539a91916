//! What `cargo xtask test --full` adds without a cluster: the workflows' audit, the book, properties with many cases,
//! the simulation with many seeds, and mutants of the planner. Long on purpose, and gentle to whoever works beside it.

mod parsers;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail, ensure};

use crate::measurements::Figure;
use crate::process::Progress;
use crate::stage::{Outcome, in_root, sh};
use crate::{check, debian, folders, tools, transcript};

/// The one version that is used: another makes other mutants.
const CARGO_MUTANTS: &str = "27.1.0";

/// Builds the book; the offline tests check its links, and what it says.
const MDBOOK: &str = "0.5.4";

/// The newest that the Rust of this workspace builds; CI runs a newer one. What it would ask GitHub is left out: it
/// would turn an unchanged tree red overnight.
const ZIZMOR: &str = "1.25.2";
const AUDIT: &str = "--offline --persona=pedantic --no-progress .github/workflows";

/// Optimised, and still with every assertion and overflow check.
const FUZZ: &str = "cargo test --profile fuzz --lib --test offline -- \
                    --skip simulation:: --skip agent::binary:: --skip agent::kernel::";

/// Percent of the usual cases, and cases of the properties beside the code (256 otherwise).
const CASES: [(&str, &str); 2] = [("GRACEFUL_CASES", "5000"), ("PROPTEST_CASES", "100000")];

const SIMULATE: &str = "cargo test --profile fuzz --test offline -- simulation::";

/// Twenty times what CI runs.
const SEEDS: (&str, &str) = ("SIMULATION_SEEDS", "10000");

/// Mutants that change nothing that can be seen, each with its reason.
const EQUIVALENT: &str = "tests/mutants.txt";

/// What a mutant is put to: the planner's own tests, with a share of their cases. A mutant that survives
/// these is tried by nothing else, so a test that is missing is missed here.
const MUTANTS: &str = "mutants --file src/rollout.rs --file src/rollout/**/*.rs --no-shuffle \
                       --profile mutants --no-times --colors never --timeout 300 --build-timeout 900";
const MUTANTS_SHARE: (&str, &str) = ("GRACEFUL_CASES", "5");
const MUTANTS_TESTS: &str = "--cargo-arg=--test=planner";

/// The workflows: what an attacker could use, and the scripts in them.
pub(super) fn audit() -> Outcome {
    Outcome::of("audit", "cargo xtask test audit", || {
        let shellcheck = debian::shellcheck(Progress::start())?;
        let mut scripts = in_root(&tools::actionlint()?.to_string_lossy())?;
        scripts.arg("-shellcheck").arg(shellcheck).arg("-pyflakes=");
        transcript::run(&mut scripts, "actionlint -shellcheck")?;
        let program = check::installed("zizmor", ZIZMOR, "")?;
        let mut audit = in_root(&program.to_string_lossy())?;
        audit.args(AUDIT.split_whitespace());
        transcript::run(&mut audit, "zizmor")
    })
}

/// The pages of docs/ as a book, in target/book.
pub(super) fn book() -> Outcome {
    Outcome::of("book", "cargo xtask test book", || {
        let program = check::installed("mdbook", MDBOOK, "--no-default-features")?;
        let mut build = in_root(&program.to_string_lossy())?;
        build.args(["build", "docs"]);
        transcript::run(&mut build, "mdbook build docs")
    })
}

/// Properties with many times their cases, and the agent's parsers by fuzzers that look for inputs.
pub(super) fn fuzz() -> [Outcome; 2] {
    let again = format!(
        "{}={} {}={} {FUZZ}",
        CASES[0].0, CASES[0].1, CASES[1].0, CASES[1].1
    );
    [
        Outcome::of("fuzz", &again, || sh(FUZZ, &CASES)),
        Outcome::of("parsers", "cargo xtask test fuzz", parsers::fuzz),
    ]
}

/// The simulation with many times its seeds.
pub(super) fn simulation() -> Outcome {
    let again = format!("{}={} {SIMULATE}", SEEDS.0, SEEDS.1);
    Outcome::of("simulation", &again, || sh(SIMULATE, &[SEEDS]))
}

/// Mutants of src/rollout: each is caught by a test, or is listed as one that changes nothing.
pub(super) fn mutants(figures: &mut Vec<Figure>) -> Outcome {
    Outcome::of("mutants", "cargo xtask test mutants", || {
        let found = try_mutants()?;
        let count = |lines: &[String]| u32::try_from(lines.len()).map_or(f64::NAN, f64::from);
        figures.push(Figure::of(
            "mutants of src/rollout, caught",
            count(&found.caught),
            "mutants",
        ));
        figures.push(Figure::of(
            "mutants of src/rollout that change nothing",
            count(&found.survived),
            "mutants",
        ));
        let listed = fs::read_to_string(folders::workspace()?.join(EQUIVALENT))
            .with_context(|| format!("read {EQUIVALENT}"))?;
        judge(&found.survived, &listed)
    })
}

/// What became of the mutants.
struct Found {
    /// By a failed test, or by a test that did not end.
    caught: Vec<String>,
    survived: Vec<String>,
}

fn try_mutants() -> Result<Found> {
    let program = check::installed("cargo-mutants", CARGO_MUTANTS, "")?;
    let target = folders::target()?;
    // Each job builds a tree of its own, and a rustc of ours is not parallel all the time.
    let jobs = available_parallelism().map_or(2, |cores| cores.get().div_ceil(2));
    let mut command = in_root("nice")?;
    command
        .args(["-n", "19"])
        .arg(program)
        .args(MUTANTS.split_whitespace())
        .args(["--jobs", &jobs.to_string()])
        .arg("--output")
        .arg(&target)
        .args(MUTANTS_TESTS.split_whitespace())
        .env(MUTANTS_SHARE.0, MUTANTS_SHARE.1);
    // It fails where a mutant survived or hung, which is judged below, and where it could not work.
    let failed = transcript::run(&mut command, "cargo mutants").err();
    let folder = target.join("mutants.out");
    let caught = [
        lines(&folder, "caught.txt")?,
        lines(&folder, "timeout.txt")?,
    ]
    .concat();
    let survived = lines(&folder, "missed.txt")?;
    match failed {
        Some(error) if caught.is_empty() => Err(error),
        _ => Ok(Found { caught, survived }),
    }
}

fn lines(folder: &Path, name: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(folder.join(name)).with_context(|| format!("read {name}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Fails on a survivor that is not listed, and on an entry that survives no more: a list that is longer
/// than the truth hides the next one.
fn judge(survived: &[String], listed: &str) -> Result<()> {
    let mut listed = entries(listed)?;
    let mut unlisted = Vec::new();
    for mutant in survived {
        match listed.get_mut(&placeless(mutant)) {
            Some(left) if *left > 0 => *left -= 1,
            _ => unlisted.push(mutant.as_str()),
        }
    }
    let gone: Vec<_> = listed
        .iter()
        .filter(|(_, left)| **left > 0)
        .map(|(mutant, left)| format!("{mutant} ({left})"))
        .collect();
    if !unlisted.is_empty() {
        bail!(
            "{} mutants survive: write the test that is missing, or say in {EQUIVALENT} why nothing can \
             tell\n{}",
            unlisted.len(),
            unlisted.join("\n")
        );
    }
    ensure!(
        gone.is_empty(),
        "{EQUIVALENT} lists what survives no more\n{}",
        gone.join("\n")
    );
    Ok(())
}

/// The listed mutants, each with how many times it is listed: `mutant | reason`.
fn entries(listed: &str) -> Result<BTreeMap<String, usize>> {
    let mut entries = BTreeMap::new();
    for line in listed.lines().filter(|line| !line.starts_with('#')) {
        let entry = line
            .split_once(" | ")
            .filter(|(_, reason)| !reason.trim().is_empty());
        let (mutant, _) = entry.with_context(|| format!("{EQUIVALENT}: no reason: {line}"))?;
        *entries.entry(mutant.to_owned()).or_default() += 1;
    }
    Ok(entries)
}

/// A mutant's name without line and column, which every edit above it moves.
fn placeless(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => mutant.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SURVIVOR: &str = "src/rollout/a.rs:12:7: replace > with >= in has_room";
    const LISTED: &str = "\
# comment
src/rollout/a.rs: replace > with >= in has_room | equal sizes are left out before";

    #[test]
    fn listed_survivor_is_in_order_wherever_it_stands() {
        judge(&[SURVIVOR.to_owned()], LISTED).unwrap();
    }

    #[test]
    fn second_survivor_of_the_same_name_is_not() {
        let other = SURVIVOR.replace("12", "15");
        let error = judge(&[SURVIVOR.to_owned(), other.clone()], LISTED).unwrap_err();
        assert!(error.to_string().contains(&other), "{error}");
    }

    #[test]
    fn entry_that_survives_no_more_is_told() {
        let error = judge(&[], LISTED).unwrap_err();
        assert!(error.to_string().contains("has_room"), "{error}");
    }

    #[test]
    fn entry_without_a_reason_is_refused() {
        judge(&[], "src/rollout/a.rs: replace > with >= in has_room").unwrap_err();
    }

    #[test]
    fn list_is_readable() {
        let file = folders::workspace().unwrap().join(EQUIVALENT);
        entries(&fs::read_to_string(file).unwrap()).unwrap();
    }
}
