//! `cargo xtask test`: every test there is, in stages. Those that need a cluster get a fresh one
//! each, which is taken down however the stage ended. It judges nothing itself: the test binaries
//! print their own results.

mod full;
mod rig;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::measurements;
use crate::process::Progress;
use crate::stage::{Outcome, conclude, in_root};
use crate::{bench, check, debian, example, modules, tools};
pub(crate) use rig::{Rig, Tests};

/// Tests of the stage cluster at the same time: more than there are cores, because each has a namespace
/// of its own and waits for controllers most of its time.
const AT_ONCE: &str = "12";

/// The tests of the stage changes, and how many changes each makes.
const CHANGES: (&str, (&str, &str)) = ("iterative::graceful", ("GRACEFUL_CHANGES", "1000"));

/// The test of the stage state-metrics, and how it hears where the program is.
const STATE_METRICS: (&str, &str) = ("state_metrics::", "KUBE_STATE_METRICS");

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

/// One stage of a run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The source: fmt, clippy, dependencies, docs, generated files.
    Check,
    /// Tests without a cluster.
    Offline,
    /// Tests against a real API server.
    Cluster,
    /// The operator under real traffic.
    E2e,
    /// Long: the workflows by zizmor, and the scripts in them by shellcheck.
    Audit,
    /// Long: the book of docs/, made by mdBook.
    Book,
    /// Long: properties with many cases, and the agent's parsers by cargo-fuzz, which needs Rust's nightly.
    Fuzz,
    /// Long: the simulation with many seeds.
    Simulation,
    /// Long: a thousand changes of one object in a row, on a real API server.
    Changes,
    /// Long: kube-state-metrics with our configuration, on a real API server.
    StateMetrics,
    /// Long: mutants of the planner, each to be caught.
    Mutants,
    /// Long: the operator of the previous commit, upgraded and uninstalled under load.
    Upgrade,
    /// Long: kinds of work that take minutes.
    Works,
    /// Long: each kind of work under each kind of rollout, as the table of the docs.
    Matrix,
    /// Long: the operator that leads killed, stopped, and lost with its node, on two nodes.
    Nodes,
    /// Long: what grows in the operator over two thousand objects, on a real API server.
    Soak,
    /// Long: one operator with a thousand objects and five thousand pods, on a real API server.
    Scale,
    /// Long: what is promised, measured.
    Bench,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Offline => "offline",
            Self::Cluster => "cluster",
            Self::E2e => "e2e",
            Self::Audit => "audit",
            Self::Book => "book",
            Self::Fuzz => "fuzz",
            Self::Simulation => "simulation",
            Self::Changes => "changes",
            Self::StateMetrics => "state-metrics",
            Self::Mutants => "mutants",
            Self::Upgrade => "upgrade",
            Self::Works => "works",
            Self::Matrix => "matrix",
            Self::Nodes => "nodes",
            Self::Soak => "soak",
            Self::Scale => "scale",
            Self::Bench => "bench",
        }
    }

    /// How many nodes its cluster has.
    fn nodes(self) -> u8 {
        if self == Self::Nodes { 2 } else { 1 }
    }

    /// Whether it is left to `--full`.
    fn is_long(self) -> bool {
        !matches!(
            self,
            Self::Check | Self::Offline | Self::Cluster | Self::E2e
        )
    }

    /// How its tests are built. Where one machine plays all nodes of thousands of pods, what the nodes take is taken
    /// from what is measured.
    fn profile(self) -> &'static str {
        if matches!(self, Self::Soak | Self::Scale) {
            "fuzz"
        } else {
            "test"
        }
    }

    /// When a stage's tests, its cluster up and ready, are taken to hang: about three times what
    /// they need, and together within the hour that a run may take on a fresh machine.
    fn limit(self) -> Duration {
        match self {
            Self::E2e | Self::Works => Duration::from_mins(25),
            Self::Cluster => Duration::from_mins(15),
            Self::Changes => Duration::from_mins(40),
            _ => Duration::from_mins(8),
        }
    }
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
            Stage::Cluster | Stage::E2e | Stage::Changes | Stage::StateMetrics | Stage::Works => {
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
        let postgres = match stage {
            Stage::Works => {
                let find = || debian::postgres(Progress::start());
                Some(tokio::task::spawn_blocking(find).await??)
            }
            _ => None,
        };
        let postgres = postgres.map(|folder| folder.display().to_string());
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
        rig.test(&tests).await
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
        Stage::Works => {
            if arguments.is_empty() {
                arguments.push("works::".into());
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
        Stage::Works | Stage::Matrix | Stage::Nodes | Stage::Bench => Stage::E2e,
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
