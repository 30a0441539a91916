//! The drain agent in the pod: a native sidecar, its volumes, and the mounts by which the hooks of
//! the other containers find its binary. Written for the `restricted` Pod Security level.

use serde_json::{Value, json};

use super::draft::{Draft, push};
use super::pod::{Object, Pod};
use super::{Injection, qos};
use crate::api::{
    AGENT, AGENT_PATH, AGENT_PORT, CONFIG, CONFIG_FILE, DRAIN, DRAIN_FILE, NO_TOKEN_VOLUME,
    POD_IP_ENV, POD_UID_ENV, PODINFO_PATH, PODINFO_VOLUME,
};

/// Where [`NO_TOKEN_VOLUME`] is mounted in the agent.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The user of the agent's image. Written into the pod only where the pod says root for all, which
/// the agent would inherit: some clusters (OpenShift) choose the user themselves and refuse another.
const USER: i64 = 65532;

/// Puts the agent into the pod, ahead of the user's init containers, so that it is up before they
/// begin. Says its port; none on hostNetwork, where it would be the node's.
pub(super) fn inject(draft: &mut Draft, pod: &Pod, injection: &Injection<'_>) -> Option<u16> {
    let port = if pod.spec.host_network {
        None
    } else {
        Some(free_port(pod))
    };
    draft
        .init_containers
        .insert(0, container(pod, injection, port));
    draft.volumes.extend(volumes());
    port
}

/// Mounts the agent's binary and memory, and the settings, into one of the user's containers.
pub(super) fn mount(container: &mut Object) {
    let mounts = [
        json!({"name": AGENT, "mountPath": AGENT_PATH, "readOnly": true}),
        json!({"name": PODINFO_VOLUME, "mountPath": PODINFO_PATH, "readOnly": true}),
    ];
    push(container, "volumeMounts", mounts);
}

/// The first port from [`AGENT_PORT`] that the template does not declare.
fn free_port(pod: &Pod) -> u16 {
    let ports = pod
        .all_containers()
        .flat_map(|container| &container.it.ports);
    let taken: Vec<u16> = ports
        .flat_map(|port| [Some(port.number), port.of_node])
        .flatten()
        .collect();
    // A template cannot declare all of them: it would be far above etcd's limit for an object.
    (AGENT_PORT..=u16::MAX)
        .find(|port| !taken.contains(port))
        .unwrap_or(AGENT_PORT)
}

fn container(pod: &Pod, injection: &Injection<'_>, port: Option<u16>) -> Object {
    let mut agent = Object::new();
    let mut set = |key: &str, value: Value| agent.insert(key.into(), value);
    set("name", AGENT.into());
    set("image", injection.agent_image.into());
    if let Some(policy) = injection.agent_pull_policy {
        set("imagePullPolicy", policy.into());
    }
    set("restartPolicy", "Always".into());
    match port {
        Some(port) => {
            set("args", json!(["serve", "--port", port.to_string()]));
            set(
                "ports",
                json!([{"name": AGENT, "containerPort": port, "protocol": "TCP"}]),
            );
        }
        None => drop(set("args", json!(["serve"]))),
    }
    set(
        "env",
        json!([
            field(POD_UID_ENV, "metadata.uid"),
            field(POD_IP_ENV, "status.podIP")
        ]),
    );
    set("readinessProbe", readiness(port));
    set("resources", qos::of_agent(pod));
    set("securityContext", security_context(pod));
    set("terminationMessagePolicy", "File".into());
    set(
        "volumeMounts",
        json!([
            {"name": AGENT, "mountPath": AGENT_PATH},
            {"name": PODINFO_VOLUME, "mountPath": PODINFO_PATH, "readOnly": true},
            {"name": NO_TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": true},
        ]),
    );
    agent
}

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

/// By this probe a pod leaves its Services. One refusal is enough and comes within a second; but an
/// agent that gets no CPU for a moment must not take a pod out of service, so an answer may take ten.
fn readiness(port: Option<u16>) -> Value {
    let mut probe = json!({"periodSeconds": 1, "timeoutSeconds": 10, "successThreshold": 1, "failureThreshold": 1});
    let (handler, call) = match port {
        Some(port) => ("httpGet", json!({"path": "/readyz", "port": port})),
        None => ("exec", json!({"command": [format!("/{AGENT}"), "ready"]})),
    };
    if let Some(probe) = probe.as_object_mut() {
        probe.insert(handler.into(), call);
    }
    probe
}

fn security_context(pod: &Pod) -> Value {
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let of_pod = pod
        .spec
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user);
    if let (Some(0), Some(context)) = (of_pod, context.as_object_mut()) {
        context.insert("runAsUser".into(), USER.into());
    }
    context
}

/// The agent's memory outlives its container, so it is a volume; on disk, because memory would count
/// against its limit.
fn volumes() -> [Object; 3] {
    let annotation = |file: &str, key: &str| {
        let path = format!("metadata.annotations['{key}']");
        json!({"path": file, "fieldRef": {"fieldPath": path}})
    };
    let files = json!({"items": [annotation(DRAIN_FILE, DRAIN), annotation(CONFIG_FILE, CONFIG)]});
    [
        volume(AGENT, "emptyDir", json!({})),
        volume(PODINFO_VOLUME, "downwardAPI", files),
        volume(NO_TOKEN_VOLUME, "emptyDir", json!({})),
    ]
}

fn volume(name: &str, kind: &str, source: Value) -> Object {
    Object::from_iter([("name".into(), name.into()), (kind.into(), source)])
}
