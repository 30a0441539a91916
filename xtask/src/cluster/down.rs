//! `cluster down`: nothing of a cluster stays but the cache of tools. It does not ask what happened
//! before: a cluster that was killed, or never came up, goes the same way.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};

use super::local::Local;
use super::node::{MAX_NODES, Node};
use super::{cgroups, kind, up};
use crate::process::{self, Progress};

pub(super) fn down(cluster: &Local, progress: Progress) -> Result<()> {
    let lock = up::lock(cluster)?;
    let was_there = cluster.folder.exists() || cluster.supervisor()?.is_some();
    if cluster.is_kind() {
        kind::down(cluster)?;
    }
    // In any case: killed at the right moment, a cluster leaves control groups and no folder.
    clean(cluster)?;
    fs::remove_file(cluster.folder.with_extension("lock")).context("remove the lock")?;
    drop(lock);
    // The folders above, where no other cluster needs them: only empty ones can be removed.
    for parent in cluster.folder.ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(parent);
    }
    let how = if was_there { "gone" } else { "not up" };
    progress.say(format!("the cluster {} is {how}", cluster.name));
    Ok(())
}

/// Ends the processes, and removes control groups and files.
pub(super) fn clean(cluster: &Local) -> Result<()> {
    kill(cluster)?;
    for node in (1..=MAX_NODES).map(Node) {
        let group = node.cgroup(&cluster.name);
        if cgroups::exists(&group)? {
            cgroups::remove(&group)?;
        }
    }
    if !cluster.folder.exists() {
        return Ok(());
    }
    // The mounts went with the last process; the kernel may take a moment to drop the last of them.
    process::wait_for("the cluster's files to go", Duration::from_secs(15), || {
        Ok(fs::remove_dir_all(&cluster.folder).ok())
    })
    .or_else(|_| {
        fs::remove_dir_all(&cluster.folder)
            .with_context(|| format!("remove {}", cluster.folder.display()))
    })
}

/// Ends the first process and with it every other one, and waits until they are gone.
pub(super) fn kill(cluster: &Local) -> Result<()> {
    let Some(supervisor) = cluster.supervisor()? else {
        return Ok(());
    };
    let pid = Pid::from_raw(supervisor).context("read a process number")?;
    rustix::process::kill_process(pid, Signal::KILL).context("end the cluster's first process")?;
    process::wait_for(
        "the cluster's processes to end",
        Duration::from_secs(30),
        || Ok(has_ended(supervisor).then_some(())),
    )
}

/// Whether the process is gone, or a zombie. The first process of a namespace turns into one only when
/// every other process there has ended; its command line is empty long before.
fn has_ended(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // "PID (NAME) STATE …", where the name may hold anything, brackets too.
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
