//! What is said of a template that works, and not as its author may think; and of which nothing is said.

use graceful::api::v1alpha1::{ProbeInjection, Probes, Shutdown};
use serde_json::{Value, json};

use super::{Settings, app, pod};

/// An ordinary container: a version, and a port to probe.
fn ordinary(rest: Value) -> Value {
    let mut container =
        json!({"name": "app", "image": "chat:1", "ports": [{"containerPort": 8080}]});
    if let Value::Object(more) = rest {
        container.as_object_mut().unwrap().extend(more);
    }
    container
}

fn remarks(settings: &Settings, template: &Value) -> Vec<String> {
    settings.inject(template).unwrap().remarks
}

/// What is said of one container with the defaults.
fn of(rest: Value) -> Vec<String> {
    let template = pod(json!({"containers": [ordinary(rest)]}));
    remarks(&Settings::default(), &template)
}

#[test]
fn nothing_is_said_of_an_ordinary_container() {
    assert_eq!(of(json!({})), Vec::<String>::new());
    for image in ["chat@sha256:1", "localhost:5000/chat:1", "chat:latest-2"] {
        assert_eq!(of(json!({"image": image})), Vec::<String>::new(), "{image}");
    }
    let own = json!({"image": "chat", "imagePullPolicy": "Never"});
    assert_eq!(of(own), Vec::<String>::new());
    let hook = json!({"lifecycle": {"preStop": {"exec": {"command": ["/stop", "--sleepy"]}}}});
    assert_eq!(of(hook), Vec::<String>::new());
}

#[test]
fn image_without_a_version_is_named_with_its_place() {
    for image in ["chat", "chat:latest", "localhost:5000/chat"] {
        let said = of(json!({"image": image}));
        assert_eq!(said.len(), 1, "{image}: {said:?}");
        assert!(
            said[0].starts_with("spec.template.spec.containers[0].image: "),
            "{said:?}"
        );
    }
}

#[test]
fn sleep_before_sigterm_is_not_needed_any_more() {
    let sleeps = [
        json!({"sleep": {"seconds": 10}}),
        json!({"exec": {"command": ["sh", "-c", "nginx -s quit; sleep 10"]}}),
        json!({"exec": {"command": ["/bin/sleep", "10"]}}),
    ];
    for sleep in sleeps {
        let said = of(json!({"lifecycle": {"preStop": sleep}}));
        assert_eq!(said.len(), 1, "{sleep}: {said:?}");
        assert!(said[0].contains("leave it out"), "{said:?}");
    }
}

#[test]
fn pod_that_nothing_calls_ready_is_named() {
    let template = pod(json!({"containers": [app(json!({}))]}));
    let said = remarks(&Settings::default(), &template);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("write a readinessProbe"), "{said:?}");
    let never = Settings {
        probes: Probes {
            inject: ProbeInjection::Never,
            ..Probes::default()
        },
        ..Settings::default()
    };
    let template = pod(json!({"containers": [ordinary(json!({}))]}));
    assert_eq!(remarks(&never, &template), said);
}

#[test]
fn grace_period_that_has_no_effect_is_named() {
    let settings = Settings {
        shutdown: Shutdown {
            timeout_seconds: 40,
        },
        ..Settings::default()
    };
    let spec = |grace: i64| {
        pod(json!({"terminationGracePeriodSeconds": grace, "containers": [ordinary(json!({}))]}))
    };
    let said = remarks(&settings, &spec(39));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("39 s") && said[0].contains("(40 s)"),
        "{said:?}"
    );
    assert_eq!(remarks(&settings, &spec(40)), Vec::<String>::new());
}

#[test]
fn sixteen_remarks_are_enough() {
    let containers: Vec<Value> = (0..40)
        .map(|i| json!({"name": format!("c{i}"), "image": "chat"}))
        .collect();
    let template = pod(json!({"containers": containers}));
    assert_eq!(remarks(&Settings::default(), &template).len(), 16);
}
