//! The command line. What it says about an option is what the chart's values say too.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};

use super::lease::Place;
use super::traces::To;

/// Drain-aware rollouts for Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "graceful-operator", version)]
pub struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Watch GracefulDeployments and roll them out.
    Run(Run),
    /// Print the CustomResourceDefinition.
    Crd,
    /// Fail while GracefulDeployments exist, and say what an uninstall would do to them.
    Guard(Guard),
    /// Fail unless the API server takes GracefulDeployments as this operator knows them.
    Check(Check),
}

/// What is about to be uninstalled.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Guard {
    /// Name of the release.
    #[arg(long, default_value = "graceful-deployment")]
    pub(super) release: String,

    /// Its namespace.
    #[arg(long, default_value = "graceful-system")]
    pub(super) release_namespace: String,

    /// Its revision.
    #[arg(long, default_value_t = 1)]
    pub(super) release_revision: u32,

    /// A namespace that the operator watches, or several with commas between them; every one where absent.
    #[arg(long, value_delimiter = ',')]
    pub(super) watch_namespace: Vec<String>,

    /// The CustomResourceDefinition goes with the release.
    #[arg(long)]
    pub(super) deletes_crd: bool,

    /// How long to ask again where there is no answer.
    #[arg(long, default_value_t = 30)]
    pub(super) timeout_seconds: u64,
}

/// What is checked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Check {
    /// Where an object is created by dry run; the account's own namespace where absent.
    #[arg(long)]
    pub(super) namespace: Option<String>,

    /// How long to wait for what is not there yet.
    #[arg(long, default_value_t = 60)]
    pub(super) timeout_seconds: u64,
}

/// How the operator runs.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Run {
    /// Image of the drain agent that is injected into pods.
    #[arg(long, env = "GRACEFUL_AGENT_IMAGE")]
    pub(super) agent_image: String,

    /// Pull policy of the agent's image; Kubernetes' own default where absent.
    #[arg(long, env = "GRACEFUL_AGENT_PULL_POLICY")]
    pub(super) agent_pull_policy: Option<PullPolicy>,

    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "GRACEFUL_HTTP_ADDRESS", default_value = "0.0.0.0:8080")]
    pub(super) http_address: SocketAddr,

    /// How log lines are written.
    #[arg(long, env = "GRACEFUL_LOG_FORMAT", default_value = "json")]
    pub(super) log_format: LogFormat,

    /// A namespace to watch, or several with commas between them; every one where absent.
    #[arg(long, env = "GRACEFUL_WATCH_NAMESPACE", value_delimiter = ',')]
    pub(super) watch_namespace: Vec<String>,

    /// Lead only while holding this Lease, NAMESPACE/NAME, so that several operators can stand by for each
    /// other; where absent, this one takes itself for the only one.
    #[arg(long, env = "GRACEFUL_LEASE")]
    pub(super) lease: Option<Place>,

    /// Objects that are worked on at the same time.
    #[arg(long, env = "GRACEFUL_CONCURRENCY", default_value_t = 8)]
    pub(super) concurrency: u16,

    #[command(flatten)]
    pub(super) traces: To,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Kubernetes' `imagePullPolicy`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(super) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// As the API spells it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
