//! What kubectl shows of a GracefulDeployment, and how it scales one.

use serde_json::json;

use super::{Namespace, condition, install, kubectl, run_kubectl, specs, until};

/// B07, R32.
#[tokio::test]
async fn scale_subresource_sets_replicas_and_tells_the_selector() {
    let namespace = Namespace::new("scale").await;
    let paused = specs::good_but(&json!({"paused": true}));
    namespace.create(&paused).await.unwrap();
    let status =
        json!({"replicas": 5, "scaledReplicas": 2, "selector": "app=chat,!graceful.dev/draining"});
    namespace.patch_status(&status).await;
    namespace.kubectl(&["scale", "gd/chat", "--replicas=3"]);
    let scale = namespace.api().get_scale("chat").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    let status = scale.status.unwrap();
    assert_eq!(status.replicas, 2);
    assert_eq!(status.selector.unwrap(), "app=chat,!graceful.dev/draining");
}

#[tokio::test]
async fn columns_tell_how_far_a_rollout_is() {
    let namespace = Namespace::new("columns").await;
    let image =
        json!({"template": {"spec": {"containers": [{"name": "chat", "image": "chat:7"}]}}});
    namespace.create(&specs::good_but(&image)).await.unwrap();
    let status = json!({
        "ready": "3/4", "updatedReplicas": 2, "drainingReplicas": 1, "updateRevision": "chat-b",
        "conditions": [
            condition("Available", "MinimumReplicasAvailable", "not shown"),
            condition("Ready", "RollingOut", "2 of 4 pods"),
        ],
    });
    namespace.patch_status(&status).await;
    let table = |arguments: &[&str]| {
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = namespace.kubectl(arguments);
        text.lines().map(line).collect::<Vec<_>>()
    };
    let plain = table(&["get", "gd"]);
    assert_eq!(plain[0], "NAME READY UPDATED DRAINING STATUS AGE");
    assert!(
        plain[1].starts_with("chat 3/4 2 1 RollingOut "),
        "{}",
        plain[1]
    );
    let wide = table(&["get", "gd", "-o", "wide"]);
    assert!(
        wide[0].ends_with("AGE REVISION IMAGE MESSAGE"),
        "{}",
        wide[0]
    );
    assert!(
        wide[1].ends_with(" chat-b chat:7 2 of 4 pods"),
        "{}",
        wide[1]
    );
    let all = namespace.kubectl(&["get", "all"]);
    assert!(
        all.contains("gracefuldeployment.graceful.dev/chat"),
        "{all}"
    );
}

#[tokio::test]
async fn explain_tells_meaning_unit_and_default() {
    install();
    // The API server publishes a CRD's descriptions a moment after the CRD is established.
    let is_published = async || {
        run_kubectl(&["explain", "gracefuldeployments"])
            .status
            .success()
    };
    until(is_published).await;
    for (field, says) in [
        (
            "",
            "A Deployment whose old pods leave only when their work is known to be over",
        ),
        (".spec.replicas", "Number of desired pods. Defaults to 1."),
        (".spec.template", "kubectl explain pods.spec"),
        (
            ".spec.drain.timeoutSeconds",
            "Deadline of one planned drain, in seconds",
        ),
        (".spec.drain.withdraw", "ENUM: Auto Readiness Termination"),
        (
            ".spec.probes.readiness.httpGet.path",
            "Path to access on the HTTP server",
        ),
        (
            ".status.drains.deadline",
            "When the pod leaves, done or not.",
        ),
    ] {
        let text = kubectl(&["explain", &format!("gracefuldeployments{field}")]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(says), "{field}: {text}");
    }
}
