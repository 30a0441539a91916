//! Processes of the cluster, by the kernel's own books: the tests run in its process namespace.

use std::process::Command;
use std::time::Duration;

/// Ids of the processes that run a program of this name.
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
    found
}

/// Ends one process at once.
pub(crate) fn kill(pid: u32) {
    let status = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill {pid}: {status}");
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

/// Processor time used so far.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th field behind.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
