//! What the process remembers of each object, and may forget at any time: what it wrote last (so that
//! it never plans on a cache older than its own writes), when, and how often it failed. Nothing that a
//! decision depends on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use tokio::time::Instant;

use super::caches::Guarded;
use super::report::{Refusal, Reported};
use crate::api::v1alpha1::DrainRecord;
use crate::observe::Objects;
use crate::rollout::Plan;

/// How long the caches may lag behind a write of ours before it is no longer waited for: a watch
/// that is broken must not stop everything. Longer than a watch event takes on a busy API server,
/// shorter than a person's patience.
pub(super) const EXPIRY: Duration = Duration::from_secs(5);

/// The first wait after a failure; doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Kinds that the operator writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Object,
    ReplicaSet,
    Pod,
    ControllerRevision,
}

/// One write, as the caches are to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) trace: Trace,
}

/// What a write leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// The object, with this UID.
    Made { uid: String },
    /// This version of the object or a newer one, or none of it any more.
    Changed { uid: String, version: String },
    /// No object of this UID that is not being deleted.
    Deleted { uid: String },
}

/// One object as a cache shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    uid: String,
    version: String,
    deleting: bool,
}

impl Trace {
    fn shows(&self, seen: Option<&Seen>) -> bool {
        match (self, seen) {
            (Self::Made { uid }, Some(seen)) => seen.uid == *uid,
            (Self::Made { .. }, None) => false,
            (Self::Changed { uid, version }, Some(seen)) => {
                seen.uid != *uid || is_at_least(&seen.version, version)
            }
            (Self::Deleted { uid }, Some(seen)) => seen.uid != *uid || seen.deleting,
            (Self::Changed { .. } | Self::Deleted { .. }, None) => true,
        }
    }
}

/// Versions are comparable numbers (KEP-5504); where one is not, only equality is known.
fn is_at_least(seen: &str, written: &str) -> bool {
    match (seen.parse::<u128>(), written.parse::<u128>()) {
        (Ok(seen), Ok(written)) => seen >= written,
        _ => seen == written,
    }
}

/// A status that waits for a change that is worth a write. Forgotten in a crash, its drains are seen to
/// be withdrawn some seconds later than they were, and last as much longer.
#[derive(Clone, Debug)]
pub(super) struct PutOff {
    /// Since when.
    pub(super) since: Instant,
    /// Its drains.
    pub(super) drains: Vec<DrainRecord>,
    /// How far the wall clock had been set ahead by then.
    pub(super) ahead: Duration,
}

impl PutOff {
    /// Adds to the drains that were read when they were first seen withdrawn.
    pub(super) fn recall(&self, read: &mut [DrainRecord], ahead: Duration) {
        let mut drains = self.drains.clone();
        postpone(&mut drains, ahead.saturating_sub(self.ahead));
        for drain in read {
            let mut known = drains.iter();
            let known = known.find(|known| known.uid == drain.uid && known.epoch == drain.epoch);
            if let (Some(known), None, None) = (known, &drain.withdrawn, &drain.deadline) {
                drain.withdrawn.clone_from(&known.withdrawn);
                drain.deadline.clone_from(&known.deadline);
            }
        }
    }
}

/// Moves what was written by a clock that has since been set ahead: a drain is never shortened by it.
pub(super) fn postpone(drains: &mut [DrainRecord], ahead: Duration) {
    for drain in drains {
        let times = [
            &mut drain.withdrawn,
            &mut drain.deadline,
            &mut drain.retired,
        ];
        for MicroTime(time) in times.into_iter().flatten() {
            *time = time.checked_add(ahead).unwrap_or(*time);
        }
    }
}

/// What is remembered of one object.
#[derive(Debug, Default)]
pub(super) struct Notes {
    written: HashMap<(Kind, String), (Trace, Instant)>,
    /// UIDs of pods that were deleted, and that the cache shows as if they stayed.
    pub(super) deleted: BTreeSet<String>,
    /// The status that waits to be written.
    pub(super) put_off: Option<PutOff>,
    /// Failures since the last success.
    pub(super) failures: u32,
    /// Until then the API server asked not to be called.
    pub(super) rest: Option<Instant>,
    /// What the API server refused when the plan was last carried out. It is shown by the next status.
    pub(super) refusal: Option<Refusal>,
    /// Somebody else's ReplicaSet with the name that ours was to get.
    pub(super) foreign: Option<Arc<ReplicaSet>>,
    /// How far the wall clock had been set ahead when the drains were last looked at.
    pub(super) ahead: Option<Duration>,
    /// What was wrong with the object when it was last reported as unreadable.
    pub(super) unreadable: Option<String>,
}

/// Whether the caches have what we wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// They have.
    Current,
    /// They have not; for so long it is worth waiting for.
    Behind(Duration),
    /// They have not, and for too long.
    Expired,
}

impl Notes {
    /// How long the API server wants its rest yet.
    pub(super) fn rests(&mut self, now: Instant) -> Option<Duration> {
        self.rest = self.rest.filter(|until| *until > now);
        self.rest.map(|until| until.saturating_duration_since(now))
    }

    /// Remembers a write.
    pub(super) fn wrote(&mut self, written: Written, at: Instant) {
        self.written
            .insert((written.kind, written.name), (written.trace, at));
    }

    /// Remembers what became of a plan's status; `ahead` is how far the wall clock has been set ahead.
    pub(super) fn reported(&mut self, reported: &Reported, plan: &Plan, ahead: Duration) {
        let at = Instant::now();
        let before = self.put_off.take();
        match (reported, &plan.status) {
            (Reported::PutOff(_), Some(status)) => {
                self.put_off = Some(PutOff {
                    since: before.map_or(at, |before| before.since),
                    drains: status.drains.clone(),
                    ahead,
                });
            }
            (Reported::Written(written, _), _) => {
                self.wrote(written.clone(), at);
                self.ahead = Some(ahead);
            }
            _ => {}
        }
    }

    /// Compares the caches with what was written, and forgets what they show.
    pub(super) fn freshness(&mut self, objects: &Objects<'_>, now: Instant) -> Freshness {
        self.written
            .retain(|(kind, name), (trace, _)| !trace.shows(find(objects, *kind, name).as_ref()));
        self.deleted.retain(|uid| {
            let mut pods = objects.pods.iter().map(|pod| seen(&pod.metadata));
            pods.any(|pod| pod.uid == *uid && !pod.deleting)
        });
        let Some(oldest) = self.written.values().map(|(_, at)| *at).min() else {
            return Freshness::Current;
        };
        let age = now.saturating_duration_since(oldest);
        if age < EXPIRY {
            return Freshness::Behind(EXPIRY.saturating_sub(age));
        }
        for ((kind, _), (trace, _)) in self.written.drain() {
            if let (Kind::Pod, Trace::Deleted { uid }) = (kind, trace) {
                self.deleted.insert(uid);
            }
        }
        Freshness::Expired
    }

    /// How long to wait after one more failure: doubled each time, spread by a random number so that
    /// objects that failed together do not come back together.
    pub(super) fn next_wait(&mut self, random: u64) -> Duration {
        let wait = FIRST_WAIT
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let part = u32::try_from(random % 1000).unwrap_or(0);
        wait / 2 + wait / 2 * part / 1000
    }
}

fn find(objects: &Objects<'_>, kind: Kind, name: &str) -> Option<Seen> {
    fn among<K: Resource>(all: &[Arc<K>], name: &str) -> Option<Seen> {
        all.iter()
            .map(|object| object.meta())
            .find(|metadata| metadata.name.as_deref() == Some(name))
            .map(seen)
    }
    match kind {
        Kind::Object => Some(seen(&objects.object.metadata)),
        Kind::ReplicaSet => among(&objects.replica_sets, name),
        Kind::Pod => among(&objects.pods, name),
        Kind::ControllerRevision => among(&objects.controller_revisions, name),
    }
}

fn seen(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Seen {
    Seen {
        uid: metadata.uid.clone().unwrap_or_default(),
        version: metadata.resource_version.clone().unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
    }
}

/// The notes on every object.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<ObjectRef<Guarded>, Notes>>);

impl Memory {
    /// Looks at or changes the notes on one object.
    pub(super) fn of<T>(
        &self,
        object: &ObjectRef<Guarded>,
        look: impl FnOnce(&mut Notes) -> T,
    ) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(all.entry(object.clone()).or_default())
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, object: &ObjectRef<Guarded>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(uid: &str, version: &str) -> Seen {
        Seen {
            uid: uid.into(),
            version: version.into(),
            deleting: false,
        }
    }

    fn changed(version: &str) -> Trace {
        Trace::Changed {
            uid: "a".into(),
            version: version.into(),
        }
    }

    /// R04.
    #[test]
    fn a_change_shows_with_its_version_or_a_newer_one() {
        assert!(!changed("100").shows(Some(&seen("a", "99"))));
        assert!(changed("100").shows(Some(&seen("a", "100"))));
        assert!(changed("99").shows(Some(&seen("a", "100"))));
        assert!(changed("100").shows(None));
        assert!(changed("100").shows(Some(&seen("another", "1"))));
    }

    #[test]
    fn versions_that_are_no_numbers_must_be_equal() {
        assert!(!changed("b").shows(Some(&seen("a", "c"))));
        assert!(changed("b").shows(Some(&seen("a", "b"))));
    }

    #[test]
    fn what_was_made_must_be_there() {
        let made = Trace::Made { uid: "a".into() };
        assert!(!made.shows(None));
        assert!(!made.shows(Some(&seen("the one before", "1"))));
        assert!(made.shows(Some(&seen("a", "1"))));
    }

    /// R04.
    #[test]
    fn what_was_deleted_must_be_gone_or_going() {
        let deleted = Trace::Deleted { uid: "a".into() };
        assert!(deleted.shows(None));
        assert!(!deleted.shows(Some(&seen("a", "1"))));
        let going = Seen {
            deleting: true,
            ..seen("a", "2")
        };
        assert!(deleted.shows(Some(&going)));
    }

    fn drain(deadline: Option<&str>) -> DrainRecord {
        serde_json::from_value(serde_json::json!({
            "pod": "a", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
            "since": "2026-01-01T00:00:00.000000Z", "deadline": deadline, "withdrawn": deadline,
        }))
        .unwrap()
    }

    const DEADLINE: &str = "2026-01-01T00:05:00.000000Z";

    /// R14.
    #[test]
    fn a_clock_set_ahead_shortens_no_drain() {
        let mut drains = [drain(Some(DEADLINE))];
        let before = drains[0].deadline.clone().unwrap().0;
        postpone(&mut drains, Duration::from_secs(60));
        let after = drains[0].deadline.clone().unwrap().0;
        assert_eq!(after, before + Duration::from_secs(60));
    }

    #[test]
    fn a_withdrawal_that_was_not_written_yet_is_recalled() {
        let put_off = PutOff {
            since: Instant::now(),
            drains: vec![drain(Some(DEADLINE))],
            ahead: Duration::from_secs(5),
        };
        let mut read = [drain(None)];
        put_off.recall(&mut read, Duration::from_secs(5));
        assert_eq!(read[0], drain(Some(DEADLINE)));
        let mut set_ahead = [drain(None)];
        put_off.recall(&mut set_ahead, Duration::from_secs(65));
        let later = set_ahead[0].deadline.clone().unwrap().0;
        assert_eq!(later.to_string(), "2026-01-01T00:06:00Z");
        let mut anew = [DrainRecord {
            epoch: "f".into(),
            ..drain(None)
        }];
        put_off.recall(&mut anew, Duration::from_secs(5));
        assert_eq!(anew[0].withdrawn, None);
    }

    #[test]
    fn api_server_gets_the_rest_that_it_asked_for() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut notes = Notes {
            rest: Some(start + 3 * second),
            ..Notes::default()
        };
        assert_eq!(notes.rests(start + second), Some(2 * second));
        assert_eq!(notes.rests(start + 3 * second), None);
    }

    #[test]
    fn waits_grow_and_are_capped() {
        let mut notes = Notes::default();
        let waits: Vec<_> = (0..20).map(|_| notes.next_wait(999)).collect();
        assert!(waits.is_sorted(), "{waits:?}");
        assert!(waits[0] < FIRST_WAIT);
        assert!(waits[19] <= LONGEST_WAIT);
    }
}
