//! What holds for every template: nothing of the user's is lost, moved or changed; what is injected
//! is what Kubernetes knows; no input makes it panic.

use graceful::api::injected::Summary;
use graceful::api::v1alpha1::{Probes, Shutdown};
use graceful::inject::template_hash;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::{Settings, one_container};

const SHUTDOWN: i64 = 30;

/// Any JSON.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Decimals as people write them: serde_json reads those of 17 digits to the last bit but one.
        any::<i32>().prop_map(|thousandths| Value::from(f64::from(thousandths) / 1000.0)),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..3)
                .prop_map(|members| Map::from_iter(members).into()),
        ]
    })
}

/// An object of fields that may each be missing, and of some that nobody knows.
fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(key, value)| prop::option::of(value.prop_map(move |value| (key.to_string(), value))))
        .collect();
    let unknown = prop::collection::vec(("x[A-Z][a-z]{1,5}", anything()), 0..3);
    (fields, unknown)
        .prop_map(|(fields, unknown)| {
            fields
                .into_iter()
                .flatten()
                .chain(unknown)
                .collect::<Map<_, _>>()
                .into()
        })
        .boxed()
}

/// A list of one to three: an empty one and an absent one cannot be told apart afterwards.
fn list(of: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::vec(of, 1..4)
        .prop_map(Value::from)
        .boxed()
}

fn hook() -> BoxedStrategy<Value> {
    let command = prop::collection::vec("(--then-sleep|[a-z$ ;]{0,6})", 1..4);
    prop_oneof![
        command.prop_map(|command| json!({"exec": {"command": command}})),
        (1..65535_u16, "/[a-z]{0,5}")
            .prop_map(|(port, path)| json!({"httpGet": {"port": port, "path": path}})),
        (0..50_i64).prop_map(|seconds| json!({"sleep": {"seconds": seconds}})),
    ]
    .boxed()
}

/// A probe whose own grace period, if any, is not the one that would be injected.
fn probe(has_grace: bool) -> BoxedStrategy<Value> {
    let grace = (SHUTDOWN + 1..200).prop_map(Value::from).boxed();
    let mut fields = vec![
        ("tcpSocket", Just(json!({"port": 80})).boxed()),
        ("periodSeconds", (1..9).prop_map(Value::from).boxed()),
    ];
    if has_grace {
        fields.push(("terminationGracePeriodSeconds", grace));
    }
    object(fields)
}

fn quantity() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(json!(1)),
        Just(json!("1")),
        Just(json!("500m")),
        Just(json!("1Gi")),
        Just(json!(0.5)),
        Just(json!("junk"))
    ]
    .boxed()
}

fn container() -> BoxedStrategy<Value> {
    let port = (
        15985..15995_u16,
        select(vec![Value::Null, json!("TCP"), json!("UDP")]),
    )
        .prop_map(|(port, protocol)| json!({"containerPort": port, "protocol": protocol}));
    let mount = "/[a-z]{1,6}".prop_map(|path| json!({"name": "data", "mountPath": path}));
    let amounts = || object(vec![("cpu", quantity()), ("memory", quantity())]);
    let fields = object(vec![
        ("ports", list(port.boxed())),
        ("volumeMounts", list(mount.boxed())),
        (
            "resources",
            object(vec![("limits", amounts()), ("requests", amounts())]),
        ),
        ("readinessProbe", probe(false)),
        ("livenessProbe", probe(true)),
        ("startupProbe", probe(true)),
        (
            "lifecycle",
            (hook(), prop::option::of(anything()))
                .prop_map(|(pre_stop, post_start)| match post_start {
                    Some(post_start) => json!({"preStop": pre_stop, "postStart": post_start}),
                    None => json!({"preStop": pre_stop}),
                })
                .boxed(),
        ),
    ]);
    ("[a-z]{1,8}", fields)
        .prop_map(|(name, mut container)| {
            container["name"] = name.into();
            container
        })
        .boxed()
}

fn template() -> impl Strategy<Value = Value> {
    let strings = || {
        prop::collection::btree_map("[a-z.]{1,8}/[a-z]{1,5}", "[a-z]{0,5}", 1..3)
            .prop_map(|map| json!(map))
            .boxed()
    };
    let metadata = object(vec![
        ("labels", strings()),
        ("annotations", strings()),
        ("creationTimestamp", Just(Value::Null).boxed()),
    ]);
    let volume = ("[a-z]{1,8}", anything())
        .prop_map(|(name, source)| json!({"name": name, "xSource": source}));
    let spec = object(vec![
        ("initContainers", list(container())),
        ("volumes", list(volume.boxed())),
        ("hostNetwork", any::<bool>().prop_map(Value::from).boxed()),
        (
            "terminationGracePeriodSeconds",
            (50..5000_i64).prop_map(Value::from).boxed(),
        ),
        (
            "securityContext",
            object(vec![(
                "runAsUser",
                (0..2_i64).prop_map(Value::from).boxed(),
            )]),
        ),
    ]);
    (metadata, spec, list(container())).prop_map(|(metadata, mut spec, containers)| {
        spec["containers"] = containers;
        json!({"metadata": metadata, "spec": spec})
    })
}

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
    for key in [
        "graceful.dev/config",
        "graceful.dev/injected",
        "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes",
    ] {
        drop_key(&mut metadata["annotations"], key, |_| true);
    }
    drop_key(metadata, "annotations", is_empty);
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
        [_, "prestop"] => Value::Null,
        [_, "prestop", "--then-exec", command @ ..] => json!({"exec": {"command": command}}),
        [_, "prestop", "--then-http-get", get] => {
            json!({"httpGet": serde_json::from_str::<Value>(get).unwrap()})
        }
        [_, "prestop", "--then-sleep", seconds] => {
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

/// Unique names, as the API server demands: what was injected is listed by container.
fn with_unique_names(mut template: Value) -> Value {
    for key in ["initContainers", "containers"] {
        for (i, container) in template["spec"]
            .get_mut(key)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .enumerate()
        {
            container["name"] = format!("{}-{key}-{i}", container["name"].as_str().unwrap()).into();
        }
    }
    template
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

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
