//! A cluster in namespaces of this machine: its name, its folder, and the processes that hold it. A
//! process is found by its command line and never by a file with its number: a file outlives what it
//! names, a process does not.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::node::{INSIDE, MAX_NODES, Node};
use crate::folders;

/// The hidden subcommands that hold a cluster and its further nodes.
pub(super) const SUPERVISE: &str = "supervise";
pub(super) const SUPERVISE_NODE: &str = "supervise-node";

/// What the folder remembers of how the cluster was made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) nodes: u8,
    /// Made by kind, on Docker.
    pub(super) kind: bool,
    /// Where containerd keeps layers.
    pub(super) snapshotter: String,
}

/// A cluster of this machine, running or not.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(super) name: String,
    pub(super) folder: PathBuf,
}

impl Local {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(is_fine) {
            bail!("the name {name:?} is not 1 to 40 of a-z, 0-9 and -");
        }
        Ok(Self {
            name: name.to_owned(),
            folder: folders::clusters()?.join(name),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The kubeconfig of an administrator, as commands of the cluster find it: the server is reachable
    /// from inside only, so the file is looked for there.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        if self.is_kind() {
            self.folder.join("kubeconfig")
        } else {
            Path::new(INSIDE).join("kubeconfig")
        }
    }

    /// Every request to the API server, one JSON event a line, without bodies.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// The folder of the components' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(super) fn settings(&self) -> Result<Settings> {
        let file = self.folder.join("settings.json");
        let text = fs::read(&file).with_context(|| {
            format!(
                "the cluster {} is not up: start it with `cargo xtask cluster up`",
                self.name
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", file.display()))
    }

    pub(super) fn nodes(&self) -> Result<Vec<Node>> {
        Ok((1..=self.settings()?.nodes.min(MAX_NODES))
            .map(Node)
            .collect())
    }

    /// The first process of the cluster, whose end ends everything in it.
    pub(super) fn supervisor(&self) -> Result<Option<i32>> {
        let folder = self.folder.display().to_string();
        process_with(&["cluster", SUPERVISE, &folder])
    }

    /// Whether kind made it, on Docker.
    pub(super) fn is_kind(&self) -> bool {
        self.settings().is_ok_and(|settings| settings.kind)
    }

    /// Whether it was started and not ended since; it need not be ready.
    pub(super) fn is_up(&self) -> Result<bool> {
        let Ok(settings) = self.settings() else {
            return Ok(false);
        };
        Ok(settings.kind || self.supervisor()?.is_some())
    }

    /// The first process of a node: the supervisor itself for the first node.
    pub(super) fn node_supervisor(&self, node: Node) -> Result<i32> {
        let found = if node == Node(1) {
            self.supervisor()?
        } else {
            let folder = self.folder.display().to_string();
            process_with(&["cluster", SUPERVISE_NODE, &folder, &node.0.to_string()])?
        };
        found.with_context(|| format!("{} of the cluster {} does not run", node.name(), self.name))
    }

    /// A command inside the cluster, as its administrator: its network and processes, this machine's
    /// files, the caller's working folder. It ends with the caller and with the cluster.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        if self.is_kind() {
            let mut command = Command::new(program);
            command.env("KUBECONFIG", self.kubeconfig());
            return Ok(command);
        }
        self.command_on(Node(1), program)
    }

    pub(super) fn command_on(&self, node: Node, program: &str) -> Result<Command> {
        if self.supervisor()?.is_none() {
            bail!(
                "the cluster {} is not up: start it with `cargo xtask cluster up`",
                self.name
            );
        }
        let process = self.node_supervisor(node)?.to_string();
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &process, "--mount", "--net", "--pid", "--"])
            // Without it a killed nsenter would leave its command behind.
            .args(["setpriv", "--pdeathsig", "TERM", "--"])
            // Entering a mount namespace loses the working folder.
            .args(["sh", "-c", r#"cd "$0" && exec "$@""#])
            .arg(std::env::current_dir().context("find the working folder")?)
            .arg(program)
            .env("KUBECONFIG", self.kubeconfig())
            .env("PATH", path_inside()?);
        Ok(command)
    }
}

/// `PATH` for inside: the cluster's own programs first, root's folders last.
pub(super) fn path_inside() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = vec![Path::new(INSIDE).join("bin")];
    folders.extend(std::env::split_paths(&path));
    for folder in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !folders.iter().any(|known| known.as_os_str() == folder) {
            folders.push(PathBuf::from(folder));
        }
    }
    std::env::join_paths(folders).context("write PATH")
}

/// The process whose arguments are exactly these.
fn process_with(arguments: &[&str]) -> Result<Option<i32>> {
    for entry in fs::read_dir("/proc").context("list processes")? {
        let name = entry.context("list processes")?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Gone since it was listed, or a zombie with no arguments left.
        let Ok(line) = fs::read(format!("/proc/{process}/cmdline")) else {
            continue;
        };
        if has_arguments(&line, arguments) {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

/// Whether a /proc/PID/cmdline names some program and then exactly these arguments.
fn has_arguments(line: &[u8], arguments: &[&str]) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    words.next();
    let mut rest = words.collect::<Vec<_>>();
    if rest.last().is_some_and(|last| last.is_empty()) {
        rest.pop();
    }
    rest.len() == arguments.len() && rest.iter().zip(arguments).all(|(a, b)| *a == b.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supervisor_is_told_from_what_starts_it() {
        let line = b"/x/xtask\0cluster\0supervise\0/state/a\0";
        assert!(has_arguments(line, &["cluster", SUPERVISE, "/state/a"]));
        assert!(!has_arguments(line, &["cluster", SUPERVISE, "/state/b"]));
        let unshare = b"unshare\0--pid\0/x/xtask\0cluster\0supervise\0/state/a\0";
        assert!(!has_arguments(unshare, &["cluster", SUPERVISE, "/state/a"]));
        assert!(!has_arguments(b"", &["cluster"]));
    }

    #[test]
    fn name_is_safe_as_folder_and_control_group() {
        assert!(Local::new("graceful-2").is_ok());
        for bad in ["", "../x", "A", "a b", &"a".repeat(41)] {
            assert!(Local::new(bad).is_err(), "{bad:?}");
        }
    }
}
