//! The cluster of one stage. It is reached through `xtask cluster`, in processes of its own, so that a
//! stage that hangs or is interrupted can be given up at any point.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::cluster::Local;
use crate::transcript::{LAST_WORDS, NO_BACKTRACE, Stream, Transcript};
use crate::{example, folders};

/// Where the tests find this program, for the load client.
const XTASK: &str = "XTASK";

/// Where the tests find the examples' programs, some of which are clients too.
const EXAMPLES: &str = "EXAMPLES";

/// What kubectl says about a failed stage.
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

/// A test binary, and how it is run.
pub(crate) struct Tests<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) arguments: Vec<String>,
    pub(crate) env: Vec<(&'a str, &'a str)>,
    /// After this they are taken to hang.
    pub(crate) limit: Duration,
}

/// A cluster that is there for one stage.
pub(crate) struct Rig {
    name: String,
    /// Looked up at the start: building the tests may put a new file in its place.
    xtask: PathBuf,
    /// The package's folder, where cargo would run the tests.
    root: PathBuf,
}

impl Rig {
    pub(super) fn named(name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            xtask: std::env::current_exe().context("find this program")?,
            root: folders::workspace()?,
        })
    }

    pub(super) async fn build_images(&self) -> Result<()> {
        self.run("image", self.xtask(&["image"])).await
    }

    pub(super) async fn up(&self, nodes: u8) -> Result<()> {
        let mut up = self.cluster("up");
        up.arg("--nodes").arg(nodes.to_string());
        self.run("cluster up", up).await
    }

    /// Installs the operator, and loads the example that the tests run.
    pub(super) async fn install(&self) -> Result<()> {
        self.run("cluster install", self.cluster("install")).await?;
        self.load(example::FIRST).await
    }

    /// Loads the image of an example that was built.
    pub(super) async fn load(&self, name: &str) -> Result<()> {
        let image = example::image(name, &example::program(name)?, "dev")?;
        self.load_archive(&image.archive).await
    }

    pub(super) async fn load_archive(&self, archive: &Path) -> Result<()> {
        let mut load = self.cluster("load");
        load.arg(archive);
        self.run("cluster load", load).await
    }

    pub(super) async fn down(&self) -> Result<()> {
        self.run("cluster down", self.cluster("down")).await
    }

    /// Runs a test binary inside the cluster's network.
    pub(crate) async fn test(&self, tests: &Tests<'_>) -> Result<()> {
        self.watch(tests, |_| ()).await
    }

    /// As [`Rig::test`], and shows each line that the tests print to somebody else too.
    pub(crate) async fn watch(&self, tests: &Tests<'_>, mut see: impl FnMut(&str)) -> Result<()> {
        let mut command = self.tests(tests)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(command)?;
        let (sender, mut lines) = unbounded_channel();
        follow(group.leader.stdout.take(), Stream::Out, sender.clone());
        follow(group.leader.stderr.take(), Stream::Err, sender);
        let mut transcript = Transcript::default();
        let mut take = |(stream, line): (Stream, String)| {
            see(&line);
            transcript.take(stream, line);
        };
        let ended = tests.within(async {
            let status = loop {
                tokio::select! {
                    biased;
                    Some(line) = lines.recv() => take(line),
                    status = group.wait() => break status?,
                }
            };
            while let Ok(Some(line)) = timeout(LAST_WORDS, lines.recv()).await {
                take(line);
            }
            ensure!(status.success(), "the tests ended with {status}");
            Ok(())
        });
        let ended = ended.await.flatten();
        ended.map_err(|error| anyhow!("{error:#}\n{}", transcript.why()))
    }

    fn tests(&self, tests: &Tests<'_>) -> Result<Command> {
        let mut command = self.cluster("run");
        command.arg("--").arg(tests.binary).args(&tests.arguments);
        command.env(XTASK, &self.xtask);
        command.env(EXAMPLES, example::programs()?);
        command.env(NO_BACKTRACE.0, NO_BACKTRACE.1);
        command.envs(tests.env.iter().copied());
        Ok(command)
    }

    fn cluster(&self, verb: &str) -> Command {
        self.xtask(&["cluster", verb, "--name", &self.name])
    }

    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.xtask);
        command.current_dir(&self.root).args(arguments);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, what: &str, command: Command) -> Result<()> {
        let status = Group::spawn(command)?.wait().await?;
        ensure!(status.success(), "{what} ended with {status}");
        Ok(())
    }

    /// Writes down what a person needs to see why a stage failed; what cannot be had is left out.
    pub(super) async fn keep_logs(&self, stage: &str) -> Result<()> {
        let folder = folders::target()?.join("test-logs").join(stage);
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
            let mut kubectl = self.cluster("kubectl");
            kubectl.arg("--").args(line.split_whitespace());
            let file = std::fs::File::create(folder.join(file))?;
            kubectl.stdout(file.try_clone()?).stderr(file);
            // An operator that is not installed has no log, and the file says so.
            let _ = timeout(Duration::from_secs(20), kubectl.status()).await;
        }
        Ok(())
    }
}

impl Tests<'_> {
    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        timeout(self.limit, work)
            .await
            .with_context(|| format!("the tests still ran after {} s", self.limit.as_secs()))
    }
}

/// Sends each line of a stream.
fn follow(
    stream: Option<impl AsyncRead + Unpin + Send + 'static>,
    which: Stream,
    sender: UnboundedSender<(Stream, String)>,
) {
    let Some(stream) = stream else { return };
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .await
            .is_ok_and(|n| n > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send((which, text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// A process with all that it starts. Ctrl-C reaches this program alone, so that the cluster's end is
/// not interrupted by a second one; dropped before its end, the whole group is killed.
struct Group {
    leader: Child,
}

impl Group {
    fn spawn(mut command: Command) -> Result<Self> {
        let leader = command.process_group(0).spawn();
        Ok(Self {
            leader: leader.context("start xtask")?,
        })
    }

    async fn wait(&mut self) -> Result<ExitStatus> {
        self.leader.wait().await.context("wait for xtask")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Absent once it was waited for: the number may be another process's by then.
        let leader = self.leader.id().and_then(|id| id.try_into().ok());
        if let Some(leader) = leader.and_then(Pid::from_raw) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
