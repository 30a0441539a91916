//! The point of the project in one command: the same server under the same load, run in three ways,
//! changes its image, and everybody sees what is lost.

mod arm;
mod board;
mod rig;
mod screen;
mod stage;
mod traffic;
mod watch;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, Local};
use crate::process::Progress;

use arm::{Arm, Verdict, Verdicts};
use board::{Board, Event};
use rig::Rig;
use stage::Stage;
use traffic::Traffic;

/// How long the arms are watched before the change: what is lost then is the rig's fault.
const BEFORE: Duration = Duration::from_secs(6);

/// How long they are watched after the last old pod is gone.
const AFTER: Duration = Duration::from_secs(3);

/// What pods may take to start, and what a rollout may.
const START: Duration = Duration::from_secs(90);
const ROLLOUT: Duration = Duration::from_mins(2);

/// Changes the image of the same server in three ways, under load, and counts what is lost
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes the numbers as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves the cluster running
    #[arg(long)]
    keep: bool,
    /// Name of the cluster; one that is up already is used and left running
    #[arg(long, default_value = "graceful-demo")]
    name: String,
    /// Only these arms
    #[arg(long, value_enum, value_delimiter = ',')]
    arms: Vec<Arm>,
}

/// Runs the demo, and takes the cluster down after it if it was not there before.
pub(crate) fn run(args: &Args) -> Result<()> {
    let arms = if args.arms.is_empty() {
        Arm::ALL.to_vec()
    } else {
        args.arms.clone()
    };
    let progress = Progress::start();
    let was_up = Cluster::Local(Local::new(&args.name)?).status()?.ready;
    let cluster = Cluster::up(&args.name, 1, progress)?;
    // From here on Ctrl-C must not end us before the cluster is down again.
    let (events, seen) = mpsc::channel();
    watch::interrupts(events.clone())?;
    let rig = Rig::new(cluster.clone());
    let shown = prepare(&rig, &cluster, &arms, progress)
        .and_then(|images| show(&rig, &arms, &images, &events, &seen))
        .and_then(|verdicts| conclude(verdicts, args.json.as_deref()));
    if was_up || args.keep {
        return shown;
    }
    // What was shown is the more telling error of the two.
    shown.and(cluster.down(progress))
}

/// Installs what the arms need; returns the example's two images.
fn prepare(rig: &Rig, cluster: &Cluster, arms: &[Arm], progress: Progress) -> Result<[String; 2]> {
    if arms.contains(&Arm::Graceful) {
        cluster.install(&[], progress)?;
    }
    let images = rig.build_images()?;
    progress.say("the example's two images are loaded");
    rig.apply(arms, &images[0])?;
    Ok(images)
}

/// Everything that a person watches, from the first pod to the last request.
fn show(
    rig: &Rig,
    arms: &[Arm],
    images: &[String; 2],
    events: &Sender<Event>,
    seen: &Receiver<Event>,
) -> Result<Vec<Verdict>> {
    let mut stage = Stage::new(arms, seen);
    let mut pods = Ended(rig.watch()?);
    let output = pods.0.stdout.take().context("read kubectl's output")?;
    watch::pods(output, images[1].clone(), events.clone());
    stage.say("waiting for the pods");
    stage.until(START, "pods that are ready", Board::is_serving)?;
    let traffic = Traffic::new(rig, arms, BEFORE + ROLLOUT + AFTER)?;
    traffic.preflight(rig)?;
    stage.say(&format!("each gets {}", arm::CLIENTS));
    let mut load = Ended(traffic.start(rig)?);
    let output = load
        .0
        .stdout
        .take()
        .context("read the load client's output")?;
    watch::load(output, events.clone());
    stage.pass(BEFORE)?;
    let early = stage.board.lost();
    ensure!(
        early == 0,
        "{early} requests were lost before anything was changed: the rig is broken"
    );
    change(rig, arms, &images[1], &mut stage)?;
    stage.until(ROLLOUT, "the end of all rollouts", Board::is_done)?;
    stage.pass(AFTER)?;
    stage.say("no more new requests; those under way may finish");
    drop(load.0.stdin.take());
    stage.drain(&mut load.0)?;
    let reports = traffic.reports()?;
    Ok(stage.conclude(&reports))
}

/// Changes the image of all arms at once.
fn change(rig: &Rig, arms: &[Arm], image: &str, stage: &mut Stage<'_>) -> Result<()> {
    let started: Vec<_> = arms
        .iter()
        .map(|arm| Ok((*arm, rig.change(*arm, image)?)))
        .collect::<Result<_>>()?;
    for (arm, patch) in started {
        finish(Ok(patch), &format!("kubectl patch {}", arm.app()))?;
        stage.changed(arm);
    }
    stage.say("the image of each is changed");
    Ok(())
}

/// Waits for a command that was started.
fn finish(command: std::io::Result<Child>, name: &str) -> Result<()> {
    let status = command
        .and_then(|mut command| command.wait())
        .with_context(|| format!("run {name}"))?;
    ensure!(status.success(), "{name}: {status}");
    Ok(())
}

/// Writes the JSON; the demo has failed where the GracefulDeployment lost something.
fn conclude(arms: Vec<Verdict>, json: Option<&Path>) -> Result<()> {
    let lost = arms
        .iter()
        .find(|verdict| verdict.name == Arm::Graceful)
        .map_or(0, |verdict| verdict.lost);
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&Verdicts { arms }).context("write the numbers")?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    ensure!(lost == 0, "the GracefulDeployment lost {lost} requests");
    Ok(())
}

/// A process that ends with the demo.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
