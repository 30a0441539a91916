//! How pods ended, summed up: each is counted once, when it is gone. What a pod's drain remembers goes in
//! the same write by which its end is counted, so that no crash counts it twice.

use jiff::Timestamp;

use super::conditions::counted as in_words;
use super::observation::Observation;
use super::plan::Draft;
use super::target::Target;
use crate::api::farewell::Exit;
use crate::api::reason::Reason;
use crate::api::receipt::{Outcome, Receipt};
use crate::api::v1alpha1::{DrainRecord, Measured, RolloutRecord};

/// Exit code of a process that was ended by SIGKILL.
const KILLED: i32 = 137;

/// Exit code of a process that was ended by SIGTERM because it does not handle it; and of a JVM that ended
/// in order. Nobody can tell which.
const TERMINATED: i32 = 143;

/// So many drains and shutdowns are remembered: with fewer, the 99th percentile is the longest of all.
const REMEMBERED: usize = 100;

/// Kinds of confirmations that a receipt can name as the last: none where nothing was waited for.
pub const KINDS: [&str; 6] = [
    "connections",
    "httpGet",
    "metric",
    CONDITION,
    "none",
    "other",
];

/// The kind that no receipt names: the operator waits for conditions, once the agent is done.
const CONDITION: &str = "condition";

/// A pod that is gone, by what the kubelet last said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// The node that it was on.
    pub node: Option<String>,
    /// When its last container ended, in whole seconds.
    pub finished: Option<Timestamp>,
    /// It had been started.
    pub has_begun: bool,
    /// How each of the application's containers ended; empty where that is not known of all.
    pub containers: Vec<ContainerEnd>,
    /// What its agent said last.
    pub exit: Option<Exit>,
    /// Receipts of its drains, newest first.
    pub receipts: Vec<Receipt>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEnd {
    /// Its name.
    pub name: String,
    /// Its exit code.
    pub code: i32,
    /// It ended when the pod's grace period was over.
    pub is_late: bool,
}

impl ContainerEnd {
    /// It was ended by SIGKILL.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.code == KILLED || self.code != 0 && self.is_late
    }

    /// It ended badly by itself.
    fn is_failed(&self) -> bool {
        ![0, TERMINATED].contains(&self.code)
    }
}

/// The end of one pod as it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// UID of the pod.
    pub uid: String,
    /// Milliseconds of its drain, and the kind of the confirmation that came last, one of [`KINDS`].
    pub drain: Option<(u64, &'static str)>,
    /// A container was ended by SIGKILL.
    pub is_killed: bool,
    /// Connections that were cut with it.
    pub connections_cut: u32,
    /// Pools that it left open.
    pub pools_left_open: u32,
}

/// What ended in one round, for the record of the rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) drained: i32,
    pub(super) forced: i32,
    pub(super) connections_cut: i32,
    /// Of the drains that ended, the longest, in seconds.
    pub(super) longest: i32,
    ended: i32,
    unseen: i32,
    codes: Vec<i32>,
    forced_kills: i32,
    pools_left_open: i32,
    drains: Vec<i32>,
    shutdowns: Vec<i32>,
}

/// Counts the pods that are gone.
pub(super) fn count(observation: &Observation, target: &Target, draft: &mut Draft) {
    let drains = &observation.previous.drains;
    let is_there = |uid: &str| observation.pods.iter().any(|pod| pod.uid == uid);
    let is_seen = |uid: &str| observation.ends.iter().any(|end| end.uid == uid);
    let vanished = drains
        .iter()
        .filter(|it| !is_there(&it.uid) && !is_seen(&it.uid));
    draft.tally.unseen += i32::try_from(vanished.count()).unwrap_or(i32::MAX);
    for end in observation.ends.iter().filter(|end| !is_there(&end.uid)) {
        let drain = drains.iter().find(|drain| drain.uid == end.uid);
        let counted = count_one(target, end, drain, draft);
        draft.counted.push(counted);
    }
}

fn count_one(
    target: &Target,
    end: &End,
    drain: Option<&DrainRecord>,
    draft: &mut Draft,
) -> Counted {
    let receipt = drain.and_then(|drain| {
        let mut receipts = end.receipts.iter();
        receipts.find(|it| it.epoch == drain.epoch && it.uid == end.uid)
    });
    let killed = end.containers.iter().find(|one| one.is_killed());
    let exit = end.exit.unwrap_or_default();
    let is_cut = |receipt: &&Receipt| receipt.outcome != Outcome::Drained;
    let cut_by_drain = receipt.filter(is_cut).map_or(0, |receipt| receipt.busy);
    let (busy, pools) = match killed {
        Some(_) => (exit.busy, exit.pools),
        None => (0, exit.silent),
    };
    let tally = &mut draft.tally;
    match (end.has_begun, end.containers.is_empty()) {
        (false, _) => {}
        (true, true) => tally.unseen += 1,
        (true, false) => tally.ended += 1,
    }
    tally
        .codes
        .extend(end.containers.iter().map(|one| one.code));
    tally.forced_kills += i32::from(killed.is_some());
    tally.pools_left_open += to_count(pools);
    // What the drain left was counted when it ended.
    tally.connections_cut += to_count(busy.saturating_sub(cut_by_drain));
    let took = receipt.map(|receipt| took(receipt, drain));
    if let Some((receipt, (milliseconds, _))) = receipt.zip(took) {
        let seconds = to_seconds(milliseconds);
        let is_cut = receipt.outcome == Outcome::TimedOut;
        tally.drains.push(if is_cut { -seconds } else { seconds });
    }
    let set = i32::try_from(target.shutdown_timeout.as_secs()).unwrap_or(i32::MAX);
    match (exit.shutdown.map(to_seconds), killed) {
        (Some(seconds), None) => tally.shutdowns.push(seconds),
        (Some(seconds), Some(_)) => tally.shutdowns.push(-seconds),
        (None, Some(late)) if late.is_late => tally.shutdowns.push(-set.max(1)),
        (None, _) => {}
    }
    tell(
        end,
        killed,
        (busy.saturating_sub(cut_by_drain), pools),
        draft,
    );
    Counted {
        uid: end.uid.clone(),
        drain: took,
        is_killed: killed.is_some(),
        connections_cut: busy.max(cut_by_drain),
        pools_left_open: pools,
    }
}

/// What is worth a word: a pod that ended as it should is not.
fn tell(end: &End, killed: Option<&ContainerEnd>, (cut, pools): (u32, u32), draft: &mut Draft) {
    let pod = &end.pod;
    let after = end.exit.and_then(|exit| exit.shutdown);
    let after = after.map_or(String::new(), |took| {
        format!(" {}.{} s after SIGTERM", took / 1000, took % 1000 / 100)
    });
    if let Some(ContainerEnd { name, code, .. }) = killed {
        let message = format!(
            "container {name} of {pod} was killed{after} (exit code {code}), with {} and {}",
            in_words(cut, "busy connection"),
            in_words(pools, "open pool"),
        );
        draft.tell(true, Reason::PodKilled, message);
        return;
    }
    if let Some(ContainerEnd { name, code, .. }) = end.containers.iter().find(|one| one.is_failed())
    {
        let message = format!("container {name} of {pod} ended{after} with exit code {code}");
        draft.tell(true, Reason::PodFailed, message);
    }
    if pools > 0 {
        let pools = in_words(pools, "pool");
        let message = format!("{pod} ended{after} and left {pools} of database connections open");
        draft.tell(true, Reason::PoolLeftOpen, message);
    }
}

/// How long a drain took, and the kind of the confirmation that came last. Where that is a condition, the
/// drain went on after its receipt, until the pod was given up.
fn took(receipt: &Receipt, drain: Option<&DrainRecord>) -> (u64, &'static str) {
    let Some(drain) = drain.filter(|drain| drain.condition.is_some()) else {
        return (receipt.milliseconds, kind(receipt));
    };
    let ends = drain.withdrawn.as_ref().zip(drain.retired.as_ref());
    let waited = ends.map_or(0, |(from, to)| {
        let millis = to.0.as_millisecond() - from.0.as_millisecond();
        u64::try_from(millis).unwrap_or(0)
    });
    (waited.max(receipt.milliseconds), CONDITION)
}

/// The kind of the confirmation that came last, of [`KINDS`], whoever wrote the receipt.
fn kind(receipt: &Receipt) -> &'static str {
    let last = receipt.last.as_deref().unwrap_or_default();
    match last.split(' ').next().unwrap_or_default() {
        "" => "none",
        word => {
            let known = KINDS.into_iter().find(|kind| *kind == word);
            known.unwrap_or("other")
        }
    }
}

/// What ended in this round is the rollout's.
pub(super) fn add(tally: &Tally, rollout: &mut RolloutRecord) {
    let grow = |sum: &mut i32, by: i32| *sum = sum.saturating_add(by);
    grow(&mut rollout.drained, tally.drained);
    grow(&mut rollout.forced, tally.forced);
    grow(&mut rollout.connections_cut, tally.connections_cut);
    grow(&mut rollout.ended, tally.ended);
    grow(&mut rollout.unseen, tally.unseen);
    grow(&mut rollout.forced_kills, tally.forced_kills);
    grow(&mut rollout.pools_left_open, tally.pools_left_open);
    for code in &tally.codes {
        let count = rollout.exit_codes.entry(code.to_string()).or_default();
        *count = count.saturating_add(1);
    }
    rollout.longest_drain_seconds = rollout.longest_drain_seconds.max(tally.longest);
    let shutdowns = tally.shutdowns.iter().map(|seconds| seconds.abs());
    let longest = shutdowns.max().unwrap_or(0);
    rollout.longest_shutdown_seconds = rollout.longest_shutdown_seconds.max(longest);
}

/// Remembers what was measured in this round, and forgets the oldest.
pub(super) fn measure(tally: &Tally, measured: &mut Measured) {
    let keep = |all: &mut Vec<i32>, new: &[i32]| {
        all.extend(new);
        all.drain(..all.len().saturating_sub(REMEMBERED));
    };
    keep(&mut measured.drains, &tally.drains);
    keep(&mut measured.shutdowns, &tally.shutdowns);
}

/// Rounded up, within a week, so that no agent's word goes beyond what a timeout may be.
fn to_seconds(milliseconds: u64) -> i32 {
    const WEEK: u64 = 7 * 24 * 3600;
    i32::try_from(milliseconds.div_ceil(1000).clamp(1, WEEK)).unwrap_or(i32::MAX)
}

/// Of one pod, and no more than a pod can have, whoever wrote it.
fn to_count(number: u32) -> i32 {
    i32::try_from(number.min(1_000_000)).unwrap_or(0)
}
