//! Processes of the cluster, by the kernel's own books: the tests run in its process namespace.

use std::process::Command;
use std::time::Duration;

/// Ids of the processes that run a program of this name. A process that starts another one is there twice until
/// the new one has loaded its own program: children of their own kind are left out.
pub(crate) fn find(program: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // The kernel keeps 15 bytes of a name; the link has it whole.
        let link = std::fs::read_link(entry.path().join("exe"));
        let name = link
            .ok()
            .and_then(|path| path.file_name()?.to_str().map(str::to_owned));
        if name.as_deref() == Some(program) {
            found.push(pid);
        }
    }
    let is_child = |pid: &u32| parent(*pid).is_some_and(|parent| found.contains(&parent));
    found.iter().copied().filter(|pid| !is_child(pid)).collect()
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

/// The name of the machine that a process was started on: its pod's.
pub(crate) fn hostname(pid: u32) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut all = environment.split(|byte| *byte == 0);
    let name = all.find_map(|one| one.strip_prefix(b"HOSTNAME="))?;
    String::from_utf8(name.to_vec()).ok()
}

/// What a process was started with as `NAME=value`.
pub(crate) fn argument(pid: u32, name: &str) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8(line).ok()?;
    let value = line.split('\0').find_map(|one| one.strip_prefix(name));
    Some(value?.strip_prefix('=')?.to_owned())
}

/// The process that started it.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Resident memory in KiB; 0 where the process is gone.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Processor time used so far, by all threads. The scheduler's own books: those of `stat` go by the
/// tick, too coarse for a process that runs a millisecond at a time.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let nanoseconds = tasks.into_iter().flatten().flatten().map(|task| {
        let books = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let first = books.split_whitespace().next();
        first.and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanoseconds.sum())
}
