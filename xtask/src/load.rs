//! The load client: drives several targets at once and says for each failed request who broke it.
//! It runs as a process of its own inside the cluster's network, is always bounded in time and
//! number, and loads nothing but loopback and private addresses.

mod clients;
mod exchange;
mod outcome;
mod source;
mod spec;
mod tally;
#[cfg(test)]
mod tests;
mod wire;

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

pub(crate) use outcome::{Cause, Kind};
pub(crate) use spec::{Clients, Spec, Target};
pub(crate) use tally::{Progress, Report};

use clients::Arm;
use source::Sources;
use tally::{Tally, millis};

/// How long requests under way may go on after the run was stopped: a stream, and some patience.
const FINISH: Duration = Duration::from_secs(40);

/// Drives requests at one or more targets and reports who broke which.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to do, as JSON; the flags below then only add to it
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Where the report goes; standard output if absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Writes every failure as a line of JSON, as it happens
    #[arg(long, value_name = "FILE")]
    failures: Option<PathBuf>,
    /// Ends the run when standard input ends, so that it never outlives who started it
    #[arg(long)]
    while_stdin: bool,
    /// Prints a line of JSON twice a second
    #[arg(long)]
    progress: bool,
    /// An arm: its name and the address of its Service
    #[arg(long, value_name = "NAME=HOST:PORT")]
    target: Vec<String>,
    /// Requests a second with a connection of their own, for each --target
    #[arg(long, default_value_t = 50.0)]
    new_per_second: f64,
    /// Keep-alive connections for each --target
    #[arg(long, default_value_t = 10)]
    keep_alive: usize,
    /// Mean pause between two requests of a keep-alive connection
    #[arg(long, default_value_t = 200)]
    pause_millis: u64,
    /// Slow POSTs (8 s) under way for each --target
    #[arg(long, default_value_t = 5)]
    slow: usize,
    /// Streams (20 s) open for each --target
    #[arg(long, default_value_t = 5)]
    streams: usize,
    /// Ends the run after so many seconds; a signal ends it sooner
    #[arg(long)]
    seconds: Option<u64>,
    /// Seed of the random choices
    #[arg(long)]
    seed: Option<u64>,
    /// Local address that connections come from; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    source: Vec<IpAddr>,
}

/// What a run found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// When it began, in milliseconds since 1970.
    pub(crate) began_millis: u64,
    /// When the last request had come to its end.
    pub(crate) ended_millis: u64,
    /// What ended it: `signal`, `stdin`, `seconds` or `requests`.
    pub(crate) ended_by: String,
    /// One report for each target.
    pub(crate) targets: Vec<Report>,
}

/// One line of `--progress`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProgressLine {
    /// When, in milliseconds since 1970.
    pub(crate) at_millis: u64,
    /// One for each target.
    pub(crate) targets: Vec<Progress>,
}

/// Runs the load client to its end.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let spec = args.spec()?;
    spec.check()?;
    source::check(&spec.sources)?;
    let failures = match &args.failures {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
            Some(Mutex::new(file))
        }
        None => None,
    };
    // Two threads are enough for a thousand requests a second, and leave the machine to the pods.
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(drive(&spec, failures, args.until()))?;
    write(&outcome, args.out.as_deref())
}

impl Args {
    fn until(&self) -> Until {
        Until {
            progress: self.progress,
            stdin: self.while_stdin,
        }
    }

    fn spec(&self) -> anyhow::Result<Spec> {
        let mut spec = match &self.spec {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("read {}", path.display()))?;
                serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))?
            }
            None => serde_json::from_str::<Spec>(r#"{"targets": []}"#)?,
        };
        for target in &self.target {
            let Some((name, address)) = target.split_once('=') else {
                bail!("--target {target}: write NAME=HOST:PORT");
            };
            spec.targets.push(Target {
                name: name.to_owned(),
                address: address
                    .parse()
                    .with_context(|| format!("--target {target}: write NAME=HOST:PORT"))?,
                clients: Clients {
                    new_per_second: self.new_per_second,
                    keep_alive: self.keep_alive,
                    pause_millis: self.pause_millis,
                    slow: self.slow,
                    streams: self.streams,
                    ..Clients::default()
                },
            });
        }
        spec.sources.extend(&self.source);
        spec.seconds = self.seconds.unwrap_or(spec.seconds);
        spec.seed = self.seed.unwrap_or(spec.seed);
        Ok(spec)
    }
}

/// How a run shows itself and ends, beyond its spec.
#[derive(Clone, Copy, Default)]
struct Until {
    progress: bool,
    stdin: bool,
}

/// Starts the clients, waits for the end, lets requests under way finish.
async fn drive(
    spec: &Spec,
    failures: Option<Mutex<File>>,
    until: Until,
) -> anyhow::Result<Outcome> {
    let start = Timestamp::now();
    let begun = Arc::new(AtomicU64::new(0));
    let failures = Arc::new(failures);
    let arms: Vec<_> = spec
        .targets
        .iter()
        .map(|target| {
            Arc::new(Arm {
                target: target.clone(),
                sources: Sources::new(&spec.sources),
                tally: Tally::new(
                    &target.name,
                    target.address,
                    Arc::clone(&begun),
                    spec.max_requests,
                ),
                failures: Arc::clone(&failures),
            })
        })
        .collect();
    let (stop, stopped) = watch::channel(false);
    let (busy, mut all_idle) = mpsc::channel(1);
    let mut random = Rng::with_seed(spec.seed);
    for arm in &arms {
        clients::start(arm, &stopped, &busy, &mut random);
    }
    drop(busy);
    let lines = until
        .progress
        .then(|| tokio::spawn(print_progress(arms.clone())));
    let ended_by = end(spec, &arms, until.stdin).await?;
    stop.send_replace(true);
    finish(&mut all_idle).await?;
    if let Some(lines) = lines {
        lines.abort();
    }
    Ok(Outcome {
        began_millis: millis(start),
        ended_millis: millis(Timestamp::now()),
        ended_by: ended_by.to_owned(),
        targets: arms.iter().map(|arm| arm.tally.report()).collect(),
    })
}

/// Waits for whatever ends the run first.
async fn end(spec: &Spec, arms: &[Arc<Arm>], stdin: bool) -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let time = sleep(Duration::from_secs(spec.seconds));
    let mut look = interval(Duration::from_millis(100));
    let input = stdin_end(stdin);
    tokio::pin!(time, input);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok("signal"),
            _ = interrupt.recv() => return Ok("signal"),
            () = &mut input => return Ok("stdin"),
            () = &mut time => return Ok("seconds"),
            _ = look.tick() => if arms.iter().any(|arm| arm.tally.is_full()) {
                return Ok("requests");
            },
        }
    }
}

/// Waits for the end of standard input; for ever where it does not matter.
async fn stdin_end(matters: bool) {
    if !matters {
        return std::future::pending().await;
    }
    // A thread of its own: the runtime would wait for a read that never returns.
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        // A broken input is an input that ended.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(ended);
    });
    let _ = end.await;
}

/// Lets requests under way come to their end; a second signal or [`FINISH`] cuts them off.
async fn finish(all_idle: &mut mpsc::Receiver<()>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    tokio::select! {
        _ = all_idle.recv() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = sleep(FINISH) => {}
    }
    Ok(())
}

async fn print_progress(arms: Vec<Arc<Arm>>) {
    let mut tick = interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let line = ProgressLine {
            at_millis: millis(Timestamp::now()),
            targets: arms.iter().map(|arm| arm.tally.progress()).collect(),
        };
        if let Ok(line) = serde_json::to_string(&line) {
            // Whoever read along may have gone; the run goes on.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}

fn write(outcome: &Outcome, path: Option<&Path>) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(outcome).context("write the report")?;
    match path {
        Some(path) => std::fs::write(path, text + "\n")
            .with_context(|| format!("write {}", path.display()))?,
        None => println!("{text}"),
    }
    Ok(())
}
