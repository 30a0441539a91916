//! ReplicaSets that change hands, and what becomes of their pods: decided one plan at a time.

use graceful::api::v1alpha1::DrainWay;
use graceful::rollout::{Action, Agent, Hold, Invalid, ObjectRef, Observation, Pod, plan};

use super::fixtures::{PodSentence, at, drain, observation, pod, revision, target};

fn named(name: &str) -> ObjectRef {
    ObjectRef {
        name: name.into(),
        uid: name.into(),
        resource_version: "1".into(),
    }
}

/// A pod of a plain Deployment.
fn plain(name: &str) -> Pod {
    let mut pod = pod(name).ready(0);
    pod.agent = Agent::default();
    (pod.config, pod.injected) = (String::new(), String::new());
    pod
}

/// Four pods of an adopted ReplicaSet, which is of the wanted template or not.
fn adopted(name: &str) -> Observation {
    let mut seen = observation(target(), at(100));
    let mut set = revision(name, 7, 4);
    (set.injected, set.config) = (String::new(), String::new());
    seen.revisions = vec![set];
    seen.pods = (0..4).map(|i| plain(&format!("p-{i}")).of(name)).collect();
    seen
}

/// B06, B26: or a pod would be made that an adopted one is.
#[test]
fn nothing_is_made_before_a_matching_replica_set_is_adopted() {
    let mut seen = observation(target(), at(100));
    seen.claims.adopt = vec![named("chat-5d4f")];
    let plan = plan(&seen);
    let replica_set = named("chat-5d4f");
    assert_eq!(plan.actions, [Action::AdoptReplicaSet { replica_set }]);
    let replica_set = "chat-5d4f".into();
    assert_eq!(plan.holds, [Hold::Claiming { replica_set }]);
    assert_eq!(plan.status.expect("a status").observed_generation, 0);
}

/// Tools that wait for an object take the first of two conditions that contradict each other.
#[test]
fn object_is_not_stalled_while_replica_sets_change_hands() {
    let mut seen = observation(target(), at(100));
    seen.target = Err(Invalid(vec!["no".into()]));
    seen.previous = plan(&seen).status.expect("a status");
    seen.target = Ok(target());
    seen.claims.adopt = vec![named("chat-5d4f")];
    let status = plan(&seen).status.expect("a status");
    let is = |kind: &str| {
        let mut all = status.conditions.iter();
        all.find(|one| one.type_ == kind)
            .map(|one| one.status.as_str())
    };
    assert_eq!(
        (is("Reconciling"), is("Stalled")),
        (Some("True"), Some("False"))
    );
}

/// B06: pods without agent count as any other.
#[test]
fn adopted_replica_set_of_the_wanted_template_keeps_its_pods() {
    let mut seen = adopted("new");
    seen.revisions[0].is_recorded = false;
    let first = plan(&seen);
    let is_refresh =
        |action: &Action| matches!(action, Action::RefreshReplicaSet { number: 7, .. });
    assert!(
        matches!(first.actions.as_slice(), [only] if is_refresh(only)),
        "{:?}",
        first.actions
    );
    let status = first.status.expect("a status");
    assert_eq!((status.available_replicas, status.updated_replicas), (4, 4));
    assert_eq!(status.outdated_replicas, 4);
    assert_eq!(status.drains, []);
}

/// B06, B16.
#[test]
fn adopted_replica_set_of_another_template_is_replaced_within_the_bounds() {
    let mut seen = adopted("old");
    let first = plan(&seen);
    assert!(
        matches!(
            first.actions.as_slice(),
            [Action::CreateReplicaSet {
                number: 8,
                replicas: 1,
                ..
            }]
        ),
        "{:?}",
        first.actions
    );
    seen.revisions.push(revision("new", 8, 1));
    seen.pods.push(pod("new-0").of("new").ready(90));
    let drains = plan(&seen).status.expect("a status").drains;
    assert_eq!(drains.len(), 1);
    // There is no agent to ask.
    assert_eq!(drains[0].way, DrainWay::Termination);
}

/// R33: its pods are seen a moment after it is.
#[test]
fn adopted_replica_set_whose_pods_are_not_seen_yet_loses_none() {
    for name in ["old", "new"] {
        let mut seen = adopted(name);
        seen.pods.clear();
        seen.target.as_mut().expect("a target").replicas = 2;
        let plan = plan(&seen);
        let scales = |action: &Action| matches!(action, Action::ScaleReplicaSet { .. });
        assert!(!plan.actions.iter().any(scales), "{:?}", plan.actions);
    }
}

/// B28: it is not ours to drain any more.
#[test]
fn released_replica_sets_drains_are_forgotten() {
    let mut seen = observation(target(), at(100));
    seen.revisions = vec![revision("old", 1, 1)];
    seen.pods = vec![pod("a").of("old").ready(0).asked("epoch-of-a")];
    seen.previous.drains = vec![drain("a", DrainWay::Readiness, 99)];
    seen.claims.release = vec![named("old")];
    let plan = plan(&seen);
    let replica_set = named("old");
    assert_eq!(plan.actions, [Action::ReleaseReplicaSet { replica_set }]);
    assert_eq!(plan.status.expect("a status").drains, []);
    assert_eq!(plan.events.len(), 1, "{:?}", plan.events);
}
