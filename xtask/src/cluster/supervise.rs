//! The first process of a cluster: prepares the namespaces, starts every component in its order, and
//! then only collects what ends. It starts nothing again: a component that ended is a finding, which
//! `status` shows, and a node that was killed is to stay lost.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::components::{self, Component};
use super::inside;
use super::local::{SUPERVISE_NODE, Settings, path_inside};
use super::node::{INSIDE, Node};
use crate::process::{self, Progress};

/// How long one component may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

const PAUSE: &str = "/run/graceful/pause.tar";

/// Arguments of `ctr` before the snapshotter and the file. By the client, because containerd's own
/// transfer service unpacks for one fixed snapshotter only.
pub(super) const IMPORT: [&str; 6] = [
    "--namespace",
    "k8s.io",
    "images",
    "import",
    "--local",
    "--snapshotter",
];

/// The processes that run, by their number in this namespace.
type Running = Vec<(Pid, String)>;

/// The life of a cluster.
pub(super) fn cluster(folder: &Path) -> Result<()> {
    let progress = Progress::start();
    inside::mount(folder, &folder.join("run"), true)?;
    inside::first_network()?;
    let settings: Settings =
        serde_json::from_slice(&fs::read(Path::new(INSIDE).join("settings.json"))?)
            .context("read the cluster's settings")?;
    let mut running = Running::new();
    let [containerd, kubelet, kube_proxy] = components::of_node(Node(1));
    start(&components::etcd(), &mut running)?;
    start(&containerd, &mut running)?;
    answers("etcd", "127.0.0.1:2379")?;
    progress.say("etcd answers");
    start(&components::apiserver(), &mut running)?;
    import_pause_image(&settings.snapshotter)?;
    api_server_ready()?;
    progress.say("kube-apiserver is ready");
    start(&components::controller_manager(), &mut running)?;
    start(&components::scheduler(), &mut running)?;
    start(&kubelet, &mut running)?;
    start(&kube_proxy, &mut running)?;
    for number in 2..=settings.nodes {
        further_node(folder, Node(number), &mut running)?;
    }
    progress.say("every component is started");
    collect(&running)
}

/// The life of a further node, in namespaces of its own inside the cluster's: killing its first
/// process is a lost node.
pub(super) fn node(node: Node) -> Result<()> {
    inside::mount(Path::new(INSIDE), &node.folder().join("run"), false)?;
    inside::further_network(node)?;
    let settings: Settings =
        serde_json::from_slice(&fs::read(Path::new(INSIDE).join("settings.json"))?)
            .context("read the cluster's settings")?;
    let mut running = Running::new();
    let [containerd, kubelet, kube_proxy] = components::of_node(node);
    start(&containerd, &mut running)?;
    import_pause_image(&settings.snapshotter)?;
    start(&kubelet, &mut running)?;
    start(&kube_proxy, &mut running)?;
    collect(&running)
}

fn further_node(folder: &Path, node: Node, running: &mut Running) -> Result<()> {
    let xtask = std::env::current_exe().context("find this program")?;
    let log = File::create(inside::log(&node.name())).context("open the node's log")?;
    let child = Command::new("unshare")
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--net",
            "--mount-proc",
        ])
        .arg(xtask)
        .args(["cluster", SUPERVISE_NODE])
        .arg(folder)
        .arg(node.0.to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", node.name()))?;
    running.push((Pid::from_child(&child), node.name()));
    process::wait_for("the node's network", PATIENCE, || {
        Ok(inside::has_own_network(child.id()).then_some(()))
    })?;
    inside::plug_in(node, child.id())
}

fn start(component: &Component, running: &mut Running) -> Result<()> {
    let log = File::create(inside::log(&component.name)).context("open a component's log")?;
    let child = Command::new(program(component.program))
        .args(&component.arguments)
        .env("PATH", path_inside()?)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {}", component.name))?;
    running.push((Pid::from_child(&child), component.name.clone()));
    Ok(())
}

fn program(name: &str) -> PathBuf {
    Path::new(INSIDE).join("bin").join(name)
}

fn answers(what: &str, address: &str) -> Result<()> {
    process::wait_for(&format!("{what} to answer"), PATIENCE, || {
        Ok(TcpStream::connect(address).ok())
    })?;
    Ok(())
}

fn api_server_ready() -> Result<()> {
    repeat("kube-apiserver to be ready", || {
        let mut kubectl = Command::new(program("kubectl"));
        kubectl
            .args(["get", "--raw", "/readyz", "--kubeconfig"])
            .arg(Path::new(INSIDE).join("kubeconfig"));
        kubectl
    })
}

/// No pod starts without it, so it is there before the kubelet is.
fn import_pause_image(snapshotter: &str) -> Result<()> {
    repeat("containerd to take the pause image", || {
        let mut ctr = Command::new(program("ctr"));
        ctr.args(IMPORT).args([snapshotter, PAUSE]);
        ctr
    })
}

/// Runs the command until it succeeds; what it said last is part of the error.
fn repeat(what: &str, command: impl Fn() -> Command) -> Result<()> {
    let mut said = None;
    let outcome = process::wait_for(what, PATIENCE, || match process::output(&mut command()) {
        Ok(_) => Ok(Some(())),
        Err(error) => {
            said = Some(error);
            Ok(None)
        }
    });
    match (outcome, said) {
        (Err(error), Some(said)) => Err(said.context(error)),
        (outcome, _) => outcome,
    }
}

/// Collects what ends, for ever: this is the process to which everything orphaned falls, such as
/// containerd's shims.
fn collect(running: &Running) -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => {
                if let Some((_, name)) = running.iter().find(|(known, _)| *known == pid) {
                    mark_ended(name, status)?;
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            // Nothing is left, and yet this process must stay: its end would take away the finding.
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

/// Leaves the finding where `status` looks for it.
fn mark_ended(name: &str, status: WaitStatus) -> Result<()> {
    let how = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => return Ok(()),
    };
    let folder = Path::new(INSIDE).join("ended");
    fs::create_dir_all(&folder).context("make the folder of ended components")?;
    fs::write(folder.join(name), how).context("note an ended component")
}
