//! One series of every family, for the page that lists them all. Nothing of it is ever told of a cluster.

use std::time::Duration;

use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use serde_json::json;

use super::Metrics;
use crate::operator::caches::Guarded;
use crate::operator::traces::Traces;
use crate::rollout::{Counted, Hold};

/// What `/metrics` of an operator says that has done each thing once.
#[must_use]
pub fn sample() -> String {
    let metrics = Metrics::new().with(&Traces::default());
    metrics.reconciled(Duration::from_millis(3));
    metrics.called("patch", "Pod");
    metrics.failed("ScaleReplicaSet");
    metrics.drain_ended("Drained".into());
    let (store, mut writer) = reflector::store();
    metrics.tell_of(store);
    let chat = object("chat");
    let reference = ObjectRef::from_obj(&chat);
    metrics.held(&reference, &[Hold::Paused]);
    metrics.ended(&reference, &[ended()]);
    writer.apply_watcher_event(&Event::Apply(chat));
    metrics.text()
}

/// A pod that was drained.
pub(super) fn ended() -> Counted {
    Counted {
        drain: Some((12_300, "connections")),
        ..Counted::default()
    }
}

/// An object in the midst of a rollout.
pub(super) fn object(name: &str) -> Guarded {
    let since = "2026-01-01T00:00:00.000000Z";
    let stalled = json!({
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let theirs = json!({
        "type": "example.com/theirs", "status": "True", "reason": "Any", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let read = serde_json::from_value(json!({
        "apiVersion": "graceful.dev/v1alpha1",
        "kind": "GracefulDeployment",
        "metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": {"replicas": 4, "selector": {}, "template": {}},
        "status": {
            "observedGeneration": 1,
            "readyReplicas": 4,
            "availableReplicas": 3,
            "drainingReplicas": 1,
            "drains": [{
                "pod": "a", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
                "since": since, "deadline": "2026-01-01T00:05:00.000000Z",
            }],
            "lastRollout": {"revision": "chat-1", "started": since, "progressed": since},
            "conditions": [stalled, theirs],
        },
    }));
    read.unwrap_or_else(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Guarded {
    let error = kube::core::error_boundary::InvalidObject {
        error: error.to_string(),
        metadata: kube::core::ObjectMeta::default(),
    };
    kube::core::DeserializeGuard(Err(error))
}
