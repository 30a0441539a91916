//! Turns what other processes print into events: kubectl's watch of the pods, the load client's
//! progress, and a person's Ctrl-C.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::Context;
use serde::Deserialize;

use super::arm::Arm;
use super::board::{Event, Pod, PodState};

/// The load client, as the source of events.
pub(super) const LOAD: &str = "the load client";

/// One document of `kubectl get --watch --output-watch-events`.
#[derive(Deserialize)]
struct WatchEvent {
    #[serde(rename = "type")]
    kind: String,
    object: PodObject,
}

/// What the demo wants to know of a pod.
#[derive(Deserialize)]
struct PodObject {
    metadata: Metadata,
    spec: PodSpec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    image: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// Follows the pods from kubectl's output. `new_image` tells new pods from old ones.
pub(super) fn pods(output: impl Read + Send + 'static, new_image: String, events: Sender<Event>) {
    thread::spawn(move || {
        let documents = serde_json::Deserializer::from_reader(BufReader::new(output));
        let mut reason = None;
        for document in documents.into_iter::<WatchEvent>() {
            match document {
                Ok(document) => {
                    if let Some(event) = pod_event(document, &new_image)
                        && events.send(event).is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    reason = Some(error.to_string());
                    break;
                }
            }
        }
        // Nobody listens any more when the demo is over.
        let _ = events.send(Event::Ended("the watch of the pods", reason));
    });
}

fn pod_event(event: WatchEvent, new_image: &str) -> Option<Event> {
    let metadata = event.object.metadata;
    let arm = Arm::of_app(metadata.labels.get("app")?)?;
    if event.kind == "DELETED" {
        return Some(Event::PodGone(arm, metadata.name));
    }
    let is_ready = event
        .object
        .status
        .conditions
        .iter()
        .any(|condition| condition.kind == "Ready" && condition.status == "True");
    let state = if metadata.deletion_timestamp.is_some() {
        PodState::Terminating
    } else if metadata.labels.contains_key("graceful.dev/draining") {
        PodState::Draining
    } else if is_ready {
        PodState::Ready
    } else {
        PodState::Starting
    };
    let is_new = event
        .object
        .spec
        .containers
        .iter()
        .any(|container| container.image == new_image);
    Some(Event::Pod(arm, metadata.name, Pod { is_new, state }))
}

/// Follows the load client's progress lines.
pub(super) fn load(output: impl Read + Send + 'static, events: Sender<Event>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            if let Ok(line) = serde_json::from_str(&line)
                && events.send(Event::Progress(line)).is_err()
            {
                return;
            }
        }
        let _ = events.send(Event::Ended(LOAD, None));
    });
}

/// Tells of Ctrl-C and SIGTERM, which no longer end the demo themselves: it has to tidy up first.
pub(super) fn interrupts(events: Sender<Event>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let (mut interrupt, mut terminate) = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        anyhow::Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    })?;
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if events.send(Event::Interrupted).is_err() {
                    return;
                }
            }
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, metadata: &str, ready: &str) -> Option<Event> {
        let text = format!(
            r#"{{"type": "{kind}", "object": {{
                "metadata": {{"name": "x", {metadata}}},
                "spec": {{"containers": [{{"image": "app:2"}}]}},
                "status": {{"conditions": [{{"type": "Ready", "status": "{ready}"}}]}}}}}}"#
        );
        pod_event(serde_json::from_str(&text).unwrap(), "app:2")
    }

    fn state(metadata: &str, ready: &str) -> PodState {
        match event("MODIFIED", metadata, ready) {
            Some(Event::Pod(Arm::Graceful, name, pod)) => {
                assert!(pod.is_new && name == "x");
                pod.state
            }
            _ => panic!("not a pod of ours"),
        }
    }

    #[test]
    fn state_is_what_traffic_would_say() {
        let app = r#""labels": {"app": "go-net-http-graceful"}"#;
        let draining =
            r#""labels": {"app": "go-net-http-graceful", "graceful.dev/draining": "true"}"#;
        assert_eq!(state(app, "False"), PodState::Starting);
        assert_eq!(state(app, "True"), PodState::Ready);
        assert_eq!(state(draining, "True"), PodState::Draining);
        let deleted = format!(r#"{draining}, "deletionTimestamp": "2026-01-01T00:00:00Z""#);
        assert_eq!(state(&deleted, "True"), PodState::Terminating);
        assert!(matches!(
            event("DELETED", app, "True"),
            Some(Event::PodGone(..))
        ));
        assert!(event("ADDED", r#""labels": {"app": "other"}"#, "True").is_none());
    }
}
