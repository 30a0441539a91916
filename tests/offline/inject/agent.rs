//! The agent's container, its volumes, and who is told of it.

use graceful::api::injected::Summary;
use serde_json::{Value, json};

use super::{Settings, app, injected, one_container, pod};

fn agent_of(template: &Value) -> Value {
    injected(template)["spec"]["initContainers"][0].clone()
}

#[test]
fn agent_is_the_first_init_container_and_a_sidecar() {
    let template = pod(json!({
        "containers": [app(json!({}))],
        "initContainers": [{"name": "migrate", "image": "m"}],
    }));
    let init = injected(&template)["spec"]["initContainers"].clone();
    assert_eq!(init[0]["name"], "graceful-agent");
    assert_eq!(init[0]["restartPolicy"], "Always");
    assert_eq!(init[0]["startupProbe"], Value::Null);
    assert_eq!(init[1], json!({"name": "migrate", "image": "m"}));
}

#[test]
fn agents_port_is_the_next_that_nobody_declares() {
    let template = pod(json!({
        "containers": [app(json!({"ports": [{"containerPort": 15990}]}))],
        "initContainers": [{"name": "proxy", "ports": [{"containerPort": 1, "hostPort": 15991}]}],
    }));
    let agent = agent_of(&template);
    assert_eq!(agent["args"], json!(["serve", "--port", "15992"]));
    assert_eq!(
        agent["readinessProbe"]["httpGet"],
        json!({"path": "/readyz", "port": 15992})
    );
    assert_eq!(agent["ports"][0]["containerPort"], 15992);
}

#[test]
fn agent_opens_no_port_of_the_node() {
    let template = pod(json!({"hostNetwork": true, "containers": [app(json!({}))]}));
    let injected = Settings::default().inject(&template).unwrap();
    let agent = &injected.template["spec"]["initContainers"][0];
    assert_eq!(agent["args"], json!(["serve"]));
    assert_eq!(
        agent["readinessProbe"]["exec"]["command"],
        json!(["/graceful-agent", "ready"])
    );
    assert_eq!(agent["ports"], Value::Null);
    assert_eq!(Summary::parse(&injected.summary).unwrap().port, None);
}

#[test]
fn guaranteed_pods_stay_guaranteed() {
    let limits = json!({"cpu": 1, "memory": "1Gi"});
    let same = json!({"cpu": "1000m", "memory": "1024Mi"});
    let guaranteed = |resources: Value, init: Value| {
        let init = json!([{"name": "init", "resources": init}]);
        let template = pod(
            json!({"containers": [app(json!({"resources": resources}))], "initContainers": init}),
        );
        let resources = agent_of(&template)["resources"].clone();
        assert!(resources["requests"]["cpu"].is_string());
        resources["requests"] == resources["limits"]
    };
    let whole = json!({"limits": limits});
    assert!(guaranteed(
        whole.clone(),
        json!({"limits": limits, "requests": same})
    ));
    assert!(!guaranteed(whole.clone(), json!({})));
    assert!(!guaranteed(
        whole.clone(),
        json!({"limits": limits, "requests": {"cpu": "999m"}})
    ));
    assert!(!guaranteed(json!({"limits": {"cpu": 1}}), whole));
}

#[test]
fn budget_of_the_whole_pod_is_not_exceeded() {
    let agent_in = |budget: Value| {
        let template = pod(json!({"resources": budget, "containers": [app(json!({}))]}));
        agent_of(&template)["resources"].clone()
    };
    assert_eq!(
        agent_in(json!({"limits": {"cpu": 1, "memory": "1Gi"}})),
        json!({})
    );
    assert_eq!(
        agent_in(json!({"requests": {"memory": "1Gi"}})),
        json!({"requests": {"cpu": "5m"}})
    );
    assert_eq!(agent_in(json!({})), agent_in(Value::Null));
}

/// T10.
#[test]
fn agent_is_not_root_where_the_pod_is() {
    let user_of = |context: Value| {
        let template = pod(json!({"securityContext": context, "containers": [app(json!({}))]}));
        let context = agent_of(&template)["securityContext"].clone();
        assert_eq!(context["runAsNonRoot"], true);
        context["runAsUser"].clone()
    };
    assert_eq!(user_of(json!({"runAsUser": 0})), 65532);
    assert_eq!(user_of(json!({"runAsUser": 1000})), Value::Null);
    assert_eq!(user_of(Value::Null), Value::Null);
}

/// T3.
#[test]
fn agent_has_no_token() {
    let spec = injected(&one_container(json!({})))["spec"].clone();
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    let mounts = spec["initContainers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    let mount = mounts
        .iter()
        .find(|mount| mount["mountPath"] == path)
        .unwrap();
    let volumes = spec["volumes"].as_array().unwrap();
    let volume = volumes
        .iter()
        .find(|volume| volume["name"] == mount["name"])
        .unwrap();
    assert_eq!(volume["emptyDir"], json!({}));
}

#[test]
fn mesh_is_told_of_the_agents_port() {
    let istio = "traffic.sidecar.istio.io/excludeInboundPorts";
    let linkerd = "config.linkerd.io/skip-inbound-ports";
    let annotations = |labels: Value, annotations: Value| {
        let metadata = json!({"labels": labels, "annotations": annotations});
        let template = json!({"metadata": metadata, "spec": {"containers": [{"name": "app"}]}});
        injected(&template)["metadata"]["annotations"].clone()
    };
    let of = |own: Value| annotations(json!({}), own);
    assert_eq!(
        annotations(json!({"sidecar.istio.io/inject": "true"}), json!({}))[istio],
        "15990"
    );
    assert_eq!(
        of(json!({"sidecar.istio.io/inject": "true", istio: "80, 81"}))[istio],
        "80, 81,15990"
    );
    assert_eq!(of(json!({istio: "15990"}))[istio], "15990");
    assert_eq!(
        of(json!({"linkerd.io/inject": "enabled"}))[linkerd],
        "15990"
    );
    for own in [
        json!({}),
        json!({"sidecar.istio.io/inject": "false"}),
        json!({"linkerd.io/inject": "disabled"}),
    ] {
        assert_eq!(of(own.clone())[istio], Value::Null, "{own}");
        assert_eq!(of(own.clone())[linkerd], Value::Null, "{own}");
    }
}

#[test]
fn autoscaler_may_still_remove_the_node() {
    let key = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
    let template = json!({"metadata": {"annotations": {key: "cache"}}, "spec": {"containers": [{"name": "app"}]}});
    assert_eq!(
        injected(&template)["metadata"]["annotations"][key],
        "cache,graceful-agent,graceful-no-token"
    );
}
