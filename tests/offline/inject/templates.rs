//! Random pod templates: every field that injection reads or writes, present or not, and fields that
//! nobody knows beside them.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// The injected grace period of probes.
pub(super) const SHUTDOWN: i64 = 30;
pub(super) const LINKERD: &str = "config.linkerd.io/skip-inbound-ports";
pub(super) const ISTIO: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
pub(super) const VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const ANNOTATIONS: &[&str] = &[
    "prometheus.io/scrape",
    "linkerd.io/inject",
    LINKERD,
    ISTIO,
    VOLUMES,
];

/// A short name. Drawn from few, because patterns take most of the time of a case.
fn word() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "name", "port", "spec", "drain"]).prop_map(String::from)
}

/// Any JSON.
pub(super) fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Decimals as people write them: serde_json reads those of 17 digits to the last bit but one.
        any::<i32>().prop_map(|thousandths| Value::from(f64::from(thousandths) / 1000.0)),
        select(vec![
            "",
            "1",
            "true",
            "null",
            "é\u{7f}\"\\\n",
            "$(X)",
            "--then-exec"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(word(), inner, 0..3)
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
    let unknown = prop::collection::vec(
        (select(vec!["xNewer", "aFirst", "zLast"]), anything()),
        0..2,
    );
    (fields, unknown)
        .prop_map(|(fields, unknown)| {
            fields
                .into_iter()
                .flatten()
                .chain(
                    unknown
                        .into_iter()
                        .map(|(key, value)| (key.to_string(), value)),
                )
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
    let command = prop::collection::vec(
        select(vec!["sh", "-c", "", "--then-sleep", "$(X) ; y"]),
        1..4,
    );
    prop_oneof![
        command.prop_map(|command| json!({"exec": {"command": command}})),
        (1..65535_u16, word())
            .prop_map(|(port, path)| json!({"httpGet": {"port": port, "path": path}})),
        (0..50_i64).prop_map(|seconds| json!({"sleep": {"seconds": seconds}})),
    ]
    .boxed()
}

/// A probe whose own grace period, if any, is not the one that would be injected.
pub(super) fn probe(has_grace: bool) -> BoxedStrategy<Value> {
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
    let mount = word().prop_map(|path| json!({"name": "data", "mountPath": format!("/{path}")}));
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
    (word(), fields)
        .prop_map(|(name, mut container)| {
            container["name"] = name.into();
            container
        })
        .boxed()
}

fn strings(keys: &'static [&'static str]) -> BoxedStrategy<Value> {
    let values = select(vec!["80", "enabled", "two words"]);
    let strings = prop::collection::btree_map(select(keys), values, 1..3);
    strings.prop_map(|strings| json!(strings)).boxed()
}

pub(super) fn template() -> impl Strategy<Value = Value> {
    let metadata = object(vec![
        ("labels", strings(&["app", "sidecar.istio.io/inject"])),
        ("annotations", strings(ANNOTATIONS)),
        ("creationTimestamp", Just(Value::Null).boxed()),
    ]);
    let volume =
        (word(), anything()).prop_map(|(name, source)| json!({"name": name, "xSource": source}));
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

/// Unique names, as the API server demands: what was injected is listed by container.
pub(super) fn with_unique_names(mut template: Value) -> Value {
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
