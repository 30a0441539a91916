//! One stage of a check or a test run: a headline, the work, the time it took, and at the end a
//! table that says how to run again what failed. It decides nothing about what is run.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::measurements::Figure;
use crate::{folders, transcript};

/// How one stage ended.
pub(crate) struct Outcome {
    name: &'static str,
    took: Duration,
    failure: Option<Failure>,
}

/// What a person needs to know of a stage that failed.
struct Failure {
    /// The command that runs this stage alone.
    again: String,
    why: String,
}

impl Outcome {
    /// Runs `work` under a headline; `again` is what a person types to repeat it.
    pub(crate) fn of(name: &'static str, again: &str, work: impl FnOnce() -> Result<()>) -> Self {
        let started = begin(name);
        Self::end(name, again, started, work())
    }

    /// As [`Outcome::of`], for work that is asynchronous.
    pub(crate) async fn of_async(
        name: &'static str,
        again: &str,
        work: impl Future<Output = Result<()>>,
    ) -> Self {
        let started = begin(name);
        Self::end(name, again, started, work.await)
    }

    fn end(name: &'static str, again: &str, started: Instant, result: Result<()>) -> Self {
        let took = started.elapsed();
        let failure = result.err().map(|error| Failure {
            again: again.to_owned(),
            why: format!("{error:#}"),
        });
        if let Some(failure) = &failure {
            println!("{name}: {}", failure.why.lines().next().unwrap_or_default());
        }
        Self {
            name,
            took,
            failure,
        }
    }
}

impl Outcome {
    pub(crate) fn passed(&self) -> bool {
        self.failure.is_none()
    }

    /// What it took, as a figure.
    pub(crate) fn figure(&self) -> Figure {
        let tenths = (self.took.as_secs_f64() * 10.0).round();
        Figure::of(format!("stage {}", self.name), tenths / 10.0, "s")
    }
}

fn begin(name: &str) -> Instant {
    println!("\n== {name}");
    Instant::now()
}

/// Prints the table, and below it why a stage failed: the end of a log is what is read. Fails where a
/// stage did.
pub(crate) fn conclude(outcomes: &[Outcome]) -> Result<()> {
    println!("\n{}", table(outcomes));
    let mut failed = Vec::new();
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            println!("\n-- {}: {}", outcome.name, failure.why);
            failed.push(failure.again.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    println!();
    bail!(
        "{} of {} stages failed; run again:\n  {}",
        failed.len(),
        outcomes.len(),
        failed.join("\n  ")
    )
}

fn table(outcomes: &[Outcome]) -> String {
    let line = |name: &str, took: Duration, verdict: &str| {
        format!("{name:<10} {:>7.1} s  {verdict}", took.as_secs_f64())
    };
    let total = outcomes.iter().map(|o| o.took).sum();
    outcomes
        .iter()
        .map(|o| {
            line(
                o.name,
                o.took,
                o.failure.as_ref().map_or("ok", |_| "FAILED"),
            )
        })
        .chain([line("total", total, "")])
        .collect::<Vec<_>>()
        .join("\n")
}

/// Runs a command line, words split at blanks, in the root of the workspace; the error says why it
/// failed.
pub(crate) fn sh(line: &str, env: &[(&str, &str)]) -> Result<()> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command line")?;
    let mut command = in_root(program)?;
    command.args(words).envs(env.iter().copied());
    transcript::run(&mut command, line)
}

/// A command in the root of the workspace, without what `cargo run` told this process about its own
/// package: build scripts that watch those variables (ring's does) would run again each time.
pub(crate) fn in_root(program: &str) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(folders::workspace()?);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_stage_is_named_with_its_command() {
        let passed = Outcome::of("fmt", "cargo fmt", || Ok(()));
        let failed = Outcome::of("docs", "cargo doc", || bail!("broken link"));
        let error = conclude(&[passed, failed]).expect_err("one stage failed");
        assert_eq!(
            error.to_string(),
            "1 of 2 stages failed; run again:\n  cargo doc"
        );
    }

    #[test]
    fn command_that_fails_is_an_error() {
        assert!(sh("false", &[]).is_err());
        assert!(sh("true", &[]).is_ok());
    }
}
