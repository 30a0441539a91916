//! Events, once per change: what the user of an object would want to know.

use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as ApiEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tracing::warn;

use crate::api::FIELD_MANAGER;
use crate::operator::act::Calls;
use crate::operator::error::{Error, in_words};
use crate::rollout::Event;

/// Kubernetes' limit of an Event's note, in bytes (events.k8s.io validation).
const NOTE: usize = 1024;

/// Kubernetes' limit of an object's name, in bytes.
const NAME: usize = 253;

/// Publishes Events on an object. One that cannot be published is a line in the log: it must not
/// hold a rollout.
pub(in crate::operator) async fn publish(
    calls: &Calls<'_>,
    regarding: &ObjectReference,
    events: &[Event],
) {
    let namespace = regarding.namespace.clone().unwrap_or_default();
    let api: Api<ApiEvent> = Api::namespaced(calls.client.clone(), &namespace);
    stream::iter(events.iter().enumerate())
        .for_each_concurrent(None, |(index, event)| {
            let api = api.clone();
            async move {
                let event = event_of(regarding, event, (calls.clock.wall(), index));
                let params = PostParams::default();
                let call = api.create(&params, &event);
                if let Err(source) = calls.timed("create", "Event", call).await {
                    let name = regarding.name.clone().unwrap_or_default();
                    let error = Error::PublishEvent { name, source };
                    calls.metrics.failed(error.variant());
                    warn!(error = in_words(&error), "an Event is lost");
                }
            }
        })
        .await;
}

/// Each gets a name of its own: kube's recorder makes one series of what differs in its note alone,
/// and shows the first note for all pods.
fn event_of(
    regarding: &ObjectReference,
    event: &Event,
    (now, index): (Timestamp, usize),
) -> ApiEvent {
    let name = regarding.name.as_deref().unwrap_or_default();
    let end = format!(".{:x}.{index}", now.as_nanosecond());
    ApiEvent {
        metadata: ObjectMeta {
            name: Some(format!("{}{end}", name_before(name, &end))),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if event.warning { "Warning" } else { "Normal" }.into()),
        reason: Some(event.reason.as_str().into()),
        action: Some("Rollout".into()),
        note: Some(cut(&event.message, NOTE).into()),
        regarding: Some(regarding.clone()),
        reporting_controller: Some(FIELD_MANAGER.into()),
        reporting_instance: Some(FIELD_MANAGER.into()),
        ..ApiEvent::default()
    }
}

/// As much of an object's name as leaves room for what makes an Event's name its own. What is left ends
/// with a letter or a digit, as each part of a DNS name must.
fn name_before<'a>(name: &'a str, end: &str) -> &'a str {
    let room = NAME.saturating_sub(end.len());
    cut(name, room).trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
}

fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::reason::Reason;

    #[test]
    fn two_events_of_one_moment_are_two() {
        let event = Event {
            warning: false,
            reason: Reason::Drained,
            message: "chat-1 drained".into(),
        };
        let object = ObjectReference::default();
        let (one, other) = (
            event_of(&object, &event, (Timestamp::UNIX_EPOCH, 0)),
            event_of(&object, &event, (Timestamp::UNIX_EPOCH, 1)),
        );
        assert_ne!(one.metadata.name, other.metadata.name);
    }

    #[test]
    fn an_event_of_an_object_with_the_longest_name_has_a_name_that_fits() {
        let event = Event {
            warning: false,
            reason: Reason::Drained,
            message: String::new(),
        };
        for name in [
            "a".repeat(NAME),
            format!("{}.{}", "a".repeat(228), "b".repeat(24)),
        ] {
            let object = ObjectReference {
                name: Some(name),
                ..ObjectReference::default()
            };
            let now = Timestamp::from_second(1_800_000_000).unwrap();
            let made = event_of(&object, &event, (now, 10)).metadata.name.unwrap();
            assert!(made.len() <= NAME, "{made}");
            assert!(!made.contains(".."), "{made}");
        }
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let long = "ä".repeat(NOTE);
        assert_eq!(cut(&long, NOTE).len(), NOTE);
        assert_eq!(cut(&"x".repeat(NOTE + 1), NOTE).len(), NOTE);
    }
}
