//! Counts what became of every request of one target, and remembers enough of it for a test to ask:
//! failures one by one, and when each pod last finished something.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outcome::{Break, Cause, Failure, Kind};

/// Failures kept one by one for each target; beyond that they are only counted.
const SAMPLE: usize = 1000;

/// Above this a connect needed a second SYN: the kernel sends it after one second.
const SECOND_SYN: Duration = Duration::from_millis(900);

/// What became of the requests of one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Name of the arm.
    pub(crate) name: String,
    /// Address that was loaded.
    pub(crate) address: SocketAddr,
    /// Requests that came to an end, good or bad.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) lost: u64,
    /// Those that failed, by client and by who broke them.
    pub(crate) lost_by: BTreeMap<Kind, BTreeMap<Cause, u64>>,
    /// All of them by client.
    pub(crate) kinds: BTreeMap<Kind, KindReport>,
    /// Requests that the end of the run cut off: neither good nor lost.
    pub(crate) unfinished: u64,
    /// Requests that were due but not sent, because too many were under way.
    pub(crate) skipped: u64,
    /// Connections that were opened.
    pub(crate) connects: u64,
    /// The slowest of them, in milliseconds.
    pub(crate) slowest_connect_millis: u64,
    /// Connections that needed a second SYN: packets were dropped or mistranslated.
    pub(crate) second_syns: u64,
    /// Keep-alive connections that the server closed between two requests, which is its good right.
    pub(crate) closed_idle: u64,
    /// By pod, as far as answers named it.
    pub(crate) pods: BTreeMap<String, PodReport>,
    /// The first failures, one by one.
    pub(crate) failures: Vec<Failure>,
}

/// The requests of one kind of client.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KindReport {
    /// Requests that came to an end, good or bad.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) lost: u64,
    /// The slowest good one, in milliseconds.
    pub(crate) slowest_millis: u64,
}

/// What one pod did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodReport {
    /// Requests that it finished.
    pub(crate) requests: u64,
    /// Requests that failed on a connection to it.
    pub(crate) lost: u64,
    /// When it first finished something, in milliseconds since 1970.
    pub(crate) first_millis: u64,
    /// When it last finished something, by client.
    pub(crate) last_millis: BTreeMap<Kind, u64>,
}

/// One line of progress for one target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress {
    /// Name of the arm.
    pub(crate) name: String,
    /// Requests that came to an end.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) lost: u64,
    /// Those that failed, by who broke them.
    pub(crate) causes: BTreeMap<Cause, u64>,
    /// Connections open now.
    pub(crate) connections: i64,
    /// Requests under way now, by client.
    pub(crate) under_way: BTreeMap<Kind, u64>,
}

/// The books of one target.
pub(super) struct Tally {
    report: Mutex<Report>,
    under_way: Mutex<BTreeMap<Kind, u64>>,
    /// Connections open now.
    pub(super) open: Arc<AtomicI64>,
    /// Requests begun in this run, all targets together, and how many may be.
    begun: Arc<AtomicU64>,
    most: u64,
}

/// One request under way.
pub(super) struct Entry {
    kind: Kind,
    began: Timestamp,
}

/// The connection that a failure happened on, as far as there was one.
#[derive(Default)]
pub(super) struct Place {
    pub(super) pod: Option<String>,
    pub(super) source: Option<SocketAddr>,
    pub(super) age: Duration,
    pub(super) exchanges: u64,
}

impl Tally {
    pub(super) fn new(name: &str, address: SocketAddr, begun: Arc<AtomicU64>, most: u64) -> Self {
        Self {
            report: Mutex::new(Report {
                name: name.to_owned(),
                address,
                requests: 0,
                lost: 0,
                lost_by: BTreeMap::new(),
                kinds: BTreeMap::new(),
                unfinished: 0,
                skipped: 0,
                connects: 0,
                slowest_connect_millis: 0,
                second_syns: 0,
                closed_idle: 0,
                pods: BTreeMap::new(),
                failures: Vec::new(),
            }),
            under_way: Mutex::default(),
            open: Arc::default(),
            begun,
            most,
        }
    }

    /// Begins a request, unless the run has had its share.
    pub(super) fn begin(&self, kind: Kind) -> Option<Entry> {
        if self.begun.fetch_add(1, Ordering::Relaxed) >= self.most {
            return None;
        }
        *lock(&self.under_way).entry(kind).or_default() += 1;
        Some(Entry {
            kind,
            began: Timestamp::now(),
        })
    }

    /// Whether the run has had its share of requests.
    pub(super) fn is_full(&self) -> bool {
        self.begun.load(Ordering::Relaxed) >= self.most
    }

    /// The request came to its end.
    pub(super) fn good(&self, entry: &Entry, pod: Option<&str>) {
        self.leave(entry.kind);
        let now = Timestamp::now();
        let took = millis(now).saturating_sub(millis(entry.began));
        let mut report = lock(&self.report);
        report.requests += 1;
        let kind = report.kinds.entry(entry.kind).or_default();
        kind.requests += 1;
        kind.slowest_millis = kind.slowest_millis.max(took);
        if let Some(pod) = pod {
            if !report.pods.contains_key(pod) {
                report.pods.insert(pod.to_owned(), PodReport::default());
            }
            if let Some(pod) = report.pods.get_mut(pod) {
                pod.requests += 1;
                if pod.first_millis == 0 {
                    pod.first_millis = millis(now);
                }
                pod.last_millis.insert(entry.kind, millis(now));
            }
        }
    }

    /// The request failed. Returns the failure where it is among those that are kept.
    pub(super) fn lost(&self, entry: &Entry, broke: &Break, place: Place) -> Option<Failure> {
        self.leave(entry.kind);
        let mut report = lock(&self.report);
        let cause = broke.cause();
        report.requests += 1;
        report.lost += 1;
        let kind = report.kinds.entry(entry.kind).or_default();
        kind.requests += 1;
        kind.lost += 1;
        let causes = report.lost_by.entry(entry.kind).or_default();
        *causes.entry(cause).or_default() += 1;
        if let Some(pod) = &place.pod {
            report.pods.entry(pod.clone()).or_default().lost += 1;
        }
        if report.failures.len() >= SAMPLE {
            return None;
        }
        let failure = Failure {
            at_millis: millis(Timestamp::now()),
            began_millis: millis(entry.began),
            target: report.name.clone(),
            kind: entry.kind,
            cause,
            phase: broke.phase,
            detail: broke.detail.clone(),
            pod: place.pod,
            source: place.source,
            peer: report.address,
            connection_millis: u64::try_from(place.age.as_millis()).unwrap_or(u64::MAX),
            exchanges: place.exchanges,
            sent: broke.sent,
            received: broke.received,
        };
        report.failures.push(failure.clone());
        Some(failure)
    }

    /// A connection was opened.
    pub(super) fn connected(&self, took: Duration) {
        let mut report = lock(&self.report);
        report.connects += 1;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        report.slowest_connect_millis = report.slowest_connect_millis.max(millis);
        report.second_syns += u64::from(took > SECOND_SYN);
    }

    /// The server closed a connection between two requests.
    pub(super) fn closed_idle(&self) {
        lock(&self.report).closed_idle += 1;
    }

    /// A request was due and not sent.
    pub(super) fn skipped(&self) {
        lock(&self.report).skipped += 1;
    }

    /// The report as it stands; what is still under way counts as unfinished.
    pub(super) fn report(&self) -> Report {
        let unfinished = lock(&self.under_way).values().sum();
        Report {
            unfinished,
            ..lock(&self.report).clone()
        }
    }

    /// Where it stands, in short.
    pub(super) fn progress(&self) -> Progress {
        let report = lock(&self.report);
        let mut causes = BTreeMap::new();
        for (cause, lost) in report.lost_by.values().flatten() {
            *causes.entry(*cause).or_default() += lost;
        }
        Progress {
            name: report.name.clone(),
            requests: report.requests,
            lost: report.lost,
            causes,
            connections: self.open.load(Ordering::Relaxed),
            under_way: lock(&self.under_way).clone(),
        }
    }

    fn leave(&self, kind: Kind) {
        if let Some(count) = lock(&self.under_way).get_mut(&kind) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

/// A lock whose holder panicked still guards plain counters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
