//! `cargo xtask cluster`: a real Kubernetes on this machine without Docker, in namespaces of its own.
//! One process holds it: when that is killed, every process, mount, route and port goes with it.

mod certificates;
mod cgroups;
mod components;
mod config;
mod down;
mod given;
mod inside;
mod install;
mod kind;
mod local;
mod node;
mod status;
mod supervise;
mod up;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

pub(crate) use self::given::Given;
pub(crate) use self::install::settings;
pub(crate) use self::local::Local;
pub(crate) use self::status::Status;
use crate::process::{self, Progress};

/// `cargo xtask cluster …`
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    select: Select,
    #[command(subcommand)]
    command: Subcommand,
}

/// Which cluster.
#[derive(clap::Args, Clone)]
pub(crate) struct Select {
    /// The cluster's name; several can run side by side
    #[arg(
        long,
        global = true,
        default_value = "graceful",
        env = "GRACEFUL_CLUSTER"
    )]
    name: String,
    /// Use the cluster of this kubeconfig instead of one of our own
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, global = true)]
    context: Option<String>,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Start a cluster, and wait until it is ready
    Up {
        /// How many nodes: 1 or 2
        #[arg(long, default_value_t = 1)]
        nodes: u8,
    },
    /// Build this operator and install it with its chart
    Install {
        /// Further arguments for helm
        #[arg(last = true)]
        helm: Vec<String>,
    },
    /// Load an image tar into every node
    Load {
        /// An OCI layout or docker-archive
        file: PathBuf,
    },
    /// Run kubectl as the cluster's administrator
    Kubectl {
        /// Passed on as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Run a command inside the cluster's network, with KUBECONFIG set and kubectl and helm in PATH
    Run {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
    /// Say whether the cluster is ready; the exit status is 0 only then
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop a cluster and remove everything that it left
    Down,
    #[command(name = local::SUPERVISE, hide = true)]
    Supervise { folder: PathBuf },
    #[command(name = local::SUPERVISE_NODE, hide = true)]
    SuperviseNode { folder: PathBuf, node: u8 },
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let progress = Progress::start();
    let select = &args.select;
    match &args.command {
        Subcommand::Supervise { folder } => supervise::cluster(folder),
        Subcommand::SuperviseNode { node, .. } => supervise::node(node::Node(*node)),
        Subcommand::Up { nodes } => {
            select.refuse_given("start")?;
            Cluster::up(&select.name, *nodes, progress).map(drop)
        }
        Subcommand::Down => {
            select.refuse_given("stop")?;
            select.cluster()?.down(progress)
        }
        Subcommand::Install { helm } => select.cluster()?.install(helm, progress),
        Subcommand::Load { file } => {
            select.cluster()?.load(file)?;
            progress.say(format!("loaded {}", file.display()));
            Ok(())
        }
        Subcommand::Kubectl { arguments } => {
            become_command(select.cluster()?.command("kubectl")?.args(arguments))
        }
        Subcommand::Run { command } => {
            let (program, arguments) = command.split_first().context("no command given")?;
            let program = program
                .to_str()
                .context("the command's name is not UTF-8")?;
            become_command(select.cluster()?.command(program)?.args(arguments))
        }
        Subcommand::Status { json } => print_status(select, *json),
    }
}

/// A cluster that can be used.
#[derive(Clone, Debug)]
pub(crate) enum Cluster {
    /// One that we started.
    Local(Local),
    /// One that is somebody's.
    Given(Given),
}

impl Select {
    pub(crate) fn cluster(&self) -> Result<Cluster> {
        if self.kubeconfig.is_none() && self.context.is_none() {
            return Ok(Cluster::Local(Local::new(&self.name)?));
        }
        let given = Given::new(self.kubeconfig.as_deref(), self.context.as_deref())?;
        Ok(Cluster::Given(given))
    }

    /// A given cluster is somebody's to start and to stop.
    fn refuse_given(&self, verb: &str) -> Result<()> {
        match self.cluster()? {
            Cluster::Local(_) => Ok(()),
            Cluster::Given(given) => bail!("{} is not ours to {verb}", given.context),
        }
    }
}

impl Cluster {
    /// Starts a cluster of this machine, or finds it up.
    pub(crate) fn up(name: &str, nodes: u8, progress: Progress) -> Result<Self> {
        let local = Local::new(name)?;
        up::up(&local, nodes, progress)?;
        Ok(Self::Local(local))
    }

    /// Installs this operator, with further arguments for helm.
    pub(crate) fn install(&self, helm: &[String], progress: Progress) -> Result<()> {
        install::install(self, helm, progress)
    }

    /// Ends a cluster that we started; leaves any other alone.
    pub(crate) fn down(&self, progress: Progress) -> Result<()> {
        match self {
            Self::Local(local) => down::down(local, progress),
            Self::Given(_) => Ok(()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Local(local) => local.name(),
            Self::Given(given) => &given.context,
        }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Local(local) => local.kubeconfig(),
            Self::Given(given) => given.kubeconfig.clone(),
        }
    }

    pub(crate) fn status(&self) -> Result<Status> {
        status::of_cluster(self)
    }

    /// A command in the cluster's network, as its administrator; arguments may follow.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        match self {
            Self::Local(local) => local.command(program),
            Self::Given(given) => Ok(given.command(program)),
        }
    }

    /// Gives every node the images of a tar.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        if !archive.is_file() {
            bail!("there is no file {}", archive.display());
        }
        match self {
            Self::Local(local) if local.is_kind() => kind::load(local.name(), archive),
            Self::Local(local) => load(local, archive),
            Self::Given(given) => given.load(archive),
        }
    }
}

fn load(cluster: &Local, archive: &Path) -> Result<()> {
    let snapshotter = cluster.settings()?.snapshotter;
    for node in cluster.nodes()? {
        // By its standard input: a file below /run is another one inside.
        let file =
            std::fs::File::open(archive).with_context(|| format!("open {}", archive.display()))?;
        let mut ctr = cluster.command_on(node, "ctr")?;
        ctr.args(supervise::IMPORT).args([&snapshotter, "-"]);
        process::output_with(&mut ctr, file)
            .with_context(|| format!("load {} into {}", archive.display(), node.name()))?;
    }
    Ok(())
}

/// Turns this process into the command: signals and the exit status are its own.
fn become_command(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("start {}", command.get_program().to_string_lossy()))
}

#[expect(clippy::print_stdout, reason = "the status is the command's result")]
fn print_status(select: &Select, json: bool) -> Result<()> {
    let status = select.cluster()?.status()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        println!("{}: {}", status.name, status.why());
    }
    if !status.ready {
        std::process::exit(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Args {
        Command::try_parse_from(line.split(' ')).unwrap().args
    }

    #[test]
    fn arguments_of_kubectl_are_passed_on_untouched() {
        let args = parse("cluster --name x kubectl get pods -o wide --namespace a --name y -- z");
        let Subcommand::Kubectl { arguments } = args.command else {
            panic!("not kubectl");
        };
        assert_eq!(args.select.name, "x");
        assert_eq!(
            arguments.join(std::ffi::OsStr::new(" ")),
            "get pods -o wide --namespace a --name y -- z"
        );
        let Subcommand::Kubectl { arguments } = parse("cluster kubectl -n a get pods").command
        else {
            panic!("not kubectl");
        };
        assert_eq!(arguments.join(std::ffi::OsStr::new(" ")), "-n a get pods");
    }

    #[test]
    fn command_to_run_may_follow_two_dashes() {
        let Subcommand::Run { command } = parse("cluster run --name x -- sh -c true").command
        else {
            panic!("not run");
        };
        assert_eq!(command.join(std::ffi::OsStr::new(" ")), "sh -c true");
    }

    #[test]
    fn name_may_stand_on_either_side() {
        assert_eq!(parse("cluster --name x down").select.name, "x");
        assert_eq!(parse("cluster down --name x").select.name, "x");
        assert_eq!(parse("cluster down").select.name, "graceful");
    }
}
