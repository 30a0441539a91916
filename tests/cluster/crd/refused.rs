//! What the API server refuses, and the sentence that a user reads.

use kube::core::Status;
use serde_json::{Value, json};

use super::{Namespace, specs};

fn refusal(result: kube::Result<Value>) -> Status {
    match result.unwrap_err() {
        kube::Error::Api(status) => *status,
        other => panic!("not refused by the API server: {other}"),
    }
}

fn is_refused_with(status: &Status, field: &str, says: &str) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| {
        cause.field == field
            && cause
                .message
                .rsplit_once(says)
                .is_some_and(|it| it.1.is_empty())
    })
}

/// B36, R34.
#[tokio::test]
async fn nonsense_is_refused_with_a_sentence() {
    let namespace = Namespace::new("nonsense").await;
    for broken in specs::all_broken() {
        let spec = specs::good_but(&broken.patch);
        let status = refusal(namespace.try_create(&spec).await);
        assert!(
            is_refused_with(&status, &broken.field, &format!(": {}", broken.says)),
            "want {}: {}\ngot {status:#?}",
            broken.field,
            broken.says
        );
    }
}

#[tokio::test]
async fn specs_that_break_no_rule_are_accepted() {
    let namespace = Namespace::new("fine").await;
    for patch in specs::fine() {
        let result = namespace.try_create(&specs::good_but(&patch)).await;
        result.unwrap_or_else(|error| panic!("{patch}: {error}"));
    }
}

/// B17.
#[tokio::test]
async fn selector_cannot_be_changed() {
    let namespace = Namespace::new("selector").await;
    namespace.create(&specs::good()).await.unwrap();
    let labels = json!({"app": "chat", "tier": "web"});
    let change = json!({"spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}},
    }});
    let status = refusal(namespace.patch(change).await);
    let says = ": selector cannot be changed: create a GracefulDeployment of another name with the \
                new selector, then delete this one";
    assert!(
        is_refused_with(&status, "spec.selector", says),
        "{status:#?}"
    );
}

#[tokio::test]
async fn typo_in_the_template_is_refused() {
    let namespace = Namespace::new("typo").await;
    let typo = json!({"template": {"spec": {"containers": [{"name": "chat", "imag": "chat:1"}]}}});
    let status = refusal(namespace.try_create(&specs::good_but(&typo)).await);
    let says = "unknown field \"spec.template.spec.containers[0].imag\"";
    assert!(status.message.contains(says), "{}", status.message);
}

#[tokio::test]
async fn duplicate_env_name_is_refused() {
    let namespace = Namespace::new("env").await;
    let twice = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    let pod = json!({"containers": [{"name": "chat", "env": twice}]});
    let spec = specs::good_but(&json!({"template": {"spec": pod}}));
    let status = refusal(namespace.try_create(&spec).await);
    let says = "env[1]: Duplicate value";
    assert!(status.message.contains(says), "{}", status.message);
}

/// T11.
#[tokio::test]
async fn number_of_more_than_32_bits_is_refused() {
    let namespace = Namespace::new("wide").await;
    for patch in [
        json!({"replicas": 3_000_000_000_u32}),
        json!({"strategy": {"rollingUpdate": {"maxSurge": 3_000_000_000_u32}}}),
        json!({"drain": {"notify": {"httpPost": {"port": 65_536, "path": "/"}}}}),
    ] {
        refusal(namespace.try_create(&specs::good_but(&patch)).await);
    }
}

#[tokio::test]
async fn quantity_that_is_none_is_refused() {
    let namespace = Namespace::new("quantity").await;
    for quantity in [json!("one"), json!("1 Gi"), json!([1]), json!({"cpu": 1})] {
        let resources = json!({"requests": {"cpu": quantity}});
        let pod = json!({"containers": [{"name": "chat", "resources": resources}]});
        let spec = specs::good_but(&json!({"template": {"spec": pod}}));
        refusal(namespace.try_create(&spec).await);
    }
}
