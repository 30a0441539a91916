//! The agent of one pod: `serve` is its sidecar, `prestop` the hook in the application's containers.
//! Static, without privileges or credentials; it reads the projected annotations and the kernel's
//! books, and writes its volume and its termination message.
//!
//! ```text
//!  podinfo ─▶ service ─▶ serve ─▶ receipt, mark, /readyz
//!             [pure]      ▲  [IO]
//!  sockets ─▶ activity ─▶ drain
//!  [IO]       [pure]      [pure]
//! ```

pub mod active;
pub mod activity;
pub mod announce;
pub mod ask;
pub mod clock;
pub mod confirm;
pub mod departure;
pub mod drain;
pub mod exposition;
pub mod hook;
pub mod http;
pub mod memory;
pub mod pace;
pub mod podinfo;
pub mod prestop;
pub mod question;
pub mod serve;
pub mod server;
pub mod service;
pub mod sockets;
pub mod tls;
pub mod trouble;
pub mod view;
pub mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::hook::{Hook, HttpGet};
use self::memory::{Memory, Progress};
use self::serve::Place;
use crate::api::{AGENT_PATH, PODINFO_PATH};

/// Drains the pod that it runs in.
#[derive(Debug, Parser)]
#[command(name = "graceful-agent", version, about)]
struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct PlaceArguments {
    /// The agent's volume.
    #[arg(long, global = true, default_value = AGENT_PATH, hide = true)]
    memory: PathBuf,
    /// The projected annotations.
    #[arg(long, global = true, default_value = PODINFO_PATH, hide = true)]
    podinfo: PathBuf,
    /// The termination message.
    #[arg(
        long,
        global = true,
        default_value = "/dev/termination-log",
        hide = true
    )]
    message: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the drain annotation: the sidecar.
    Serve(ServeArguments),
    /// Drain within the grace period, then run the user's own hook: the preStop hook.
    Prestop(PrestopArguments),
    /// Tell whether the pod is in service: the readiness probe of a pod on the host's network.
    Ready,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Port of the read-only pages. None on the host's network, where it would be the node's.
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Args)]
struct PrestopArguments {
    /// Seconds that the pod's grace period has for the drain, whatever the settings say.
    #[arg(long)]
    within: Option<i32>,
    #[command(flatten)]
    then: Then,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Then {
    /// Then run this command in our place: all that follows belongs to it.
    #[arg(long = "then-exec", num_args = 1.., allow_hyphen_values = true, value_name = "COMMAND")]
    exec: Option<Vec<OsString>>,
    /// Then send this GET request: `httpGet` of the pod's spec as JSON.
    #[arg(long = "then-http-get", value_name = "JSON", value_parser = parse_http_get)]
    http_get: Option<HttpGet>,
    /// Then wait for so many seconds.
    #[arg(long = "then-sleep", value_name = "SECONDS")]
    sleep: Option<u64>,
}

fn parse_http_get(text: &str) -> Result<HttpGet, serde_json::Error> {
    serde_json::from_str(text)
}

impl Then {
    fn hook(self) -> Hook {
        match (self.exec, self.http_get, self.sleep) {
            (Some(words), ..) => Hook::Exec(words),
            (_, Some(get), _) => Hook::HttpGet(Box::new(get)),
            (.., Some(seconds)) => Hook::Sleep(seconds),
            _ => Hook::None,
        }
    }
}

/// Runs the agent by the command line.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let place = Place {
        memory: arguments.place.memory,
        podinfo: arguments.place.podinfo,
        message: arguments.place.message,
    };
    match arguments.command {
        Command::Ready => ready(&place),
        Command::Serve(how) => block_on(async {
            match serve::serve(how.port, place).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        }),
        Command::Prestop(how) => block_on(prestop::prestop(&place, how.within, how.then.hook())),
    }
}

/// One thread, and tasks that need not be sent to another.
fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build();
    match runtime {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, work),
        Err(error) => fail(&error),
    }
}

fn ready(place: &Place) -> ExitCode {
    let memory = Memory::at(&place.memory);
    let Some(mark) = memory.mark() else {
        return ExitCode::SUCCESS;
    };
    if mark.state == Progress::Draining
        && let Err(error) = memory.write_told(&mark.epoch)
    {
        eprintln!("note that the kubelet was told: {error}");
    }
    println!("withdrawn");
    ExitCode::FAILURE
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{}", chain(error));
    ExitCode::FAILURE
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
