//! The load on the arms: one load client for all of them, inside the cluster's network.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::folders;
use crate::load::{Clients, Outcome, Report, Spec, Target};

use super::arm::{self, Arm};
use super::rig::Rig;

/// How often a Service is asked whether it answers.
const TRIES: usize = 20;

/// The load client's orders and where its report goes.
pub(super) struct Traffic {
    spec: Spec,
    folder: PathBuf,
}

impl Traffic {
    /// The load on the arms for at most the time given.
    pub(super) fn new(rig: &Rig, arms: &[Arm], most: Duration) -> Result<Self> {
        let folder = folders::target()?.join("demo");
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let target = |arm: &Arm| {
            Ok(Target {
                name: arm.name().to_owned(),
                address: rig.address(*arm)?,
                clients: arm::clients(),
            })
        };
        let spec = Spec {
            seed: fastrand::u64(..),
            seconds: most.as_secs(),
            max_requests: 500_000,
            sources: (101..=104).map(|last| [10, 10, 0, last].into()).collect(),
            targets: arms.iter().map(target).collect::<Result<_>>()?,
        };
        Ok(Self { spec, folder })
    }

    /// Waits until every Service answers: pods are ready a moment before routes know them.
    pub(super) fn preflight(&self, rig: &Rig) -> Result<()> {
        let mut spec = self.spec.clone();
        spec.seconds = 1;
        for target in &mut spec.targets {
            target.clients = Clients {
                new_per_second: 20.0,
                ..Clients::default()
            };
        }
        for _ in 0..TRIES {
            let mut client = self.client(rig, &spec, "preflight")?;
            let status = client
                .stdin(Stdio::null())
                .status()
                .context("run the load client")?;
            ensure!(status.success(), "the load client: {status}");
            if self
                .outcome("preflight")?
                .targets
                .iter()
                .all(|target| target.lost == 0)
            {
                return Ok(());
            }
        }
        anyhow::bail!("the Services do not answer, see {}", self.folder.display())
    }

    /// Starts the load. It ends when its standard input is closed.
    pub(super) fn start(&self, rig: &Rig) -> Result<Child> {
        self.client(rig, &self.spec, "load")?
            .args(["--progress", "--while-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the load client")
    }

    /// What became of every request.
    pub(super) fn reports(&self) -> Result<Vec<Report>> {
        Ok(self.outcome("load")?.targets)
    }

    fn client(&self, rig: &Rig, spec: &Spec, name: &str) -> Result<Command> {
        let file = self.folder.join(format!("{name}-spec.json"));
        let text = serde_json::to_vec_pretty(spec).context("write the load's spec")?;
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let program = std::env::current_exe().context("find ourselves")?;
        let mut command = rig.inside(&program.to_string_lossy())?;
        command.arg("load").arg("--spec").arg(file);
        command.arg("--out").arg(self.report(name));
        Ok(command)
    }

    fn outcome(&self, name: &str) -> Result<Outcome> {
        let path = self.report(name);
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
    }

    fn report(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-report.json"))
    }
}
