//! The Lease: of several operators one leads, and only that one writes. It takes and renews the Lease and
//! says until when it leads; what writes looks at that itself, so that a process that was stopped for a
//! while and wakes up writes nothing. Decides nothing: `election` does.

mod election;

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use self::election::{Election, LEASE, RETRY, Record, Step, good_until};
use super::error::{Failure, answered, in_words};

/// A call that has no answer by then is made again: twice within the time to renew.
const CALL: Duration = Duration::from_secs(4);

/// Giving the Lease back must not hold up the end of the process.
const RELEASE: Duration = Duration::from_secs(1);

/// Where the Lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.into(),
                name: name.into(),
            }),
            _ => Err(format!("{text:?} is not NAMESPACE/NAME")),
        }
    }
}

/// Until when this process leads. Where there is no Lease, it always does.
#[derive(Clone, Debug)]
pub(super) struct Leadership(Option<Arc<Mutex<Option<Instant>>>>);

impl Leadership {
    /// Of a process that is alone.
    pub(super) fn always() -> Self {
        Self(None)
    }

    fn candidate() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether it leads at this moment.
    pub(super) fn holds(&self) -> bool {
        self.until().is_none_or(|until| Instant::now() < until)
    }

    /// `None` for ever.
    fn until(&self) -> Option<Instant> {
        let until = self.0.as_ref()?;
        let until = until.lock().unwrap_or_else(PoisonError::into_inner);
        Some(until.unwrap_or_else(Instant::now))
    }

    fn set(&self, at: Option<Instant>) {
        if let Some(until) = &self.0 {
            *until.lock().unwrap_or_else(PoisonError::into_inner) = at;
        }
    }
}

/// One candidate for the Lease.
pub(super) struct Candidate {
    api: Api<Lease>,
    name: String,
    election: Election,
    pub(super) leadership: Leadership,
    /// The Lease as the watch showed it last.
    shown: watch::Receiver<Option<Lease>>,
    /// What it was taken or renewed to last.
    held: Option<Lease>,
}

impl Candidate {
    /// Stands for the Lease under a name that nobody else has.
    pub(super) fn new(client: &Client, place: &Place, own: String) -> Self {
        let api: Api<Lease> = Api::namespaced(client.clone(), &place.namespace);
        let (show, shown) = watch::channel(None);
        tokio::spawn(follow(api.clone(), place.name.clone(), show));
        Self {
            api,
            name: place.name.clone(),
            election: Election::new(own),
            leadership: Leadership::candidate(),
            shown,
            held: None,
        }
    }

    /// Waits until it leads.
    pub(super) async fn win(&mut self) {
        loop {
            let wait = match self.stand().await {
                Ok(None) => {
                    info!(lease = self.name, own = self.election.own(), "leads");
                    return;
                }
                Ok(Some(until)) => until,
                Err(failure) if failure.is_outdated() => continue,
                Err(failure) => {
                    let error = in_words(&failure);
                    warn!(lease = self.name, error, "standing for the Lease failed");
                    Instant::now() + RETRY
                }
            };
            tokio::select! {
                () = sleep_until(wait) => {}
                // The one who leads gives it back, or renews it.
                changed = self.shown.changed() => if changed.is_err() { sleep(RETRY).await },
            }
        }
    }

    /// Looks at the Lease, and takes it where that is due. Returns until when to wait otherwise.
    async fn stand(&mut self) -> Result<Option<Instant>, Failure> {
        let lease = answered(CALL, self.api.get_opt(&self.name)).await?;
        let step = self
            .election
            .look(lease.as_ref().map(record), Instant::now());
        match step {
            Step::Wait(until) => return Ok(Some(until)),
            Step::Create => self.write(None).await?,
            Step::Take(_) => self.write(lease).await?,
        }
        Ok(None)
    }

    /// Renews until it cannot any more. Returns why it leads no longer.
    pub(super) async fn keep(&mut self) -> String {
        let mut why = String::new();
        loop {
            sleep(RETRY).await;
            if !self.leadership.holds() {
                return format!("could not renew the Lease {} in time{why}", self.name);
            }
            match self.write(self.held.clone()).await {
                Ok(()) => why.clear(),
                Err(failure) => {
                    why = format!(": {}", in_words(&failure));
                    debug!(lease = self.name, why, "renewing failed");
                    if failure.is_outdated()
                        && let Some(other) = self.reread().await
                    {
                        self.leadership.set(None);
                        return format!("{other} has taken the Lease {}", self.name);
                    }
                }
            }
        }
    }

    /// Somebody else wrote the Lease: looks whether it is still ours, and returns whose it is otherwise.
    async fn reread(&mut self) -> Option<String> {
        let lease = answered(CALL, self.api.get_opt(&self.name)).await.ok()?;
        let holder = lease.as_ref().map(|lease| record(lease).holder);
        match holder {
            Some(holder) if holder != self.election.own() => Some(holder),
            _ => {
                self.held = lease;
                None
            }
        }
    }

    /// Writes the Lease as ours, at the version that was seen.
    async fn write(&mut self, seen: Option<Lease>) -> Result<(), Failure> {
        let sent = Instant::now();
        let own = self.election.own();
        let lease = written(&self.name, own, seen, Timestamp::now());
        let params = PostParams::default();
        let answer = if lease.metadata.resource_version.is_some() {
            answered(CALL, self.api.replace(&self.name, &params, &lease)).await?
        } else {
            answered(CALL, self.api.create(&params, &lease)).await?
        };
        self.leadership.set(Some(good_until(sent)));
        self.held = Some(answer);
        Ok(())
    }

    /// Gives the Lease back, so that the next one need not wait. Call it once nothing is written any more.
    pub(super) async fn release(&mut self) {
        self.leadership.set(None);
        let Some(mut lease) = self.held.take() else {
            return;
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        let given = answered(RELEASE, self.api.replace(&self.name, &params, &lease));
        if given.await.is_ok() {
            info!(lease = self.name, "gave the Lease back");
        } else {
            debug!(
                lease = self.name,
                "the Lease was not given back; it expires"
            );
        }
    }
}

/// Shows the Lease as it changes, for as long as somebody looks.
async fn follow(api: Api<Lease>, name: String, show: watch::Sender<Option<Lease>>) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let lease = match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => Some(lease),
            Ok(Event::Delete(_)) => None,
            Ok(Event::Init | Event::InitDone) | Err(_) => continue,
        };
        if show.send(lease).is_err() {
            return;
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let holder = spec.and_then(|spec| spec.holder_identity.clone());
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: holder.unwrap_or_default(),
        good_for: seconds.map_or(LEASE, Duration::from_secs),
    }
}

/// The Lease as `own` holds it.
fn written(name: &str, own: &str, seen: Option<Lease>, now: Timestamp) -> Lease {
    let mut lease = seen.unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let now = Some(MicroTime(now));
    let before = lease.spec.take().unwrap_or_default();
    let is_own = before.holder_identity.as_deref() == Some(own);
    let transitions = before.lease_transitions.unwrap_or(0);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(own.into()),
        lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
        acquire_time: if is_own {
            before.acquire_time
        } else {
            now.clone()
        },
        renew_time: now,
        lease_transitions: Some(transitions.saturating_add(i32::from(!is_own))),
        ..LeaseSpec::default()
    });
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_a_namespace_and_a_name() {
        let place: Place = "graceful-system/graceful-operator".parse().unwrap();
        assert_eq!(place.namespace, "graceful-system");
        assert_eq!(place.name, "graceful-operator");
        for wrong in ["", "a", "/a", "a/"] {
            assert!(Place::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_is_alone_always_leads_and_a_candidate_only_by_the_lease() {
        assert!(Leadership::always().holds());
        let candidate = Leadership::candidate();
        assert!(!candidate.holds());
        candidate.set(Some(Instant::now() + Duration::from_secs(60)));
        assert!(candidate.holds());
        candidate.set(None);
        assert!(!candidate.holds());
    }

    #[test]
    fn a_lease_that_changes_hands_counts_it_and_a_renewal_does_not() {
        let now = Timestamp::UNIX_EPOCH;
        let first = written("graceful-operator", "a", None, now);
        let renewed = written("graceful-operator", "a", Some(first.clone()), now);
        let taken = written("graceful-operator", "b", Some(renewed.clone()), now);
        let transitions = |lease: &Lease| lease.spec.as_ref().unwrap().lease_transitions;
        assert_eq!(transitions(&first), transitions(&renewed));
        assert_eq!(transitions(&taken), Some(2));
    }
}
