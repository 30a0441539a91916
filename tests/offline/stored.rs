//! What is stored is not what a schema promises: older than a rule, written by another version, or by
//! somebody who means harm. Whatever it is, it is read or refused, decided on without a panic and within
//! bounds, and nothing of an app's own text comes out of it.

mod objects;

use graceful::api::v1alpha1::{GracefulDeployment, validate};
use graceful::inject::{Injection, inject, template_hash};
use graceful::observe::{Objects, Wanted, observe};
use graceful::rollout::{Action, Invalid, Observation, Plan, plan};
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cases::cases;
use objects::{APP_WORD, Stored, mutations, stored};

type Guarded = DeserializeGuard<GracefulDeployment>;

fn now() -> Timestamp {
    "2026-01-01T00:01:00Z".parse().unwrap()
}

/// What the operator makes of the template, or why it does not.
fn wanted(object: &GracefulDeployment) -> Result<Wanted, Invalid> {
    let spec = &object.spec;
    validate(spec).map_err(|invalid| Invalid(vec![invalid.to_string()]))?;
    let injection = Injection {
        drain: &spec.drain,
        shutdown: &spec.shutdown,
        probes: &spec.probes,
        agent_image: "agent:1",
        agent_pull_policy: None,
    };
    let injected =
        inject(&spec.template, &injection).map_err(|refusal| Invalid(vec![refusal.to_string()]))?;
    let status = object.status.as_ref();
    Ok(Wanted {
        hash: template_hash(&spec.template, status.and_then(|it| it.collision_count)),
        injected: injected.summary,
        remarks: injected.remarks,
    })
}

/// Reads, observes and plans; `None` where the object itself cannot be read.
fn decide(stored: &Stored) -> Option<(Observation, Plan)> {
    let guarded: Guarded = serde_json::from_value(stored.object.clone()).ok()?;
    let object = guarded.0.ok()?;
    let objects = Objects {
        object: &object,
        replica_sets: stored.read("replica_sets"),
        pods: stored.read("pods"),
        services: stored.read("services"),
        endpoint_slices: stored.read("endpoint_slices"),
        controller_revisions: Vec::new(),
    };
    let seen = observe(&objects, wanted(&object), now(), 7);
    let plan = plan(&seen);
    Some((seen, plan))
}

#[test]
fn sample_is_read_whole_and_acted_on() {
    let (seen, plan) = decide(&stored()).expect("a readable object");
    assert!(seen.target.is_ok(), "{:?}", seen.target);
    let counts = (seen.pods.len(), seen.revisions.len(), seen.services.len());
    assert_eq!(counts, (3, 1, 1));
    assert!(!plan.actions.is_empty(), "a new revision is due");
}

proptest! {
    #![proptest_config(cases(500))]

    /// R34, T11, T12.
    #[test]
    fn nothing_stored_makes_a_decision_panic(mutations in mutations()) {
        let mut stored = stored();
        for mutation in &mutations {
            mutation.apply(&mut stored);
        }
        let Some((seen, plan)) = decide(&stored) else {
            return Ok(());
        };
        // One observation leads to a few calls, however large its numbers are.
        prop_assert!(plan.actions.len() <= 3 * (seen.pods.len() + seen.revisions.len()) + 3);
        let Some(status) = plan.status else {
            return Ok(());
        };
        let text = serde_json::to_string(&status).unwrap();
        prop_assert!(text.len() < 64 * 1024, "a status of {} bytes", text.len());
        prop_assert_eq!(&serde_json::from_str::<graceful::api::v1alpha1::GracefulDeploymentStatus>(&text).unwrap(), &status);
    }

    /// R34: running pods are untouched.
    #[test]
    fn spec_that_cannot_be_acted_on_costs_no_pod(mutations in mutations()) {
        let mut stored = stored();
        for mutation in &mutations {
            mutation.apply(&mut stored);
        }
        let Some((seen, plan)) = decide(&stored) else {
            return Ok(());
        };
        let given_up = seen.previous.drains.iter().any(|drain| drain.retired.is_some());
        if seen.target.is_ok() || seen.deleting || given_up {
            return Ok(());
        }
        let costs = |action: &&Action| {
            matches!(action, Action::DeletePod { .. } | Action::RequestDrain { .. })
                || matches!(action, Action::ScaleReplicaSet { .. } | Action::DeleteReplicaSet { .. })
        };
        prop_assert_eq!(plan.actions.iter().find(costs), None);
    }
}

/// T12: its metadata is read, so that it can be told.
#[test]
fn object_that_cannot_be_read_is_still_an_object() {
    for (field, nonsense) in [
        ("spec", json!(7)),
        ("status", json!(7)),
        ("spec", Value::Null),
    ] {
        let mut object = stored().object;
        object[field] = nonsense;
        let guarded: Guarded = serde_json::from_value(object).expect("a guard reads anything");
        let invalid = guarded.0.expect_err("it cannot be read");
        assert_eq!(invalid.metadata.name.as_deref(), Some("chat"));
    }
}

/// R37: what an earlier operator did not write is absent, and what a later one added is passed over.
#[test]
fn status_of_another_version_is_read() {
    let mut early = stored();
    early.object["status"] = json!({"observedGeneration": 2});
    let (seen, _) = decide(&early).expect("a readable object");
    assert_eq!(seen.previous.observed_generation, 2);
    assert_eq!(seen.previous.drains, []);

    let mut later = stored();
    let plain = decide(&later).expect("a readable object").1;
    later.object["status"]["slices"] = json!({"seen": 3});
    later.object["status"]["drains"][0]["score"] = json!(0.5);
    assert_eq!(decide(&later).expect("a readable object").1, plain);
}

/// T13: its last words, its receipt's fields and its conditions are the app's to write.
#[test]
fn text_of_the_app_reaches_neither_status_nor_events() {
    let stored = stored();
    let told = serde_json::to_string(&stored.objects["pods"]).unwrap();
    assert!(told.contains(APP_WORD), "the sample has it");
    let (_, plan) = decide(&stored).expect("a readable object");
    let status = serde_json::to_string(&plan.status).unwrap();
    assert!(!status.contains(APP_WORD), "{status}");
    let events = format!("{:?}{:?}", plan.events, plan.holds);
    assert!(!events.contains(APP_WORD), "{events}");
}

/// B38: as a number, as text and in thousandths; a template that is read back makes no new revision.
#[test]
fn quantities_reach_the_pod_as_they_were_written() {
    for cpu in [json!(0.001), json!("0.001"), json!("1m")] {
        let mut stored = stored();
        let container = "/spec/template/spec/containers/0";
        let container = stored.object.pointer_mut(container).expect("a container");
        container["resources"] = json!({"requests": {"cpu": cpu}});
        let (seen, plan) = decide(&stored).expect("a readable object");
        assert!(seen.target.is_ok(), "{:?}", seen.target);
        let object: GracefulDeployment = serde_json::from_value(stored.object).unwrap();
        let again = serde_json::to_value(&object).unwrap();
        let read = "/spec/template/spec/containers/0/resources/requests/cpu";
        assert_eq!(again.pointer(read), Some(&cpu));
        let name = plan.actions.iter().find_map(|action| match action {
            Action::CreateReplicaSet { name, .. } => Some(name.clone()),
            _ => None,
        });
        let again: GracefulDeployment = serde_json::from_value(again).unwrap();
        let hash = wanted(&again).unwrap().hash;
        assert_eq!(name, Some(format!("chat-{hash}")));
    }
}

/// B62, T11: no overflow, and the next look is not at once.
#[test]
fn largest_numbers_overflow_nothing() {
    let largest = [
        "replicas",
        "minReadySeconds",
        "progressDeadlineSeconds",
        "revisionHistoryLimit",
    ];
    for field in largest {
        let mut stored = stored();
        stored.object["spec"][field] = json!(i32::MAX);
        let (seen, plan) = decide(&stored).expect("a readable object");
        assert!(
            plan.wake.is_none_or(|wake| wake > seen.now),
            "{field}: {:?}",
            plan.wake
        );
        assert!(plan.actions.len() < 10, "{field}: {:#?}", plan.actions);
    }
}
