//! What the user's own containers get: hooks, probes, and the pod's time to end.

use graceful::api::injected::Summary;
use graceful::api::v1alpha1::{ProbeInjection, Probes};
use serde_json::{Value, json};

use super::{Settings, app, injected, one_container, pod};

fn hook_of(container: Value) -> Value {
    injected(&one_container(container))["spec"]["containers"][0]["lifecycle"].clone()
}

fn grace_of(spec: Value) -> i64 {
    injected(&pod(spec))["spec"]["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap()
}

#[test]
fn every_ordinary_container_gets_the_hook_and_no_other() {
    let template = pod(json!({
        "containers": [app(json!({})), {"name": "second"}],
        "initContainers": [{"name": "proxy", "restartPolicy": "Always"}],
    }));
    let spec = injected(&template)["spec"].clone();
    let hook = json!({"exec": {"command": ["/graceful.dev/agent/graceful-agent", "prestop", "--within", "60"]}});
    assert_eq!(spec["containers"][0]["lifecycle"]["preStop"], hook);
    assert_eq!(spec["containers"][1]["lifecycle"]["preStop"], hook);
    assert_eq!(
        spec["initContainers"][1],
        json!({"name": "proxy", "restartPolicy": "Always"})
    );
}

#[test]
fn users_own_hook_runs_after_the_drain() {
    let ours = "/graceful.dev/agent/graceful-agent";
    for (own, then) in [
        (
            json!({"exec": {"command": ["sh", "-c", "sleep 1; --then-sleep"]}}),
            vec!["--then-exec", "sh", "-c", "sleep 1; --then-sleep"],
        ),
        (
            json!({"httpGet": {"port": 8080, "path": "/stop"}}),
            vec!["--then-http-get", r#"{"path":"/stop","port":8080}"#],
        ),
        (
            json!({"httpGet": {"port": "http", "scheme": "HTTPS"}}),
            vec!["--then-http-get", r#"{"port":8443,"scheme":"HTTPS"}"#],
        ),
        (
            json!({"sleep": {"seconds": 7}, "exec": null}),
            vec!["--then-sleep", "7"],
        ),
    ] {
        let post_start = json!({"exec": {"command": ["true"]}});
        let lifecycle = hook_of(json!({
            "ports": [{"name": "http", "containerPort": 8443}],
            "lifecycle": {"postStart": post_start, "preStop": own},
        }));
        let command: Vec<_> = [ours, "prestop", "--within", "60"]
            .into_iter()
            .chain(then)
            .collect();
        assert_eq!(lifecycle["preStop"], json!({"exec": {"command": command}}));
        assert_eq!(lifecycle["postStart"], post_start);
    }
}

#[test]
fn grace_period_has_room_for_drain_hook_and_exit() {
    let with = |hook: Value| json!([{"name": "app", "lifecycle": {"preStop": hook}}]);
    let exec = || with(json!({"exec": {"command": ["x"]}}));
    let sleep = |seconds: i64| with(json!({"sleep": {"seconds": seconds}}));
    // 60 s of drain, 30 s of exit, 5 s of slack.
    assert_eq!(grace_of(json!({"containers": with(Value::Null)})), 95);
    assert_eq!(grace_of(json!({"containers": sleep(20)})), 115);
    // Kubernetes' 30 s are the exit's already; 100 s leave 70 to the hook.
    assert_eq!(grace_of(json!({"containers": exec()})), 95);
    assert_eq!(
        grace_of(json!({"containers": exec(), "terminationGracePeriodSeconds": 100})),
        165
    );
    assert_eq!(
        grace_of(json!({"containers": with(Value::Null), "terminationGracePeriodSeconds": 100})),
        100
    );
    assert_eq!(grace_of(json!({"containers": sleep(i64::MAX)})), i64::MAX);
}

#[test]
fn drain_leaves_the_hook_and_the_exit_their_time() {
    let within = |grace: Value, hook: Value| {
        let container = app(json!({"lifecycle": {"preStop": hook}}));
        let spec = json!({"terminationGracePeriodSeconds": grace, "containers": [container]});
        let spec = injected(&pod(spec))["spec"].clone();
        spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][3].clone()
    };
    assert_eq!(within(Value::Null, Value::Null), "60");
    // Of 200 s, 30 are the exit's, 5 slack and 20 the hook's.
    assert_eq!(within(json!(200), Value::Null), "165");
    assert_eq!(within(json!(200), json!({"sleep": {"seconds": 20}})), "145");
}

#[test]
fn liveness_and_startup_probes_get_a_grace_period_of_their_own() {
    let probe = json!({"tcpSocket": {"port": 1}});
    let own = json!({"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3});
    let limited = json!({"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 30});
    let container = json!({"livenessProbe": probe, "startupProbe": own, "readinessProbe": probe});
    let mut sidecar = container.clone();
    sidecar["name"] = json!("proxy");
    let template = pod(json!({"containers": [app(container)], "initContainers": [sidecar]}));
    let spec = injected(&template)["spec"].clone();
    for container in [&spec["containers"][0], &spec["initContainers"][1]] {
        assert_eq!(container["livenessProbe"], limited);
        assert_eq!(container["startupProbe"], own);
        assert_eq!(container["readinessProbe"], probe);
    }
}

#[test]
fn readiness_is_a_connect_to_the_first_tcp_port() {
    let ports = json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 8080}, {"containerPort": 9}]);
    let injected = Settings::default()
        .inject(&one_container(json!({"ports": ports})))
        .unwrap();
    let container = &injected.template["spec"]["containers"][0];
    assert_eq!(
        container["readinessProbe"],
        json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1})
    );
    assert_eq!(
        Summary::parse(&injected.summary).unwrap().probes,
        ["app/readiness"]
    );

    let without = Settings::default()
        .inject(&one_container(json!({})))
        .unwrap();
    assert_eq!(
        without.template["spec"]["containers"][0]["readinessProbe"],
        Value::Null
    );
    assert!(Summary::parse(&without.summary).unwrap().probes.is_empty());
}

#[test]
fn given_probes_go_where_there_are_none() {
    let http = json!({"httpGet": {"port": "http", "path": "/healthy"}});
    let exec = json!({"exec": {"command": ["x"]}});
    let settings = Settings {
        probes: Probes {
            readiness: Some(http.clone()),
            liveness: Some(exec.clone()),
            startup: Some(json!({})),
            ..Probes::default()
        },
        ..Settings::default()
    };
    let ports = json!([{"name": "http", "containerPort": 8080}]);
    let template = pod(json!({"containers": [
        app(json!({"ports": ports})),
        {"name": "own", "ports": ports, "readinessProbe": exec, "livenessProbe": exec},
        {"name": "without-the-port", "ports": [{"containerPort": 1}]},
    ]}));
    let injected = settings.inject(&template).unwrap();
    let containers = &injected.template["spec"]["containers"];
    assert_eq!(containers[0]["readinessProbe"], http);
    assert_eq!(
        containers[0]["livenessProbe"],
        json!({"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 30})
    );
    assert_eq!(containers[0]["startupProbe"], Value::Null);
    assert_eq!(containers[1]["readinessProbe"], exec);
    assert_eq!(containers[2]["readinessProbe"], Value::Null);
    let probes = Summary::parse(&injected.summary).unwrap().probes;
    assert_eq!(
        probes,
        ["app/readiness", "app/liveness", "without-the-port/liveness"]
    );
}

#[test]
fn probes_are_never_injected_where_the_user_says_so() {
    let settings = Settings {
        probes: Probes {
            inject: ProbeInjection::Never,
            readiness: Some(json!({"grpc": {"port": 1}})),
            ..Probes::default()
        },
        ..Settings::default()
    };
    let template = one_container(
        json!({"ports": [{"containerPort": 80}], "livenessProbe": {"grpc": {"port": 1}}}),
    );
    let container = settings.inject(&template).unwrap().template["spec"]["containers"][0].clone();
    assert_eq!(container["readinessProbe"], Value::Null);
    assert_eq!(
        container["livenessProbe"]["terminationGracePeriodSeconds"],
        30
    );
}
