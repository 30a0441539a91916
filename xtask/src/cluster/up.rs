//! `cluster up`: from nothing to a cluster whose status is ready. Starting one that is up is no error;
//! what an earlier one left behind goes first.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::config::{self, Snapshotter};
use super::local::{Local, SUPERVISE, Settings};
use super::node::{INSIDE, MAX_NODES, Node};
use super::{certificates, cgroups, down, kind, status};
use crate::process::{self, Progress};
use crate::{debian, image, tools};

/// How long a busy machine may take from the start to Ready; seven seconds is usual.
const PATIENCE: Duration = Duration::from_mins(3);

pub(super) fn up(cluster: &Local, nodes: u8, progress: Progress) -> Result<()> {
    if !(1..=MAX_NODES).contains(&nodes) {
        bail!("--nodes {nodes}: 1 or {MAX_NODES} are possible");
    }
    let _lock = lock(cluster)?;
    if cluster.is_up()? {
        return already_up(cluster, nodes, progress);
    }
    if let Some(why) = no_namespaces() {
        down::clean(cluster).context("clean up after an earlier cluster")?;
        return kind::up_instead(cluster, nodes, &why, progress);
    }
    debian::install(progress)?;
    let mut programs = tools::all(progress)?;
    programs.extend(debian::prometheus(progress)?);
    down::clean(cluster).context("clean up after an earlier cluster")?;
    prepare(cluster, nodes, &programs).context("prepare the cluster's folder")?;
    progress.say(format!("starting the cluster {}", cluster.name));
    start(cluster)?;
    match wait_until_ready(cluster, progress) {
        Ok(()) => {
            progress.say(format!("the cluster {} is ready", cluster.name));
            Ok(())
        }
        Err(error) => {
            // Its processes go, its logs stay for the person who reads the error.
            down::kill(cluster)?;
            Err(error.context(format!("logs are in {}", cluster.logs().display())))
        }
    }
}

/// Why this machine does not let us make namespaces, if so.
fn no_namespaces() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    process::find("unshare")?;
    let mut unshare = process::words("unshare --pid --fork --mount --net --mount-proc true");
    let error = process::output(&mut unshare).err()?;
    Some(format!("no namespaces: {error:#}"))
}

/// Two who start the same cluster: the second finds it up. The lock lies beside the folder, which
/// `down` removes.
pub(super) fn lock(cluster: &Local) -> Result<File> {
    let path = cluster.folder.with_extension("lock");
    loop {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("open {}", path.display()))?;
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        // A `down` may have removed the file while this one waited: then it locks nothing any more.
        let is_current = match (file.metadata(), fs::metadata(&path)) {
            (Ok(locked), Ok(current)) => locked.ino() == current.ino(),
            _ => false,
        };
        if is_current {
            return Ok(file);
        }
    }
}

/// A cluster that was started before: its starter may have been killed while it waited.
fn already_up(cluster: &Local, nodes: u8, progress: Progress) -> Result<()> {
    let name = &cluster.name;
    let has = cluster.settings()?.nodes;
    if has < nodes {
        bail!("the cluster {name} is up with {has} node, not {nodes}: take it down first");
    }
    wait_until_ready(cluster, progress).with_context(|| {
        format!(
            "the cluster {name} is up but not ready: take it down first, logs are in {}",
            cluster.logs().display()
        )
    })?;
    progress.say(format!("the cluster {name} is up already"));
    Ok(())
}

fn prepare(cluster: &Local, nodes: u8, programs: &[(&str, std::path::PathBuf)]) -> Result<()> {
    let folder = &cluster.folder;
    let nodes: Vec<Node> = (1..=nodes).map(Node).collect();
    for part in ["bin", "log"] {
        fs::create_dir_all(folder.join(part)).with_context(|| format!("make {part}"))?;
    }
    for (name, program) in programs {
        symlink(program, folder.join("bin").join(name)).with_context(|| format!("link {name}"))?;
    }
    certificates::write(&folder.join("pki"), &nodes)?;
    let pause_tag = pause_image(folder)?;
    let snapshotter = snapshotter(folder);
    json(folder, "audit-policy.json", &config::audit_policy())?;
    let users = [
        ("admin", "kubeconfig"),
        ("controller-manager", "controller-manager.kubeconfig"),
        ("scheduler", "scheduler.kubeconfig"),
        ("kube-proxy", "kube-proxy.kubeconfig"),
    ];
    for (user, file) in users {
        json(
            folder,
            file,
            &config::kubeconfig(INSIDE, user, &cluster.name),
        )?;
    }
    for node in &nodes {
        let own = folder.join(node.name());
        fs::create_dir_all(own.join("cni")).context("make the node's folder")?;
        let containerd = config::containerd(*node, &pause_tag, snapshotter);
        fs::write(own.join("containerd.toml"), containerd).context("write containerd.toml")?;
        json(&own, "cni/pods.conflist", &config::cni(*node))?;
        json(&own, "kubelet.json", &config::kubelet(*node, &cluster.name))?;
        json(&own, "kube-proxy.json", &config::kube_proxy(*node))?;
        let user = config::kubeconfig(INSIDE, &node.name(), &cluster.name);
        json(&own, "kubelet.kubeconfig", &user)?;
        cgroups::make(&node.cgroup(&cluster.name))?;
    }
    let settings = Settings {
        name: cluster.name.clone(),
        nodes: u8::try_from(nodes.len()).unwrap_or(MAX_NODES),
        kind: false,
        snapshotter: snapshotter.name().to_owned(),
    };
    json(folder, "settings.json", &serde_json::to_value(settings)?)
}

fn json(folder: &Path, file: &str, value: &Value) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).with_context(|| format!("render {file}"))?;
    fs::write(folder.join(file), text).with_context(|| format!("write {file}"))
}

/// Writes the pause image into the folder and gives its tag.
fn pause_image(folder: &Path) -> Result<String> {
    let image = image::of_program(&folder.join("bin/pause"), "1")?;
    fs::copy(&image.archive, folder.join("pause.tar")).context("copy the pause image")?;
    Ok(image.content_tag)
}

/// An overlay cannot hold another one's layers.
fn snapshotter(folder: &Path) -> Snapshotter {
    let output = process::output(
        Command::new("stat")
            .args(["--file-system", "--format=%T"])
            .arg(folder),
    );
    match output {
        Ok(output) if output.stdout.starts_with(b"overlay") => Snapshotter::Native,
        _ => Snapshotter::Overlayfs,
    }
}

/// Starts the first process, in a session of its own, so that it outlives the caller's terminal.
fn start(cluster: &Local) -> Result<()> {
    let log = File::create(cluster.logs().join("supervisor.log")).context("open the log")?;
    Command::new("setsid")
        .args([
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--net",
            "--mount-proc",
        ])
        .arg(std::env::current_exe().context("find this program")?)
        .args(["cluster", SUPERVISE])
        .arg(&cluster.folder)
        .current_dir("/")
        // Its log is for people.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the cluster's first process")?;
    process::wait_for(
        "the cluster's first process",
        Duration::from_secs(10),
        || cluster.supervisor(),
    )?;
    Ok(())
}

fn wait_until_ready(cluster: &Local, progress: Progress) -> Result<()> {
    let log = cluster.logs().join("supervisor.log");
    let mut said = 0;
    let mut why = String::new();
    let outcome = process::wait_for("the cluster to be ready", PATIENCE, || {
        let status = status::of(cluster)?;
        if status.ready {
            return Ok(Some(()));
        }
        let text = fs::read_to_string(&log).unwrap_or_default();
        for line in text.lines().skip(said) {
            // The supervisor's own time is of no use here.
            progress.say(line.split_once("] ").map_or(line, |(_, what)| what));
        }
        said = text.lines().count();
        if !status.up {
            bail!("the cluster's first process ended");
        }
        if let Some(ended) = status.ended.first() {
            let log = cluster.logs().join(format!("{}.log", ended.component));
            bail!("{}\n{}", status.why(), process::last_lines_of(&log, 10));
        }
        why = status.why();
        Ok(None)
    });
    outcome.map_err(|error| match why.as_str() {
        "" => error,
        _ => error.context(why),
    })
}
