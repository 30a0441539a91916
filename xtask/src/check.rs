//! `cargo xtask check`: everything about the source that can be judged without a cluster, one
//! command a stage. It changes no file outside target/ and the user's cache.

mod chart;
mod conform;
mod schemas;

use std::path::PathBuf;

use anyhow::Result;

use crate::stage::{Outcome, conclude, in_root, sh};
use crate::{folders, tools, transcript};

/// The one version that is used: another may judge the same dependencies differently.
const CARGO_DENY: &str = "0.20.2";

/// Advisories are left out: they need the network, and would turn an unchanged tree red overnight.
const DENY: &str = "check --hide-inclusion-graph bans licenses sources";

/// The fuzz targets are a package of their own.
const FMT: [&str; 2] = [
    "cargo fmt --all --check",
    "cargo fmt --manifest-path fuzz/Cargo.toml --check",
];

/// `--all-targets` leaves out the tests that have `test = false`, and names beside it have no effect. The last
/// is of the programs without traces.
const CLIPPY: [&str; 3] = [
    "cargo clippy --workspace --all-targets --quiet -- -D warnings",
    "cargo clippy --test cluster --test e2e --quiet -- -D warnings",
    "cargo clippy --no-default-features --lib --bins --quiet -- -D warnings",
];

/// Private items are documented too, for those who work on them, so links to them are in order.
const RUSTDOCFLAGS: &str = "-D warnings -A rustdoc::private_intra_doc_links";

const DOCS: &str = "cargo doc --workspace --no-deps --document-private-items --quiet";

const GENERATED: &str = "cargo xtask generate --check";

const OFFLINE: &str = "cargo test --workspace --no-fail-fast";

/// The libraries of other tools, asked about objects that the operator wrote. Built as the clusters' programs are, so
/// that what helm was built of is not built again.
const COMPAT: &str = "go test -mod=readonly -trimpath ./...";

/// What is judged is the change, so the usual run tries the same random cases each time; new ones are
/// for `--full` and for a plain `cargo test`.
const SAME_CASES: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

/// Judges the source, runs the offline tests, and ends with a table.
pub(crate) fn run() -> Result<()> {
    let mut outcomes = source();
    outcomes.extend(offline());
    conclude(&outcomes)
}

/// Judges the source, from the cheapest stage to the dearest. One that fails does not keep the
/// others from running: a person wants to see all at once.
pub(crate) fn source() -> Vec<Outcome> {
    let plain = |name, line: &str| Outcome::of(name, line, || sh(line, &[]));
    vec![
        Outcome::of("fmt", &FMT.join(" && "), || {
            FMT.iter().try_for_each(|line| sh(line, &[]))
        }),
        Outcome::of("deny", &format!("cargo deny {DENY}"), deny),
        Outcome::of("clippy", &CLIPPY.join(" && "), || {
            CLIPPY.iter().try_for_each(|line| sh(line, &[]))
        }),
        Outcome::of(
            "docs",
            &format!("RUSTDOCFLAGS='{RUSTDOCFLAGS}' {DOCS}"),
            || sh(DOCS, &[("RUSTDOCFLAGS", RUSTDOCFLAGS)]),
        ),
        plain("generated", GENERATED),
        Outcome::of("workflows", "actionlint", workflows),
        Outcome::of("chart", chart::AGAIN, chart::judge),
        Outcome::of("schemas", &conform::again(), conform::judge),
    ]
}

/// Runs the tests that need no cluster: those beside the code, of tests/offline and of xtask, and those of
/// tests/compat, which are in Go.
pub(crate) fn offline() -> Vec<Outcome> {
    let again = format!("(cd tests/compat && {COMPAT})");
    vec![
        Outcome::of("offline", OFFLINE, || sh(OFFLINE, &[SAME_CASES])),
        Outcome::of("compat", &again, compat),
    ]
}

fn compat() -> Result<()> {
    let mut words = COMPAT.split_whitespace();
    let mut go = in_root(words.next().unwrap_or_default())?;
    go.args(words).env("CGO_ENABLED", "0").env("GOWORK", "off");
    go.current_dir(folders::workspace()?.join("tests/compat"));
    transcript::run(&mut go, COMPAT)
}

fn deny() -> Result<()> {
    let program = installed("cargo-deny", CARGO_DENY, "--no-default-features")?;
    let mut command = in_root(&program.to_string_lossy())?;
    command.args(DENY.split_whitespace());
    transcript::run(&mut command, "cargo-deny")
}

/// Scripts in workflows are left to the stage audit: what judges shell may or may not be installed.
fn workflows() -> Result<()> {
    let mut command = in_root(&tools::actionlint()?.to_string_lossy())?;
    command.args(["-shellcheck=", "-pyflakes="]);
    transcript::run(&mut command, "actionlint")
}

/// A program of cargo's in the user's cache, where it is built once (two minutes). Unoptimised: it
/// runs for seconds or waits for others, and an optimised build takes three times as long.
pub(crate) fn installed(name: &str, version: &str, features: &str) -> Result<PathBuf> {
    let home = folders::tools()?.join(format!("{name}-{version}"));
    let program = home.join("bin").join(name);
    if !program.exists() {
        println!("building {name} {version}, once");
        let install = "cargo install --locked --debug --quiet";
        let line = format!(
            "{install} {features} {name} --version {version} --root {}",
            home.display()
        );
        sh(&line, &[("CARGO_PROFILE_DEV_DEBUG", "false")])?;
    }
    Ok(program)
}
