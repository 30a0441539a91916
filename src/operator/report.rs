//! Says what was seen and what is about to be done: in the status before it is done, and in the Events that go with
//! that after it, for nothing waits for them. Decides only when the status is worth a write.

mod event;
mod refusal;
mod status;

use std::time::Duration;

use kube::api::Patch;
use kube::core::DynamicObject;
use kube::core::object::HasStatus;
use kube::discovery::ApiResource;
use kube::{Api, Resource, ResourceExt};
use serde_json::Value;
use tracing::{info, trace, warn};

pub(super) use self::refusal::Refusal;
use self::status::Writing;
use super::act::{Actor, Calls, changed, patch_params};
use super::caches::Guarded;
use super::error::Error;
use super::memory::{Kind, Written};
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainRecord, GracefulDeployment, GracefulDeploymentStatus};
use crate::rollout::{Event, Plan};

/// A status as it stands in the API.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) status: GracefulDeploymentStatus,
    version: Option<String>,
}

/// What reporting led to.
pub(super) enum Reported {
    /// The status says it already.
    Nothing,
    /// The status is written after so long, unless something else is worth a write before.
    PutOff(Duration),
    /// The status was written; the cache is to show it.
    Written(Written, Box<Standing>),
}

impl Standing {
    /// As the cache shows it.
    pub(super) fn of(object: &GracefulDeployment) -> Self {
        Self {
            status: object.status().cloned().unwrap_or_default(),
            version: object.resource_version(),
        }
    }
}

/// Writes the status where it differs enough from the standing one, and then adds the Events that go with it to those
/// that are [to be told](tell); `refusal` is what came of the last plan, `waited` for how long the write has been put
/// off.
///
/// # Errors
///
/// Where the status could not be written. Its Events are told with the next plan, which starts from
/// the same memory.
pub(super) async fn report(
    actor: &Actor<'_>,
    plan: &Plan,
    standing: &Standing,
    (refusal, waited): (Option<&Refusal>, Duration),
    told: &mut Vec<Event>,
) -> Result<Reported, Error> {
    let object = actor.objects.object;
    let Some(mut status) = plan.status.clone() else {
        return Ok(Reported::Nothing);
    };
    let mut events = plan.events.clone();
    let read = &standing.status;
    if plan.actions.iter().any(refusal::can_be_refused) {
        let shown = Refusal::shown(read);
        let refusal = refusal.or(shown.as_ref());
        let (generation, now) = (object.metadata.generation, actor.calls.clock.wall());
        let event = refusal.and_then(|it| it.show(&mut status, read, (generation, now)));
        events.extend(event);
    }
    match status::decide(read, &status, waited) {
        Writing::Nothing => return Ok(Reported::Nothing),
        // What is told goes with the memory that it was told.
        Writing::Later(again) => return Ok(Reported::PutOff(again)),
        Writing::Now => {}
    }
    let guard = (object.uid(), standing.version.clone());
    let patch = status::patch(guard, read, &status);
    trace!(%patch, "writing the status");
    let answer = write(&actor.calls, object, patch).await?;
    for drain in ended(read, &status) {
        let outcome = drain.outcome.map(|outcome| format!("{outcome:?}"));
        actor.calls.metrics.drain_ended(outcome.unwrap_or_default());
    }
    told.append(&mut events);
    let written = changed(Kind::Object, &answer);
    let standing = match &answer.0 {
        Ok(object) => Standing::of(object.bare()),
        Err(_) => Standing {
            status,
            version: answer.resource_version(),
        },
    };
    Ok(Reported::Written(written, Box::new(standing)))
}

/// Publishes Events on an object.
pub(super) async fn tell(calls: &Calls<'_>, object: &GracefulDeployment, events: &[Event]) {
    log(events);
    event::publish(calls, &object.object_ref(&()), events).await;
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
    let error = &in_detail(calls, object, error).await;
    let message = format!("{}: {error}", status::UNREADABLE);
    warn!(error, "object cannot be read and is left alone");
    let event = Event {
        warning: true,
        reason: Reason::InvalidSpec,
        message,
    };
    event::publish(calls, &object.object_ref(&()), &[event]).await;
    let patch = status::unreadable(error, object.meta(), calls.clock.wall());
    write(calls, object, patch).await.map(drop)
}

/// Reads the object once more, field by field: what is read as a whole from a watch names the type that
/// was wrong and not the field.
async fn in_detail(calls: &Calls<'_>, object: &Guarded, error: &str) -> String {
    let namespace = object.namespace().unwrap_or_default();
    let kind = ApiResource::erase::<GracefulDeployment>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(calls.client.clone(), &namespace, &kind);
    let name = object.name_any();
    let get = calls
        .timed("get", "GracefulDeployment", api.get(&name))
        .await;
    let fresh = get.ok().and_then(|fresh| serde_json::to_value(fresh).ok());
    let read = fresh.map(serde_path_to_error::deserialize::<_, GracefulDeployment>);
    match read {
        Some(Err(error)) => error.to_string(),
        // Corrected since, or not to be had: the next look is better informed.
        Some(Ok(_)) | None => error.to_owned(),
    }
}

async fn write(
    calls: &Calls<'_>,
    object: &impl ResourceExt,
    patch: Value,
) -> Result<Guarded, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let api: Api<Guarded> = Api::namespaced(calls.client.clone(), &namespace);
    let (params, patch) = (patch_params(), Patch::Merge(patch));
    let call = api.patch_status(&name, &params, &patch);
    let called = calls.timed("patch", "GracefulDeployment/status", call);
    called
        .await
        .map_err(|source| Error::WriteStatus { name, source })
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    use hyper::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::super::clock::Clock;
    use super::super::host::System;
    use super::super::lease::Leadership;
    use super::super::metrics::Metrics;
    use super::*;

    /// As somebody stored it before the CRD refused it.
    fn unreadable() -> Value {
        json!({
            "apiVersion": "graceful.dev/v1alpha1", "kind": "GracefulDeployment",
            "metadata": {"name": "chat", "namespace": "web", "uid": "u", "resourceVersion": "7"},
            "spec": {"selector": {}, "template": {}, "drain": {"timeoutSeconds": "soon"}},
        })
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_read_is_stalled_and_its_message_names_the_field() {
        let written: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let log = written.clone();
        let server = tower::service_fn(move |request: Request<Body>| {
            let log = log.clone();
            async move {
                let (head, body) = request.into_parts();
                let path = head.uri.path().to_owned();
                if head.method != Method::GET {
                    let body = body.collect().await.expect("a body").to_bytes();
                    let body = serde_json::from_slice(&body).expect("JSON");
                    log.lock().unwrap().push((path.clone(), body));
                }
                let answer = if path.ends_with("/events") {
                    json!({"metadata": {"name": "e"}, "eventTime": null})
                } else {
                    unreadable()
                };
                let answer = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, tower::BoxError>(Response::new(answer))
            }
        });
        let client = kube::Client::new(server, "web");
        let (metrics, clock) = (Metrics::new(), Clock::start(Arc::new(System)));
        let calls = Calls {
            client: &client,
            leadership: &Leadership::always(),
            metrics: &metrics,
            clock: &clock,
        };
        let object: Guarded = serde_json::from_value(unreadable()).unwrap();
        let error = object.0.as_ref().unwrap_err().error.clone();
        report_unreadable(&calls, &object, &error).await.unwrap();
        let written = written.lock().unwrap();
        let (_, body) = written
            .iter()
            .find(|(path, _)| path.ends_with("/chat/status"))
            .expect("a status");
        let conditions = body["status"]["conditions"].as_array().unwrap();
        let reasons: Vec<_> = conditions
            .iter()
            .map(|one| {
                (
                    one["type"].as_str().unwrap(),
                    one["status"].as_str().unwrap(),
                )
            })
            .collect();
        let expected = [
            ("Ready", "False"),
            ("Reconciling", "False"),
            ("Stalled", "True"),
        ];
        assert_eq!(reasons, expected);
        for condition in conditions {
            let message = condition["message"].as_str().unwrap();
            assert!(message.contains("spec.drain.timeoutSeconds"), "{message}");
            assert_eq!(condition["reason"], "InvalidSpec");
        }
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        let told = written.iter().any(|(path, body)| {
            path.ends_with("/events")
                && body["reason"] == "InvalidSpec"
                && body["type"] == "Warning"
        });
        assert!(told, "{written:?}");
    }
}
