//! What the API server stores: defaults where they belong, and the template as it was written.

use graceful::api::v1alpha1::GracefulDeployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Namespace, chat, condition, specs};

#[tokio::test]
async fn first_status_is_not_yet_observed() {
    let namespace = Namespace::new("status").await;
    let created = namespace.create(&specs::good()).await.unwrap();
    assert_eq!(created["status"], json!({"observedGeneration": -1}));
}

#[tokio::test]
async fn defaults_are_stored() {
    let namespace = Namespace::new("defaults").await;
    let mut spec = specs::good_but(&json!({
        "replicas": null,
        "strategy": {"rollingUpdate": {}},
        "drain": {"confirm": [{"connections": {}}, {"metric": {"port": 9000, "name": "jobs"}}]},
    }));
    let stored = namespace.try_create(&spec).await.unwrap();
    let expected = json!({
        "replicas": 1,
        "minReadySeconds": 0,
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
        "paused": false,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0, "maxDraining": "100%"},
        },
        "podReplacementPolicy": "DrainStarted",
        "drain": {
            "withdraw": "Auto",
            "timeoutSeconds": 300,
            "deletionTimeoutSeconds": 60,
            "minSeconds": 5,
            "quietSeconds": 3,
            "arrivalsSeconds": 30,
            "onTimeout": "Terminate",
            "confirm": [
                {"connections": {"keepAlive": "Finish", "unresponsiveSeconds": 60}, "onError": "Wait"},
                {"metric": {"port": 9000, "path": "/metrics", "name": "jobs", "atMost": 0}, "onError": "Wait"},
            ],
        },
        "shutdown": {"timeoutSeconds": 30},
        "probes": {"inject": "IfMissing"},
    });
    for (field, value) in expected.as_object().unwrap() {
        spec[field] = value.clone();
    }
    assert_eq!(stored["spec"], spec);
}

#[tokio::test]
async fn recreate_gets_no_bounds_of_a_rolling_update() {
    let namespace = Namespace::new("recreate").await;
    namespace.create(&specs::good()).await.unwrap();
    let recreate = json!({"spec": {"strategy": {"type": "Recreate"}}});
    let stored = namespace.patch(recreate).await.unwrap();
    assert_eq!(stored["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[tokio::test]
async fn template_is_stored_as_it_is_written() {
    let namespace = Namespace::new("template").await;
    let spec = specs::good_but(&json!({"template": elaborate_template()}));
    let stored = namespace.create(&spec).await.unwrap();
    let written = &spec["template"];
    assert_eq!(&stored["spec"]["template"], written);
    // To the letter, as its hash is taken, and through our own types.
    let typed: GracefulDeployment = serde_json::from_value(stored).unwrap();
    assert_eq!(typed.spec.template.to_string(), written.to_string());
}

/// What k8s-openapi does not know, what naive schemas prune, and every way to write a quantity.
fn elaborate_template() -> Value {
    json!({
        "metadata": {
            "labels": {"app": "chat"},
            "annotations": {"note": "kept"},
            "finalizers": ["example.com/kept"],
        },
        "spec": {
            "hostnameOverride": "chat.example.com",
            "imagePullSecrets": [{"name": "registry"}],
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app": "chat"}},
                "matchLabelKeys": ["pod-template-hash"],
            }],
            "containers": [elaborate_container()],
            "volumes": [
                {"name": "settings", "configMap": {
                    "name": "chat", "items": [{"key": "a", "path": "b", "mode": 256}],
                }},
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
                    "metadata": {"labels": {"kept": "true"}},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1.5Gi"}},
                    },
                }}},
            ],
        },
    })
}

fn elaborate_container() -> Value {
    json!({
        "name": "chat",
        "image": "chat:1",
        "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {
            "requests": {"cpu": 0.001, "memory": "64Mi", "example.com/gpu": 1},
            "limits": {"cpu": "0.001", "memory": 100_000_000, "ephemeral-storage": "1e3"},
        },
        "lifecycle": {
            "preStop": {"httpGet": {"port": "http", "path": "/bye"}},
            "postStart": {"exec": {"command": ["true"]}},
            "stopSignal": "SIGQUIT",
        },
        "readinessProbe": {"httpGet": {"port": 80, "path": "/", "httpHeaders": [
            {"name": "x-probe", "value": "1"},
        ]}},
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
    })
}

#[tokio::test]
async fn only_list_keys_are_defaulted_in_the_template() {
    let namespace = Namespace::new("list-keys").await;
    let container = json!({"name": "chat", "ports": [{"containerPort": 80}]});
    let pod = json!({"containers": [container], "imagePullSecrets": [{}]});
    let spec = specs::good_but(&json!({"template": {"spec": pod}}));
    let stored = namespace.try_create(&spec).await.unwrap();
    let mut expected = spec["template"].clone();
    expected["spec"]["containers"][0]["ports"][0]["protocol"] = json!("TCP");
    expected["spec"]["imagePullSecrets"][0]["name"] = json!("");
    assert_eq!(stored["spec"]["template"], expected);
}

#[tokio::test]
async fn null_in_the_template_is_an_absent_field() {
    let namespace = Namespace::new("null").await;
    let mut spec = specs::good();
    spec["template"]["metadata"]["creationTimestamp"] = Value::Null;
    spec["template"]["spec"]["nodeSelector"] = Value::Null;
    let stored = namespace.try_create(&spec).await.unwrap();
    assert_eq!(stored["spec"]["template"], specs::good()["template"]);
}

#[tokio::test]
async fn spec_of_a_deployment_is_taken_as_it_is() {
    let namespace = Namespace::new("deployment").await;
    let create = [
        "create",
        "deployment",
        "chat",
        "--image=chat:1",
        "--port=80",
        "-o",
        "json",
    ];
    // As a file that somebody wrote this way, and as the API server completes it.
    for dry_run in ["--dry-run=client", "--dry-run=server"] {
        let text = namespace.kubectl(&[&create[..], &[dry_run]].concat());
        let deployment: Value = serde_json::from_str(&text).unwrap();
        let spec = &deployment["spec"];
        let stored = namespace.try_create(spec).await.unwrap();
        let mut expected = spec["template"].clone();
        let metadata = expected["metadata"].as_object_mut().unwrap();
        metadata.retain(|_, value| !value.is_null());
        let container = &mut expected["spec"]["containers"][0];
        container["ports"][0]["protocol"] = json!("TCP");
        assert_eq!(stored["spec"]["template"], expected);
    }
}

#[tokio::test]
async fn appliers_of_one_list_keep_their_own_items() {
    let namespace = Namespace::new("apply").await;
    let with_env = |name: &str| {
        let env = json!([{"name": name, "value": "1"}]);
        json!({"template": {"spec": {"containers": [{"name": "chat", "env": env}]}}})
    };
    let first = specs::good_but(&with_env("FIRST"));
    let second = with_env("SECOND");
    for (manager, spec) in [("first", &first), ("second", &second)] {
        let params = PatchParams::apply(manager);
        let patch = Patch::Apply(chat(spec));
        namespace
            .api()
            .patch("chat", &params, &patch)
            .await
            .unwrap();
    }
    let stored = namespace.api().get("chat").await.unwrap();
    let containers = &stored.data["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().unwrap().len(), 1);
    assert_eq!(containers[0]["env"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn whole_status_is_stored_with_fractions_of_a_second() {
    let namespace = Namespace::new("record").await;
    namespace.create(&specs::good()).await.unwrap();
    let status = json!({
        "observedGeneration": 1, "ready": "3/4", "replicas": 4, "updatedReplicas": 1,
        "readyReplicas": 3, "availableReplicas": 3, "unavailableReplicas": 1, "drainingReplicas": 1,
        "terminatingReplicas": 0, "outdatedReplicas": 0, "scaledReplicas": 3, "selector": "app=chat",
        "currentRevision": "chat-a", "updateRevision": "chat-b", "collisionCount": 0,
        "drains": [{
            "pod": "chat-a-x2", "uid": "u", "epoch": "e", "cause": "Rollout", "way": "Readiness",
            "since": "2026-01-02T03:04:05.678901Z",
            "withdrawn": "2026-01-02T03:04:06.100000Z", "deadline": "2026-01-02T03:09:06.000000Z",
            "outcome": "Silent", "retired": "2026-01-02T03:09:08.000000Z",
        }],
        "lastRollout": {
            "revision": "chat-b", "started": "2026-01-02T03:04:05.000001Z",
            "progressed": "2026-01-02T03:04:05.000001Z", "completed": "2026-01-02T03:09:09.000000Z",
            "drained": 1, "forced": 0, "connectionsCut": 0, "longestDrainSeconds": 60,
            "ended": 2, "unseen": 1, "exitCodes": {"0": 1, "137": 1}, "forcedKills": 1,
            "poolsLeftOpen": 1, "longestShutdownSeconds": 5,
        },
        "measured": {"drains": [60, -300], "shutdowns": [5]},
        "advice": {
            "drain": {"timeoutSeconds": 90, "fit": "TooLong", "message": "too long"},
            "shutdown": {"timeoutSeconds": 10, "fit": "Fits"},
        },
        "conditions": [condition("Ready", "RollingOut", "chat-a-x2 drains")],
    });
    let stored = namespace.patch_status(&status).await;
    assert_eq!(stored["status"], status);
    let typed = namespace.api().get("chat").await.unwrap();
    let typed: GracefulDeployment = typed.try_parse().unwrap();
    assert_eq!(serde_json::to_value(typed.status).unwrap(), status);
}
