//! `cargo xtask test`: every test there is, in stages. Those that need a cluster get a fresh one
//! each, which is taken down however the stage ended. It judges nothing itself: the test binaries
//! print their own results.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::check::{self, FULL};
use crate::cluster::Local;
use crate::folders;
use crate::stage::{Outcome, conclude, in_root};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take the long form of the tests that have one.
    #[arg(long)]
    full: bool,

    /// Stages to run; all of them by default.
    stages: Vec<Stage>,

    /// Arguments for the test binaries of the stages cluster and e2e, such as a part of a test's name.
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// The source: fmt, clippy, dependencies, docs, generated files.
    Check,
    /// Tests without a cluster.
    Offline,
    /// Tests against a real API server.
    Cluster,
    /// The operator under real traffic.
    E2e,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Offline => "offline",
            Self::Cluster => "cluster",
            Self::E2e => "e2e",
        }
    }

    /// When a stage's tests, its cluster up and ready, are taken to hang: about three times what
    /// they need, and together within the hour that a run may take on a fresh machine.
    fn limit(self) -> Duration {
        match self {
            Self::E2e => Duration::from_mins(25),
            _ => Duration::from_mins(8),
        }
    }
}

/// Runs the chosen stages and ends with a table. After an interruption the cluster is taken down
/// and no further stage is begun.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let chosen = |stage| args.stages.is_empty() || args.stages.contains(&stage);
    let mut outcomes = Vec::new();
    if chosen(Stage::Check) {
        outcomes.extend(check::source());
    }
    if chosen(Stage::Offline) {
        outcomes.push(check::offline(args.full));
    }
    for stage in [Stage::Cluster, Stage::E2e] {
        if !chosen(stage) {
            continue;
        }
        let again = format!("cargo xtask test {}", stage.name());
        let mut interrupted = false;
        let work = in_cluster(stage, args, &mut interrupted);
        outcomes.push(Outcome::of_async(stage.name(), &again, work).await);
        if interrupted {
            break;
        }
    }
    conclude(&outcomes)
}

/// Brings a cluster up, runs the stage's tests in it, and takes it down.
async fn in_cluster(stage: Stage, args: &Args, interrupted: &mut bool) -> Result<()> {
    // Built first: a cluster that waits for a compiler keeps its memory from it.
    let binary = test_binary(stage.name()).await?;
    let cluster = Cluster::named(&format!("ci-{}", std::process::id()))?;
    let result = tokio::select! {
        result = cluster.test(stage, &binary, args) => result,
        result = interruption() => {
            *interrupted = true;
            result.and_then(|name| bail!("interrupted by {name}"))
        }
    };
    if result.is_err() && !*interrupted {
        cluster
            .keep_logs(stage)
            .await
            .unwrap_or_else(|error| println!("cannot keep the logs: {error:#}"));
    }
    let down = cluster.down().await;
    result.and(down)
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
async fn test_binary(name: &str) -> Result<PathBuf> {
    let line = "test --no-run --quiet --message-format json-render-diagnostics --test";
    let output = Command::from(in_root("cargo")?)
        .args(line.split_whitespace())
        .arg(name)
        .stderr(Stdio::inherit())
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

/// One cluster of this run, reached through `xtask cluster` so that a stage that hangs or is
/// interrupted can be given up at any point.
struct Cluster {
    name: String,
    /// Looked up at the start: building the tests may put a new file in its place.
    xtask: PathBuf,
    /// The package's folder, where cargo would run the tests.
    root: PathBuf,
}

impl Cluster {
    fn named(name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            xtask: std::env::current_exe().context("find this program")?,
            root: folders::workspace()?,
        })
    }

    async fn test(&self, stage: Stage, binary: &Path, args: &Args) -> Result<()> {
        self.run(self.command("up")).await?;
        if stage == Stage::E2e {
            self.run(self.command("install")).await?;
        }
        let mut tests = self.command("run");
        tests.arg("--").arg(binary).args(&args.rest);
        if args.full {
            tests.env(FULL, "1");
        }
        timeout(stage.limit(), self.run(tests))
            .await
            .with_context(|| format!("still running after {:?}", stage.limit()))?
    }

    async fn down(&self) -> Result<()> {
        let mut down = self.command("down");
        // A second Ctrl-C from the terminal must not stop the cleaning up.
        down.process_group(0);
        self.run(down).await
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.xtask);
        command
            .current_dir(&self.root)
            .args(["cluster", verb, "--name", &self.name])
            .kill_on_drop(true);
        command
    }

    async fn run(&self, mut command: Command) -> Result<()> {
        let status = command.status().await.context("start xtask cluster")?;
        let words: Vec<_> = command.as_std().get_args().take(2).collect();
        ensure!(status.success(), "{words:?} ended with {status}");
        Ok(())
    }

    /// Writes down what a person needs to see why a stage failed; what cannot be had is left out.
    async fn keep_logs(&self, stage: Stage) -> Result<()> {
        let folder = folders::target()?.join("test-logs").join(stage.name());
        println!("logs of the failed stage: {}", folder.display());
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => std::fs::create_dir_all(&folder)?,
        }
        for log in std::fs::read_dir(Local::new(&self.name)?.logs())? {
            let log = log?;
            if log.file_type()?.is_file() {
                std::fs::copy(log.path(), folder.join(log.file_name()))?;
            }
        }
        for (file, line) in LOGS {
            let mut kubectl = self.command("kubectl");
            kubectl.arg("--").args(line.split_whitespace());
            let file = std::fs::File::create(folder.join(file))?;
            kubectl.stdout(file.try_clone()?).stderr(file);
            // An operator that is not installed has no log, and the file says so.
            let _ = timeout(Duration::from_secs(20), kubectl.status()).await;
        }
        Ok(())
    }
}

const LOGS: &[(&str, &str)] = &[
    (
        "operator.log",
        "logs --namespace graceful-system deployment/graceful-operator --tail -1",
    ),
    ("events.txt", "get events --all-namespaces --output wide"),
    ("pods.yaml", "get pods --all-namespaces --output yaml"),
    (
        "objects.yaml",
        "get gracefuldeployments,replicasets,endpointslices --all-namespaces --output yaml",
    ),
];

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
