//! Says what was seen and what is about to be done: the status first, and then the Events that go with
//! it. Decides only when the status is worth a write.

mod event;
mod refusal;
mod status;

use std::time::Duration;

use kube::api::Patch;
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{info, trace, warn};

use self::event::publish;
pub(super) use self::refusal::Refusal;
use self::status::Writing;
use super::act::{Actor, Calls, changed, patch_params};
use super::caches::Guarded;
use super::error::Error;
use super::memory::{Kind, Written};
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainRecord, GracefulDeploymentStatus};
use crate::rollout::{Event, Plan};

/// What reporting led to.
#[derive(Default)]
pub(super) struct Reported {
    /// What the cache is to show.
    pub(super) written: Option<Written>,
    /// When to look again, because a write was put off.
    pub(super) again: Option<Duration>,
}

/// Writes the status where it differs enough, and then publishes the Events; `refusal` is what came of
/// the last plan, `last` is when the status was last written.
///
/// # Errors
///
/// Where the status could not be written. Its Events are told with the next plan, which starts from
/// the same memory.
pub(super) async fn report(
    actor: &Actor<'_>,
    plan: &Plan,
    refusal: Option<&Refusal>,
    last: Option<Instant>,
) -> Result<Reported, Error> {
    let object = actor.objects.object;
    let Some(mut status) = plan.status.clone() else {
        return Ok(Reported::default());
    };
    let mut events = plan.events.clone();
    let read = object.status().cloned().unwrap_or_default();
    if plan.actions.iter().any(refusal::can_be_refused) {
        let shown = Refusal::shown(&read);
        let refusal = refusal.or(shown.as_ref());
        let (generation, now) = (object.metadata.generation, actor.calls.clock.wall());
        let event = refusal.and_then(|it| it.show(&mut status, &read, (generation, now)));
        events.extend(event);
    }
    let writing = status::decide(&read, &status, last.map(|at| at.elapsed()));
    match writing {
        // What is told goes with the memory that it was told.
        Writing::Later(again) if events.is_empty() => {
            return Ok(Reported {
                again: Some(again),
                ..Reported::default()
            });
        }
        Writing::Nothing => return Ok(Reported::default()),
        Writing::Later(_) | Writing::Now => {}
    }
    let patch = status::patch(object, &read, &status);
    trace!(%patch, "writing the status");
    let written = write(&actor.calls, object, patch).await?;
    for drain in ended(&read, &status) {
        let outcome = drain.outcome.map(|outcome| format!("{outcome:?}"));
        actor.calls.metrics.drain_ended(outcome.unwrap_or_default());
    }
    log(&events);
    publish(&actor.calls, &object.object_ref(&()), &events).await;
    Ok(Reported {
        written: Some(written),
        again: None,
    })
}

/// Shows on an object that cannot be read what is wrong with it.
///
/// # Errors
///
/// Where its status could not be written.
pub(super) async fn report_unreadable(
    calls: &Calls<'_>,
    object: &Guarded,
    error: &str,
) -> Result<(), Error> {
    let message = format!("{}: {error}", status::UNREADABLE);
    warn!(error, "object cannot be read and is left alone");
    let event = Event {
        warning: true,
        reason: Reason::InvalidSpec,
        message,
    };
    publish(calls, &object.object_ref(&()), &[event]).await;
    let patch = status::unreadable(error, object.meta(), calls.clock.wall());
    write(calls, object, patch).await.map(drop)
}

async fn write(
    calls: &Calls<'_>,
    object: &impl ResourceExt,
    patch: Value,
) -> Result<Written, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let api: Api<Guarded> = Api::namespaced(calls.client.clone(), &namespace);
    let (params, patch) = (patch_params(), Patch::Merge(patch));
    let call = api.patch_status(&name, &params, &patch);
    let called = calls.timed("patch", "GracefulDeployment/status", call);
    match called.await {
        Ok(object) => Ok(changed(Kind::Object, &object)),
        Err(source) => Err(Error::WriteStatus { name, source }),
    }
}

/// The drains that ended between one status and the next.
fn ended<'a>(
    read: &'a GracefulDeploymentStatus,
    next: &'a GracefulDeploymentStatus,
) -> impl Iterator<Item = &'a DrainRecord> {
    next.drains.iter().filter(|drain| {
        let before = read.drains.iter().find(|known| known.uid == drain.uid);
        drain.outcome.is_some() && before.is_none_or(|before| before.outcome.is_none())
    })
}

fn log(events: &[Event]) {
    for event in events {
        let (reason, message) = (event.reason.as_str(), &event.message);
        if event.warning {
            warn!(reason, what = message, "told the user of the object");
        } else {
            info!(reason, what = message, "told the user of the object");
        }
    }
}
