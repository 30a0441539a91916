//! `cargo xtask test`: every test there is, in stages. Those that need a cluster get a fresh one
//! each, which is taken down however the stage ended. It judges nothing itself: the test binaries
//! print their own results.

mod full;
mod rig;
mod stage;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum as _;
use serde_json::Value;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::measurements;
use crate::process::Progress;
use crate::stage::{Outcome, conclude, in_root};
use crate::{bench, check, debian, example, modules, tools};
pub(crate) use rig::{Rig, Tests};
pub(crate) use stage::Stage;

/// Tests of the stage cluster at the same time: more than there are cores, because each has a namespace
/// of its own and waits for controllers most of its time.
const AT_ONCE: &str = "12";

/// The tests of the stage changes, and how many changes each makes.
const CHANGES: (&str, (&str, &str)) = ("iterative::graceful", ("GRACEFUL_CHANGES", "1000"));

/// The test of the stage state-metrics, and how it hears where the program is.
const STATE_METRICS: (&str, &str) = ("state_metrics::", "KUBE_STATE_METRICS");

/// The tests of the stage examples.
const EXAMPLES: &str = "examples:: outside:: pool:: work::";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Add the long stages, of hours; where all pass, their figures go to docs/measurements.
    #[arg(long, conflicts_with = "stages")]
    full: bool,

    /// Stages to run; by default all but the long ones.
    stages: Vec<Stage>,

    /// Arguments for the test binaries of the stages cluster and e2e, such as a part of a test's name.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Runs the chosen stages and ends with a table. After an interruption the cluster is taken down
/// and no further stage is begun.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut outcomes = Vec::new();
    let mut figures = Vec::new();
    let mut interrupted = false;
    for stage in Stage::value_variants() {
        let is_chosen = if args.stages.is_empty() {
            args.full || !stage.is_long()
        } else {
            args.stages.contains(stage)
        };
        if !is_chosen || interrupted {
            continue;
        }
        match stage {
            Stage::Check => outcomes.extend(check::source()),
            Stage::Offline => outcomes.extend(check::offline()),
            Stage::Audit => outcomes.push(full::audit()),
            Stage::Book => outcomes.push(full::book()),
            Stage::Fuzz => outcomes.extend(full::fuzz()),
            Stage::Simulation => outcomes.push(full::simulation()),
            Stage::Mutants => outcomes.push(full::mutants(&mut figures)),
            Stage::Upgrade => outcomes.push(upgrade::stage(&mut interrupted).await),
            Stage::Matrix => outcomes.push(bench::matrix(&mut interrupted).await),
            Stage::Nodes => outcomes.push(bench::nodes(&mut interrupted).await),
            Stage::Soak => outcomes.push(bench::soak(&mut interrupted).await),
            Stage::Scale => outcomes.push(bench::scale(&mut interrupted).await),
            Stage::Bench => outcomes.push(bench::stage(&mut interrupted).await),
            Stage::Cluster
            | Stage::E2e
            | Stage::Changes
            | Stage::StateMetrics
            | Stage::Examples
            | Stage::Works => {
                outcomes.push(on_cluster(*stage, args, &mut interrupted).await);
            }
        }
    }
    if args.full && !interrupted && outcomes.iter().all(Outcome::passed) {
        figures.extend(outcomes.iter().map(Outcome::figure));
        measurements::record("full", figures)?;
    }
    conclude(&outcomes)
}

/// Where the tests find the programs of PostgreSQL.
const POSTGRES: &str = "POSTGRES";

/// Runs one of the stages that are tests on a cluster.
async fn on_cluster(stage: Stage, args: &Args, interrupted: &mut bool) -> Outcome {
    let again = format!("cargo xtask test {}", stage.name());
    let work = in_cluster(stage.name(), interrupted, async |rig| {
        // What takes the compiler comes first here too.
        let state_metrics = match stage {
            Stage::StateMetrics => {
                let program = tokio::task::spawn_blocking(tools::state_metrics).await??;
                Some(program.display().to_string())
            }
            _ => None,
        };
        let postgres = if stage.has_postgres() {
            let find = || debian::postgres(Progress::start());
            let folder = tokio::task::spawn_blocking(find).await??;
            Some(folder.display().to_string())
        } else {
            None
        };
        let binary = set_up(rig, stage).await?;
        let mut tests = tests(stage, args, &binary);
        if let Some(folder) = &postgres {
            tests.env.push((POSTGRES, folder));
        }
        if let Some(program) = &state_metrics {
            tests.env.push((STATE_METRICS.1, program));
        }
        let monitors;
        if stage == Stage::Cluster {
            let folder = modules::folder(modules::PROMETHEUS_OPERATOR)?;
            monitors = folder.display().to_string();
            tests.env.push(("PROMETHEUS_OPERATOR", &monitors));
        }
        for _ in 0..stage.times() {
            rig.test(&tests).await?;
        }
        Ok(())
    });
    Outcome::of_async(stage.name(), &again, work).await
}

/// How a stage runs its tests.
fn tests<'a>(stage: Stage, args: &Args, binary: &'a Path) -> Tests<'a> {
    let mut arguments = args.rest.clone();
    if stage == Stage::E2e {
        // They compare to the tenth of a second and want a quiet machine, take long, or need another
        // operator: stages of their own, and the pictures of the docs.
        let others = [
            "bench::",
            "first::",
            "upgrade::",
            "works::",
            "matrix::",
            "nodes::",
            "recording::",
        ];
        arguments.extend(skip(&others));
    }
    let mut env = vec![];
    match stage {
        Stage::Cluster => {
            env.push(("RUST_TEST_THREADS", AT_ONCE));
            // Stages of their own.
            arguments.extend(skip(&[STATE_METRICS.0, bench::SOAK, bench::SCALE]));
        }
        Stage::StateMetrics => arguments.push(STATE_METRICS.0.into()),
        Stage::Changes => {
            arguments.push(CHANGES.0.into());
            env.push(CHANGES.1);
        }
        // Most run alone anyhow, and their figures are to be seen.
        Stage::Examples | Stage::Works => {
            if arguments.is_empty() {
                let own = if stage == Stage::Works {
                    "works::"
                } else {
                    EXAMPLES
                };
                arguments.extend(own.split_whitespace().map(str::to_owned));
            }
            arguments.extend(["--test-threads", "1", "--nocapture"].map(str::to_owned));
        }
        _ => {}
    }
    Tests {
        binary,
        arguments,
        env,
        limit: stage.limit(),
    }
}

/// What tells a test binary to leave out the tests of these names.
fn skip(names: &[&str]) -> impl Iterator<Item = String> {
    names
        .iter()
        .flat_map(|name| ["--skip", name])
        .map(str::to_owned)
}

/// Works in a cluster that is there for one stage, keeps the logs where that failed, and takes the
/// cluster down.
pub(crate) async fn in_cluster(
    stage: &str,
    interrupted: &mut bool,
    work: impl AsyncFnOnce(&Rig) -> Result<()>,
) -> Result<()> {
    let rig = Rig::named(&format!("ci-{}", std::process::id()))?;
    let result = tokio::select! {
        result = work(&rig) => result,
        signal = interruption() => {
            *interrupted = true;
            signal.and_then(|name| bail!("interrupted by {name}"))
        }
    };
    if result.is_err() && !*interrupted {
        rig.keep_logs(stage)
            .await
            .unwrap_or_else(|error| println!("cannot keep the logs: {error:#}"));
    }
    let down = rig.down().await;
    result.and(down)
}

/// Brings up what a stage's tests need, and says where their binary is. What takes the compiler comes
/// first: a cluster that waits for it keeps its memory from it.
pub(crate) async fn set_up(rig: &Rig, stage: Stage) -> Result<PathBuf> {
    let tests = match stage {
        Stage::Changes | Stage::StateMetrics | Stage::Soak | Stage::Scale => Stage::Cluster,
        Stage::Examples | Stage::Works | Stage::Matrix | Stage::Nodes | Stage::Bench => Stage::E2e,
        _ => stage,
    };
    let binary = test_binary(tests.name(), stage.profile()).await?;
    if tests == Stage::E2e {
        rig.build_images().await?;
        // An interruption does not wait for it.
        tokio::task::spawn_blocking(|| {
            debian::install_servers(Progress::start())?;
            example::check()
        })
        .await??;
    }
    rig.up(stage.nodes()).await?;
    if tests == Stage::E2e {
        rig.install().await?;
        for name in example::names().filter(|name| name != example::FIRST) {
            rig.load(&name).await?;
        }
    }
    Ok(binary)
}

/// Waits for a signal that asks this process to end.
async fn interruption() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// Builds a test binary and says where cargo put it.
async fn test_binary(name: &str, profile: &str) -> Result<PathBuf> {
    let line = "test --no-run --quiet --message-format json-render-diagnostics --test";
    let output = Command::from(in_root("cargo")?)
        .args(line.split_whitespace())
        .args([name, "--profile", profile])
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("start cargo")?;
    ensure!(output.status.success(), "cannot build the tests {name}");
    executable(&String::from_utf8_lossy(&output.stdout), name)
        .with_context(|| format!("cargo names no executable for the tests {name}"))
}

/// Finds the executable of a test target in cargo's messages, one JSON object a line.
fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message.pointer("/target/name").and_then(Value::as_str) == Some(target)
                && message.pointer("/target/kind/0").and_then(Value::as_str) == Some("test")
        })
        .find_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_the_test_target_of_that_name() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"cluster"},"executable":"/bin"}
not json
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"e2e"},"executable":"/e2e-1"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"cluster"},"executable":"/cluster-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable(messages, "cluster"),
            Some(PathBuf::from("/cluster-1"))
        );
        assert_eq!(executable(messages, "offline"), None);
    }
}
