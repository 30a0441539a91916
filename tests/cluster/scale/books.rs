//! What is known of an operator from outside: the kernel's books of its process, the API server's audit log, and
//! the page of its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use graceful::api::FIELD_MANAGER;
use serde_json::Value;

/// Where a cluster of `xtask cluster` keeps it.
fn audit_log() -> PathBuf {
    let kubeconfig = std::env::var_os("KUBECONFIG").expect("a cluster");
    Path::new(&kubeconfig).with_file_name("audit.log")
}

/// A line of `/proc/PID/status` in MiB.
pub(super) fn mebibytes(process: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let found = status.lines().find_map(|one| one.strip_prefix(line));
    let number = found.and_then(|rest| rest.split_whitespace().next());
    number.expect("in the books").parse::<f64>().expect("KiB") / 1024.0
}

/// Processor time used so far, by the scheduler's own books.
pub(super) fn processor_time(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
    let nanoseconds = tasks.flatten().map(|task| {
        let books = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let first = books.split_whitespace().next();
        first.and_then(|number| number.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// A place in the audit log.
pub(super) struct Mark(u64);

impl Mark {
    pub(super) fn now() -> Self {
        Self(std::fs::metadata(audit_log()).expect("an audit log").len())
    }

    /// What operators asked for since then, by verb and resource. Events are apart from what a rollout writes,
    /// and counted like everything else.
    pub(super) fn calls(&self, agent: &str) -> BTreeMap<String, u64> {
        let mut file = File::open(audit_log()).expect("an audit log");
        file.seek(SeekFrom::Start(self.0)).expect("the mark");
        let mut calls = BTreeMap::new();
        for line in BufReader::new(file).lines() {
            let line = line.expect("a line");
            // Reading each line as JSON would take longer than what is measured.
            if !line.contains(agent) {
                continue;
            }
            let Ok(entry) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let of = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
            if !of("/userAgent").is_some_and(|own| own.contains(agent)) {
                continue;
            }
            let verb = of("/verb").unwrap_or_default();
            let resource = of("/objectRef/resource").unwrap_or_default();
            let part =
                of("/objectRef/subresource").map_or(String::new(), |part| format!("/{part}"));
            *calls.entry(format!("{verb} {resource}{part}")).or_default() += 1;
        }
        calls
    }

    /// Those of the operator that change something.
    pub(super) fn writes(&self) -> BTreeMap<String, u64> {
        let mut calls = self.calls(FIELD_MANAGER);
        let reads = ["get ", "list ", "watch "];
        calls.retain(|call, _| !reads.iter().any(|read| call.starts_with(read)));
        calls
    }
}

/// Objects that the page tells of: an object's counters are there from its first reconcile on.
pub(super) fn reconciled(page: &str) -> usize {
    let lines = page.lines();
    let named = lines.filter(|line| line.starts_with("graceful_connections_cut_total{"));
    named.collect::<BTreeSet<_>>().len()
}

/// Series of the page, without those of errors: which errors a run met is not what is counted here.
pub(super) fn series(page: &str) -> usize {
    let lines = page.lines();
    let series = lines.filter(|line| !line.starts_with('#') && !line.contains("_errors_total{"));
    series.count()
}
