//! A pod that is gone, by the last that was seen of it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};
use kube::ResourceExt;

use super::pods;
use crate::api::AGENT;
use crate::api::farewell::{Exit, Farewell};
use crate::api::receipt::Receipt;
use crate::rollout::{ContainerEnd, End};

/// Every container of the pod has ended, for good: the kubelet says so last of all.
#[must_use]
pub fn has_ended(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// How the pod ended.
#[must_use]
pub fn end(pod: &Pod) -> End {
    let uid = pod.uid().unwrap_or_default();
    let status = pod.status.as_ref();
    let ordinary = status.and_then(|status| status.container_statuses.as_ref());
    let containers: Option<Vec<_>> = ordinary
        .into_iter()
        .flatten()
        .map(|status| {
            let ended = terminated(status.state.as_ref())?;
            Some(ContainerEnd {
                name: status.name.clone(),
                code: ended.exit_code,
                is_late: is_late(pod, ended),
            })
        })
        .collect();
    let agent = pods::statuses(pod).find(|status| status.name == AGENT);
    let messages = || {
        let ends = agent.into_iter().flat_map(pods::ends);
        ends.filter_map(|end| end.message.as_deref())
    };
    let last = agent.and_then(|status| terminated(status.state.as_ref()));
    let finished = pods::statuses(pod).filter_map(|status| {
        let ended = terminated(status.state.as_ref())?;
        Some(ended.finished_at.as_ref()?.0)
    });
    let farewell = last.and_then(|end| Farewell::parse(end.message.as_deref()?));
    End {
        pod: pod.name_any(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        // Where the application's end was not seen, the end of an init container says nothing.
        finished: containers.as_ref().and(finished.max()),
        has_begun: status.and_then(|status| status.phase.as_deref()) != Some("Pending"),
        containers: containers.unwrap_or_default(),
        exit: farewell
            .filter(|it| it.uid == uid)
            .map(|it| plausible(pod, it.exit)),
        receipts: messages().filter_map(Receipt::parse).collect(),
        uid,
    }
}

fn terminated(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
    state.and_then(|state| state.terminated.as_ref())
}

/// Without the length of a shutdown that is longer than the pod's deletion: a container was restarted
/// shortly before, and the agent's clock has run since then.
fn plausible(pod: &Pod, exit: Exit) -> Exit {
    /// The times of the API are whole seconds, of two clocks.
    const ROOM: i64 = 3;
    let metadata = &pod.metadata;
    let grace = metadata.deletion_grace_period_seconds.unwrap_or(0);
    let asked = metadata.deletion_timestamp.as_ref();
    let asked = asked.map(|deadline| deadline.0.as_second().saturating_sub(grace));
    let status = pod.status.as_ref();
    let ordinary = status.and_then(|status| status.container_statuses.as_ref());
    let ends = ordinary.into_iter().flatten().filter_map(|status| {
        let finished = terminated(status.state.as_ref())?.finished_at.as_ref()?;
        Some(finished.0.as_second())
    });
    let took = |last: i64| asked.map(|asked| last.saturating_sub(asked).saturating_add(ROOM));
    let most = ends.max().and_then(took);
    let is_possible = |shutdown: &u64| {
        most.is_none_or(|most| u64::try_from(most).is_ok_and(|most| shutdown / 1000 <= most))
    };
    Exit {
        shutdown: exit.shutdown.filter(is_possible),
        ..exit
    }
}

/// The container ended when the grace period was over: the deletion's time lies that far ahead.
fn is_late(pod: &Pod, ended: &ContainerStateTerminated) -> bool {
    let deadline = pod.metadata.deletion_timestamp.as_ref();
    match (deadline, &ended.finished_at) {
        (Some(deadline), Some(finished)) => finished.0 >= deadline.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(app: &Value, agent: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "chat-1", "uid": "u", "deletionTimestamp": "2026-01-01T00:01:35Z",
                "deletionGracePeriodSeconds": 95,
            },
            "status": {
                "phase": "Failed",
                "initContainerStatuses": [{
                    "name": AGENT, "ready": false, "restartCount": 1, "image": "", "imageID": "",
                    "state": {"terminated": agent},
                    "lastState": {"terminated": {"exitCode": 0, "message": json!({
                        "epoch": "e", "uid": "u", "outcome": "Drained", "milliseconds": 5000,
                        "connectionsAtStart": 2, "connectionsAtEnd": 0, "busy": 0,
                        "measuredBy": "SockDiag",
                    }).to_string()}},
                }],
                "containerStatuses": [{
                    "name": "app", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                    "state": app,
                }],
            },
        }))
        .unwrap()
    }

    fn said(uid: &str) -> Value {
        let message = json!({"uid": uid, "exit": {"shutdown": 1200, "silent": 1}});
        json!({"exitCode": 0, "message": message.to_string()})
    }

    #[test]
    fn what_kubelet_and_agent_said_last_is_read() {
        let app = json!({"terminated": {"exitCode": 3, "finishedAt": "2026-01-01T00:00:04Z"}});
        let end = end(&pod(&app, &said("u")));
        let [container] = &end.containers[..] else {
            panic!("{end:?}");
        };
        assert_eq!((container.code, container.is_killed()), (3, false));
        assert_eq!(end.exit.unwrap().shutdown, Some(1200));
        assert_eq!(end.exit.unwrap().silent, 1);
        assert_eq!(end.finished, Some("2026-01-01T00:00:04Z".parse().unwrap()));
        assert_eq!(end.receipts[0].milliseconds, 5000);
    }

    #[test]
    fn a_container_that_failed_at_the_end_of_its_grace_period_was_killed() {
        let app = |code: i32, at: &str| json!({"terminated": {"exitCode": code, "finishedAt": at}});
        let is_killed = |code: i32, at: &str| {
            let end = end(&pod(&app(code, at), &said("u")));
            end.containers[0].is_killed()
        };
        assert!(is_killed(137, "2026-01-01T00:00:04Z"));
        assert!(is_killed(255, "2026-01-01T00:01:35Z"));
        assert!(!is_killed(255, "2026-01-01T00:01:34Z"));
        assert!(!is_killed(0, "2026-01-01T00:01:36Z"));
    }

    #[test]
    fn a_pod_that_was_deleted_by_force_says_nothing_of_its_end() {
        let end = end(&pod(&json!({"running": {}}), &said("u")));
        assert!(end.containers.is_empty());
        assert_eq!(end.finished, None);
    }

    #[test]
    fn a_shutdown_is_no_longer_than_the_deletion() {
        let shutdown = |at: &str| {
            let app = json!({"terminated": {"exitCode": 0, "finishedAt": at}});
            let message = json!({"uid": "u", "exit": {"shutdown": 60_000}});
            let agent = json!({"exitCode": 0, "message": message.to_string()});
            end(&pod(&app, &agent)).exit.unwrap().shutdown
        };
        assert_eq!(shutdown("2026-01-01T00:00:58Z"), Some(60_000));
        assert_eq!(shutdown("2026-01-01T00:00:20Z"), None);
    }

    #[test]
    fn another_pods_last_words_do_not_count() {
        let app = json!({"terminated": {"exitCode": 0}});
        assert_eq!(end(&pod(&app, &said("somebody"))).exit, None);
    }
}
