//! What holds for every template: nothing of the user's is lost, moved or changed; what is injected
//! is what Kubernetes knows; no input makes it panic.

use graceful::api::injected::Summary;
use graceful::api::v1alpha1::{Probes, Shutdown};
use graceful::inject::template_hash;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::cases::cases;

use super::templates::{
    ISTIO, LINKERD, SHUTDOWN, VOLUMES, anything, probe, template, with_unique_names,
};
use super::{Settings, one_container};

/// Takes out of an injected template what was put in, knowing nothing of the user's but their grace
/// period, which is replaced by a longer one.
fn removed(mut template: Value, summary: &Summary, grace: &Value) -> Value {
    let ours = |item: &Value| {
        item["name"]
            .as_str()
            .unwrap_or_default()
            .starts_with("graceful-")
    };
    let spec = &mut template["spec"];
    spec["terminationGracePeriodSeconds"] = grace.clone();
    drop_items(spec, "initContainers", ours);
    drop_items(spec, "volumes", ours);
    for key in ["initContainers", "containers"] {
        for container in spec
            .get_mut(key)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            clean(container, summary);
        }
    }
    drop_key(spec, "terminationGracePeriodSeconds", Value::is_null);
    let metadata = &mut template["metadata"];
    let annotations = &mut metadata["annotations"];
    for key in ["graceful.dev/config", "graceful.dev/injected"] {
        drop_key(annotations, key, |_| true);
    }
    let port = summary.port.unwrap_or_default().to_string();
    for (key, ours) in [
        (ISTIO, port.as_str()),
        (LINKERD, port.as_str()),
        (VOLUMES, "graceful-agent,graceful-no-token"),
    ] {
        drop_key(annotations, key, |list| list == ours);
        if let Some(Value::String(list)) = annotations.get_mut(key) {
            *list = list.trim_end_matches(&format!(",{ours}")).into();
        }
    }
    drop_key(metadata, "annotations", is_empty);
    let labels = &mut metadata["labels"];
    drop_key(labels, "graceful.dev/kept", |value| value == "true");
    drop_key(metadata, "labels", is_empty);
    template
}

fn clean(container: &mut Value, summary: &Summary) {
    drop_items(container, "volumeMounts", |mount| {
        mount["mountPath"]
            .as_str()
            .unwrap_or_default()
            .starts_with("/graceful.dev/")
    });
    let name = container["name"].as_str().unwrap().to_string();
    for kind in ["readiness", "liveness", "startup"] {
        let key = format!("{kind}Probe");
        let was_injected = summary.probes.contains(&format!("{name}/{kind}"));
        drop_key(container, &key, |_| was_injected);
        if let Some(probe) = container.get_mut(&key) {
            drop_key(probe, "terminationGracePeriodSeconds", |grace| {
                *grace == SHUTDOWN
            });
        }
    }
    let command: Vec<String> =
        serde_json::from_value(container["lifecycle"]["preStop"]["exec"]["command"].clone())
            .unwrap_or_default();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let own = match words.as_slice() {
        [_, "prestop", "--within", _] => Value::Null,
        [_, "prestop", "--within", _, "--then-exec", command @ ..] => {
            json!({"exec": {"command": command}})
        }
        [_, "prestop", "--within", _, "--then-http-get", get] => {
            json!({"httpGet": serde_json::from_str::<Value>(get).unwrap()})
        }
        [_, "prestop", "--within", _, "--then-sleep", seconds] => {
            json!({"sleep": {"seconds": seconds.parse::<i64>().unwrap()}})
        }
        _ => container["lifecycle"]["preStop"].clone(),
    };
    container["lifecycle"]["preStop"] = own;
    drop_key(&mut container["lifecycle"], "preStop", Value::is_null);
    drop_key(container, "lifecycle", is_empty);
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn drop_key(object: &mut Value, key: &str, condition: impl Fn(&Value) -> bool) {
    let object = object.as_object_mut().unwrap();
    if object.get(key).is_some_and(condition) {
        object.remove(key);
    }
}

fn drop_items(object: &mut Value, key: &str, condition: impl Fn(&Value) -> bool) {
    if let Some(items) = object.get_mut(key).and_then(Value::as_array_mut) {
        items.retain(|item| !condition(item));
    }
    drop_key(object, key, |items| {
        items.as_array().is_some_and(Vec::is_empty)
    });
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn everything_of_the_users_stays(template in template().prop_map(with_unique_names), readiness in prop::option::of(probe(false))) {
        let readiness = readiness.filter(|probe| probe.get("tcpSocket").is_some());
        let settings = Settings {
            shutdown: Shutdown { timeout_seconds: i32::try_from(SHUTDOWN).unwrap() },
            probes: Probes { readiness, ..Probes::default() },
            ..Settings::default()
        };
        let injected = settings.inject(&template).unwrap();
        let summary = Summary::parse(&injected.summary).unwrap();
        let grace = &template["spec"]["terminationGracePeriodSeconds"];
        let new = injected.template["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap();
        prop_assert!(new >= grace.as_i64().unwrap_or(95));
        let removed = removed(injected.template, &summary, grace);
        prop_assert_eq!(removed.to_string(), template.to_string());
    }

    /// R34.
    #[test]
    fn nonsense_is_refused_with_its_place(mut template in template(), nonsense in anything(), place in 0..9_usize) {
        let place = [
            "", "/metadata", "/metadata/annotations", "/spec", "/spec/containers", "/spec/containers/0",
            "/spec/containers/0/lifecycle", "/spec/containers/0/lifecycle/preStop", "/spec/initContainers/0/livenessProbe",
        ][place];
        if let Some(part) = template.pointer_mut(place) {
            *part = nonsense;
        }
        if let Err(refusal) = Settings::default().inject(&template) {
            prop_assert!(refusal.to_string().starts_with("spec.template"), "{}", refusal);
        }
    }

    /// R34, T11.
    #[test]
    fn grace_period_never_overflows(drain: i32, shutdown: i32, own: Option<i64>, sleep: Option<i64>) {
        let mut settings = Settings::default();
        settings.drain.deletion_timeout_seconds = drain;
        settings.shutdown.timeout_seconds = shutdown;
        let hook = sleep.map_or(json!({"exec": {"command": ["x"]}}), |seconds| json!({"sleep": {"seconds": seconds}}));
        let mut template = one_container(json!({"lifecycle": {"preStop": hook}}));
        template["spec"]["terminationGracePeriodSeconds"] = json!(own);
        if let Ok(injected) = settings.inject(&template) {
            let grace = injected.template["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap();
            prop_assert!(grace >= own.unwrap_or(0));
            prop_assert!(grace >= i64::from(drain) + i64::from(shutdown) + 5);
            prop_assert!(grace >= sleep.unwrap_or(0) || drain < 0 || shutdown < 0);
        }
    }
}

// Fewer cases: SHA-256 without optimization takes most of their time.
proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn same_input_gives_the_same_bytes(template in template()) {
        let [one, other] = [(); 2].map(|()| Settings::default().inject(&template).unwrap());
        prop_assert_eq!(one.template.to_string(), other.template.to_string());
        prop_assert_eq!(one.summary, other.summary);
        // A template that went through an API server and back.
        let back: Value = serde_json::from_str(&template.to_string()).unwrap();
        prop_assert_eq!(template_hash(&back, None), template_hash(&template, None));
    }

    #[test]
    fn any_change_of_the_template_changes_its_hash(template in template(), key in "y[a-z]{1,5}", value in 1..9_i32) {
        let mut changed = template.clone();
        changed["spec"]["containers"][0][&key] = json!(value);
        prop_assert_ne!(template_hash(&changed, None), template_hash(&template, None));
        changed["spec"]["containers"][0][&key] = Value::Null;
        prop_assert_eq!(template_hash(&changed, None), template_hash(&template, None));
    }
}

#[test]
fn kubernetes_knows_every_injected_field() {
    for host_network in [false, true] {
        let mut template = one_container(
            json!({"ports": [{"containerPort": 80}], "livenessProbe": {"grpc": {"port": 80}}}),
        );
        template["spec"]["hostNetwork"] = host_network.into();
        template["spec"]["securityContext"] = json!({"runAsUser": 0});
        let injected = Settings::default().inject(&template).unwrap().template;
        let typed: PodTemplateSpec = serde_json::from_value(injected.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), injected);
    }
}
