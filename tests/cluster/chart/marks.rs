//! The chart's ValidatingAdmissionPolicy on a real API server: who may write `graceful.dev/*` on pods and
//! ReplicaSets, and who notices nothing of it.

use serde_json::{Value, json};

use super::hooks::kubeconfig_of;
use super::rights::{ACCOUNT, NAMESPACE, applies, create, install, says};
use super::{kubectl, text};
use crate::world::trail::is_draining;
use crate::world::{Graceful, Operator, World};

/// The end of each refusal: what to do.
const ADVICE: &str =
    "needs the verb mark on gracefuldeployments.graceful.dev in namespace chart-marks";

pub(super) fn pod(name: &str, labels: &Value, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": labels, "annotations": annotations,
        },
        // No node has it: the pod stays as it is.
        "spec": {
            "nodeSelector": {"example.com/none": "here"},
            "containers": [{"name": "app", "image": "app"}],
        },
    })
}

fn replica_set(name: &str, annotations: &Value) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app"}]},
            },
        },
    })
}

fn is_refused(what: Result<(), String>, mark: &str) {
    let error = what.expect_err(mark);
    let said = format!("denied request: {mark} is written by graceful-operator alone");
    assert!(error.contains(&said), "{error}");
    assert!(error.trim_end().ends_with(ADVICE), "{error}");
}

/// T4: by no verb and no subresource.
#[test]
fn marks_are_not_written_by_people_who_edit() {
    install();
    let marked = json!({"graceful.dev/drain": "{}", "example.com/own": "1"});
    let labelled = json!({"graceful.dev/draining": "true", "app": "web"});
    applies(&["delete", "pod,replicaset", "victim", "--ignore-not-found"]);
    let objects = [
        pod("victim", &labelled, &marked),
        replica_set("victim", &json!({"graceful.dev/sized": "1+1"})),
    ];
    let made = kubectl(&["create"], &objects);
    assert!(made.status.success(), "{}", text(&made.stderr));

    for change in [
        &["annotate", "pod", "victim", "graceful.dev/config={}"][..],
        &[
            "annotate",
            "pod",
            "victim",
            "graceful.dev/drain=x",
            "--overwrite",
        ],
        &["annotate", "pod", "victim", "graceful.dev/drain-"],
        &["label", "pod", "victim", "graceful.dev/draining-"],
        &[
            "annotate",
            "replicaset",
            "victim",
            "graceful.dev/adopted=abc",
        ],
        &["annotate", "replicaset", "victim", "graceful.dev/sized-"],
    ] {
        let mark = change[3].trim_end_matches('-').split('=').next().unwrap();
        is_refused(says("edit", change), mark);
        says("mark", &[change, &["--dry-run=server"]].concat()).expect("mark may");
    }
    let hidden = r#"{"metadata": {"annotations": {"graceful.dev/drain": "y"}}}"#;
    for (kind, subresource) in [("pod", "status"), ("replicaset", "status")] {
        let patch = [
            "patch",
            kind,
            "victim",
            "--subresource",
            subresource,
            "--type=merge",
            "--patch",
            hidden,
        ];
        is_refused(says("edit", &patch), "graceful.dev/drain");
    }
    is_refused(
        create("edit", &pod("new", &labelled, &json!({}))),
        "graceful.dev/draining",
    );
    is_refused(
        create("edit", &pod("new", &json!({}), &marked)),
        "graceful.dev/drain",
    );
    let adopted = json!({"graceful.dev/adopted": "abc"});
    is_refused(
        create("edit", &replica_set("new", &adopted)),
        "graceful.dev/adopted",
    );
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": "victim", "namespace": NAMESPACE, "annotations": {"graceful.dev/config": "{}"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
    });
    is_refused(create("edit", &binding), "graceful.dev/config");
}

/// T4: what is not ours, what stays as it is, and what a pod is born with.
#[test]
fn people_who_edit_notice_nothing_else() {
    install();
    applies(&["delete", "pod", "bystander", "--ignore-not-found"]);
    let marks = json!({"graceful.dev/drain": "{}"});
    let made = kubectl(
        &["create"],
        &[pod(
            "bystander",
            &json!({"graceful.dev/draining": "true"}),
            &marks,
        )],
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    for change in [
        &["label", "pod", "bystander", "app=web"][..],
        &[
            "annotate",
            "pod",
            "bystander",
            "controller.kubernetes.io/pod-deletion-cost=7",
        ],
        &["annotate", "pod", "bystander", "notgraceful.dev/drain=7"],
        &[
            "patch",
            "pod",
            "bystander",
            "--subresource=status",
            "--type=merge",
            "--patch",
            r#"{"status": {"message": "here"}}"#,
        ],
        &["delete", "pod", "bystander", "--grace-period=0", "--force"],
    ] {
        says("edit", change).unwrap_or_else(|error| panic!("{change:?}: {error}"));
    }
    // A copy of a pod of ours, and what a controller makes of a ReplicaSet's template.
    let inborn = json!({"graceful.dev/config": "{}", "graceful.dev/injected": "{}"});
    create("edit", &pod("copy", &json!({"app": "web"}), &inborn)).expect("a copy");
}

/// T4: the operator with the chart's own rights, and the ReplicaSet controller with Kubernetes' own: a
/// rollout drains and completes.
#[test]
fn operator_and_controllers_are_not_held_up() {
    install();
    crate::world::run::<Graceful, _>("marks", async |mut world: World<Graceful>| {
        let kubeconfig = kubeconfig_of(NAMESPACE, ACCOUNT);
        world.operator = Some(Operator::start_through(&world.namespace, kubeconfig.path()));
        world.create_complete(2, json!({})).await;
        world.set_image("web:2").await;
        world.complete().await;
        let states = world.trail.states();
        let drained = states.iter().any(|(_, now)| {
            let mut pods = now.pods.values();
            pods.any(|pod| is_draining(pod))
        });
        assert!(drained, "no pod drained");
    });
}
