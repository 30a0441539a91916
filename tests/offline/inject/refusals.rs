//! Each refusal as its user reads it.

use graceful::api::v1alpha1::Probes;
use serde_json::{Value, json};

use super::{Settings, app, injected, one_container, pod};

fn refusal(template: &Value) -> String {
    Settings::default()
        .inject(template)
        .unwrap_err()
        .to_string()
}

#[test]
fn refusals_say_where_and_what_to_write_instead() {
    let named = |list: &str| {
        let mut spec = json!({"containers": [app(json!({}))]});
        spec[list] = json!([{"name": "first"}, {"name": "graceful-agent"}]);
        refusal(&pod(spec))
    };
    for (got, expected) in [
        (
            refusal(&json!([])),
            "spec.template: cannot be read: expected an object",
        ),
        (
            refusal(&json!({})),
            "spec.template.spec.containers: a pod needs a container: list at least one",
        ),
        (
            refusal(&pod(json!({"containers": {}}))),
            "spec.template.spec.containers: cannot be read: expected a list",
        ),
        (
            refusal(&one_container(json!({"ports": [{"containerPort": 70000}]}))),
            "spec.template.spec.containers[0]: cannot be read: invalid value: integer `70000`, \
             expected u16",
        ),
        (
            named("containers"),
            "spec.template.spec.containers[1].name: the container name graceful-agent is \
             reserved: choose another name",
        ),
        (
            named("initContainers"),
            "spec.template.spec.initContainers[1].name: the container name graceful-agent is \
             reserved: choose another name",
        ),
        (
            named("volumes"),
            "spec.template.spec.volumes[1].name: the volume name graceful-agent is reserved: \
             choose another name",
        ),
        (
            refusal(&one_container(
                json!({"volumeMounts": [{"name": "x", "mountPath": "/graceful.dev/x"}]}),
            )),
            "spec.template.spec.containers[0].volumeMounts[0].mountPath: the path /graceful.dev \
             is reserved: mount the volume elsewhere",
        ),
    ] {
        assert_eq!(got, expected);
    }
}

#[test]
fn hooks_that_could_not_be_kept_are_refused() {
    let hook = |hook: Value| refusal(&one_container(json!({"lifecycle": {"preStop": hook}})));
    for (got, expected) in [
        (
            hook(json!({"tcpSocket": {"port": 1}})),
            "spec.template.spec.containers[0].lifecycle.preStop: must have exactly one of exec, \
             httpGet and sleep (Kubernetes never ran a tcpSocket here): write one of them, or \
             leave preStop out",
        ),
        (
            hook(json!({"exec": {"command": []}})),
            "spec.template.spec.containers[0].lifecycle.preStop.exec: an exec hook needs a \
             command: write one, or leave preStop out",
        ),
        (
            hook(json!({"exec": {"command": ["x"], "tty": true}})),
            "spec.template.spec.containers[0].lifecycle.preStop.exec: cannot be read: unknown \
             field `tty`, expected `command`",
        ),
        (
            hook(json!({"httpGet": {"port": "http"}})),
            "spec.template.spec.containers[0].lifecycle.preStop.httpGet.port: no port is named \
             http: write the port's number, or name a port http",
        ),
        (
            hook(json!({"sleep": {"seconds": -1}})),
            "spec.template.spec.containers[0].lifecycle.preStop.sleep.seconds: must not be \
             negative: write 0 or more",
        ),
    ] {
        assert_eq!(got, expected);
    }
}

#[test]
fn hook_with_no_or_two_kinds_is_refused() {
    for hook in [
        json!({}),
        json!({"exec": {"command": ["x"]}, "sleep": {"seconds": 1}}),
        json!({"newer": {}}),
        json!({"exec": []}),
    ] {
        let message = refusal(&one_container(json!({"lifecycle": {"preStop": hook}})));
        assert!(
            message.contains("must have exactly one of"),
            "{hook}: {message}"
        );
    }
}

#[test]
fn sleep_beyond_the_users_own_grace_period_is_refused() {
    let template = |grace: i64| {
        let hook = json!({"lifecycle": {"preStop": {"sleep": {"seconds": 20}}}});
        pod(json!({"terminationGracePeriodSeconds": grace, "containers": [app(hook)]}))
    };
    assert_eq!(
        refusal(&template(20)),
        "spec.template.spec.containers[0].lifecycle.preStop.sleep.seconds: a preStop sleep must be \
         below terminationGracePeriodSeconds: raise the grace period, or leave it out, and it is \
         computed"
    );
    injected(&template(21));
}

/// T4.
#[test]
fn labels_and_annotations_of_ours_are_refused() {
    for field in ["labels", "annotations"] {
        let mut template = one_container(json!({}));
        template["metadata"][field] =
            json!({"graceful.dev/drain": "", "notgraceful.dev/x": "", "graceful.device/x": ""});
        assert_eq!(
            refusal(&template),
            format!(
                "spec.template.metadata.{field}: labels and annotations beginning with \
                 graceful.dev/ are reserved: leave graceful.dev/drain out of the template"
            )
        );
    }
}

#[test]
fn injecting_twice_is_refused() {
    refusal(&injected(&one_container(json!({}))));
}

#[test]
fn windows_pods_are_refused() {
    for spec in [
        json!({"os": {"name": "windows"}}),
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
    ] {
        let mut spec = spec;
        spec["containers"] = json!([app(json!({}))]);
        assert!(refusal(&pod(spec)).ends_with("use a Deployment for Windows pods"));
    }
}

#[test]
fn probes_that_cannot_be_are_refused() {
    let refusal = |probes: Probes| {
        let settings = Settings {
            probes,
            ..Settings::default()
        };
        settings
            .inject(&one_container(json!({})))
            .unwrap_err()
            .to_string()
    };
    let readiness = |probe: Value| {
        refusal(Probes {
            readiness: Some(probe),
            ..Probes::default()
        })
    };
    for (got, expected) in [
        (
            readiness(json!({"grpc": {"port": 1}, "terminationGracePeriodSeconds": 1})),
            "spec.probes.readiness.terminationGracePeriodSeconds: a readiness probe ends no \
             container and has no grace period: leave it out",
        ),
        (
            readiness(json!({"httpGet": {"port": "http"}})),
            "spec.probes.readiness.httpGet.port: no port is named http: write the port's number, \
             or name a port http",
        ),
        (
            refusal(Probes {
                liveness: Some(json!({"periodSeconds": 1})),
                ..Probes::default()
            }),
            "spec.probes.liveness: a probe needs one of exec, grpc, httpGet and tcpSocket: write \
             one of them",
        ),
        (
            readiness(json!("tcp")),
            "spec.probes.readiness: cannot be read: expected an object",
        ),
    ] {
        assert_eq!(got, expected);
    }
}
