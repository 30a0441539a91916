//! The CEL rules of the CRD: where each stands, what it asks, and the sentence that refuses. The API
//! server weighs each rule by the largest object that the schema lets through, hence the bounds.

use serde_json::{Value, json};

use super::{at, set};
use crate::api::v1alpha1::sentences as say;

/// One rule. It speaks of `field` where that is below its own place.
struct Rule {
    at: &'static str,
    cel: &'static str,
    says: &'static str,
    field: Option<&'static str>,
}

const fn rule(at: &'static str, cel: &'static str, says: &'static str) -> Rule {
    Rule {
        at,
        cel,
        says,
        field: None,
    }
}

impl Rule {
    const fn about(self, field: &'static str) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }
}

/// Sizes that keep the rules within the API server's budget, of which they use half. Kubernetes' own
/// limits where it has one (label values, names); else far above what anybody writes.
const BOUNDS: &[(&str, &str, u32)] = &[
    ("spec.selector.matchLabels", "maxProperties", 1024),
    ("spec.selector.matchLabels{}", "maxLength", 63),
    ("spec.selector.matchExpressions", "maxItems", 256),
    ("spec.selector.matchExpressions[].key", "maxLength", 317),
    ("spec.selector.matchExpressions[].values", "maxItems", 1024),
    ("spec.selector.matchExpressions[].values[]", "maxLength", 63),
    ("spec.drain.confirm", "maxItems", 16),
    ("spec.drain.confirm[].connections.ports", "maxItems", 1024),
    (
        "spec.drain.confirm[].connections.exceptPorts",
        "maxItems",
        1024,
    ),
    ("spec.drain.confirm[].httpGet.path", "maxLength", 2048),
    ("spec.drain.confirm[].metric.path", "maxLength", 2048),
    ("spec.drain.confirm[].metric.name", "maxLength", 256),
    ("spec.drain.confirm[].metric.labels", "maxProperties", 16),
    ("spec.drain.confirm[].metric.labels{}", "maxLength", 256),
    ("spec.drain.confirm[].condition.type", "maxLength", 316),
    ("spec.drain.notify.httpPost.path", "maxLength", 2048),
    ("spec.template.metadata.labels{}", "maxLength", 63),
    ("spec.template.spec.containers[].name", "maxLength", 63),
    ("spec.template.spec.initContainers[].name", "maxLength", 63),
    ("spec.template.spec.volumes[].name", "maxLength", 63),
];

const NUMBER_OR_PERCENTAGE: &str = "type(self) == int ? self >= 0 && self <= 2147483647 : \
    self.matches('^(100|[1-9]?[0-9])%$')";
const COUNT: &str = "self >= 0";
const SECONDS: &str = "self >= 0 && self <= 604800";
const PORT: &str = "self >= 1 && self <= 65535";
const PATH: &str = "self.startsWith('/')";
const ONE_KIND: &str = "[has(self.connections), has(self.httpGet), has(self.metric), \
    has(self.condition)].filter(kind, kind).size() == 1";
const NOT_AGENT: &str = "self != 'graceful-agent'";
const NOT_OURS: &str = "self.all(key, !key.startsWith('graceful.dev/'))";
const NOT_OUR_PATH: &str = "self != '/graceful.dev' && !self.startsWith('/graceful.dev/')";
const SLEEP_WITHIN_GRACE: &str = "!has(self.terminationGracePeriodSeconds) || \
    self.containers.all(c, !has(c.lifecycle) || !has(c.lifecycle.preStop) || \
    !has(c.lifecycle.preStop.sleep) || \
    c.lifecycle.preStop.sleep.seconds < self.terminationGracePeriodSeconds)";
const SELECTOR_OPERATOR: &str = "self.operator in ['In', 'NotIn'] ? \
    has(self.values) && size(self.values) > 0 : \
    self.operator in ['Exists', 'DoesNotExist'] && (!has(self.values) || size(self.values) == 0)";
const LABELS_MATCH: &str = "!has(self.selector.matchLabels) || \
    has(self.template.metadata) && has(self.template.metadata.labels) && \
    self.selector.matchLabels.all(key, key in self.template.metadata.labels && \
    self.template.metadata.labels[key] == self.selector.matchLabels[key])";
const EXPRESSIONS_MATCH: &str = "!has(self.selector.matchExpressions) || \
    (has(self.template.metadata) && has(self.template.metadata.labels) ? \
    self.selector.matchExpressions.all(e, \
    e.operator in ['Exists', 'DoesNotExist'] ? \
    (e.operator == 'Exists') == (e.key in self.template.metadata.labels) : \
    (e.operator == 'In') == (e.key in self.template.metadata.labels && has(e.values) && \
    self.template.metadata.labels[e.key] in e.values)) : \
    self.selector.matchExpressions.all(e, e.operator in ['NotIn', 'DoesNotExist']))";

const RULES: &[Rule] = &[
    rule("spec.replicas", COUNT, say::COUNT),
    rule("spec.revisionHistoryLimit", COUNT, say::COUNT),
    rule("spec.selector", "self == oldSelf", say::SELECTOR_IMMUTABLE),
    rule(
        "spec.selector",
        "has(self.matchLabels) && size(self.matchLabels) > 0 || \
         has(self.matchExpressions) && size(self.matchExpressions) > 0",
        say::SELECTOR_EMPTY,
    ),
    rule(
        "spec.selector.matchExpressions[]",
        SELECTOR_OPERATOR,
        say::SELECTOR_OPERATOR,
    ),
    rule(
        "spec.selector.matchExpressions[].key",
        "!self.startsWith('graceful.dev/') && self != 'pod-template-hash'",
        say::SELECTOR_RESERVED,
    ),
    rule(
        "spec.selector.matchLabels",
        "!('pod-template-hash' in self) && self.all(key, !key.startsWith('graceful.dev/'))",
        say::SELECTOR_RESERVED,
    ),
    rule("spec", LABELS_MATCH, say::SELECTOR_MATCHES).about(".template.metadata.labels"),
    rule("spec", EXPRESSIONS_MATCH, say::SELECTOR_MATCHES).about(".template.metadata.labels"),
    rule("spec.minReadySeconds", SECONDS, say::SECONDS),
    rule(
        "spec.progressDeadlineSeconds",
        "self >= 0 && (self <= 604800 || self == 2147483647)",
        say::PROGRESS_SECONDS,
    ),
    rule(
        "spec",
        "self.progressDeadlineSeconds > self.minReadySeconds",
        say::PROGRESS_DEADLINE,
    )
    .about(".progressDeadlineSeconds"),
    rule(
        "spec.strategy",
        "self.type != 'Recreate' || !has(self.rollingUpdate)",
        say::RECREATE,
    )
    .about(".rollingUpdate"),
    rule(
        "spec.strategy.rollingUpdate",
        "!(self.maxSurge in [dyn(0), dyn('0%')] && self.maxUnavailable in [dyn(0), dyn('0%')])",
        say::NO_ROOM,
    ),
    rule(
        "spec.strategy.rollingUpdate.maxSurge",
        NUMBER_OR_PERCENTAGE,
        say::NUMBER_OR_PERCENTAGE,
    ),
    rule(
        "spec.strategy.rollingUpdate.maxUnavailable",
        NUMBER_OR_PERCENTAGE,
        say::NUMBER_OR_PERCENTAGE,
    ),
    rule(
        "spec.strategy.rollingUpdate.maxDraining",
        NUMBER_OR_PERCENTAGE,
        say::NUMBER_OR_PERCENTAGE,
    ),
    rule(
        "spec.strategy.rollingUpdate.maxDraining",
        "!(self in [dyn(0), dyn('0%')])",
        say::NO_DRAINS,
    ),
    rule("spec.drain.timeoutSeconds", SECONDS, say::SECONDS),
    rule("spec.drain.deletionTimeoutSeconds", SECONDS, say::SECONDS),
    rule("spec.drain.minSeconds", SECONDS, say::SECONDS),
    rule("spec.drain.quietSeconds", SECONDS, say::SECONDS),
    rule("spec.drain.arrivalsSeconds", SECONDS, say::SECONDS),
    rule(
        "spec.drain",
        "self.minSeconds <= self.timeoutSeconds",
        say::MIN_SECONDS,
    )
    .about(".minSeconds"),
    rule(
        "spec.drain",
        "self.quietSeconds <= self.timeoutSeconds",
        say::QUIET_SECONDS,
    )
    .about(".quietSeconds"),
    rule("spec.drain.notify.httpPost.port", PORT, say::PORT),
    rule("spec.drain.notify.httpPost.path", PATH, say::PATH),
    rule("spec.drain.confirm[]", ONE_KIND, say::ONE_KIND),
    rule("spec.drain.confirm[].timeoutSeconds", SECONDS, say::SECONDS),
    rule("spec.drain.confirm[].httpGet.port", PORT, say::PORT),
    rule("spec.drain.confirm[].httpGet.path", PATH, say::PATH),
    rule("spec.drain.confirm[].metric.port", PORT, say::PORT),
    rule("spec.drain.confirm[].metric.path", PATH, say::PATH),
    rule(
        "spec.drain.confirm[].metric.name",
        "self != '' && !self.contains('{') && !self.contains(' ')",
        say::METRIC_NAME,
    ),
    rule(
        "spec.drain.confirm[].condition.type",
        "self != '' && self != 'Ready' && self != 'ContainersReady'",
        say::CONDITION,
    ),
    rule("spec.drain.confirm[].connections.ports[]", PORT, say::PORT),
    rule(
        "spec.drain.confirm[].connections.exceptPorts[]",
        PORT,
        say::PORT,
    ),
    rule(
        "spec.drain.confirm[].connections.unresponsiveSeconds",
        SECONDS,
        say::SECONDS,
    ),
    rule(
        "spec",
        "!has(self.template.spec.hostNetwork) || !self.template.spec.hostNetwork || \
             !has(self.drain.confirm) || !self.drain.confirm.exists(c, has(c.connections))",
        say::HOST_NETWORK,
    )
    .about(".drain.confirm"),
    rule("spec.shutdown.timeoutSeconds", SECONDS, say::SECONDS),
    rule(
        "spec.template.spec.restartPolicy",
        "self == 'Always'",
        say::RESTART_POLICY,
    ),
    rule(
        "spec.template.spec",
        "!has(self.activeDeadlineSeconds)",
        say::ACTIVE_DEADLINE,
    )
    .about(".activeDeadlineSeconds"),
    rule(
        "spec.template.spec.ephemeralContainers",
        "size(self) == 0",
        say::EPHEMERAL_CONTAINERS,
    ),
    rule(
        "spec.template.spec.containers",
        "size(self) > 0",
        say::NO_CONTAINER,
    ),
    rule("spec.template.spec", SLEEP_WITHIN_GRACE, say::SLEEP)
        .about(".terminationGracePeriodSeconds"),
    rule(
        "spec.template.spec.containers[].name",
        NOT_AGENT,
        say::RESERVED_CONTAINER,
    ),
    rule(
        "spec.template.spec.initContainers[].name",
        NOT_AGENT,
        say::RESERVED_CONTAINER,
    ),
    rule(
        "spec.template.spec.volumes[].name",
        // Spelt out: the price of `in` is reckoned by the longest string, over the budget.
        "self != 'graceful-agent' && self != 'graceful-podinfo' && self != 'graceful-no-token'",
        say::RESERVED_VOLUME,
    ),
    rule(
        "spec.template.spec.containers[].volumeMounts[].mountPath",
        NOT_OUR_PATH,
        say::RESERVED_MOUNT,
    ),
    rule(
        "spec.template.spec.initContainers[].volumeMounts[].mountPath",
        NOT_OUR_PATH,
        say::RESERVED_MOUNT,
    ),
    rule(
        "spec.template.metadata.labels",
        NOT_OURS,
        say::RESERVED_METADATA,
    ),
    rule(
        "spec.template.metadata.annotations",
        NOT_OURS,
        say::RESERVED_METADATA,
    ),
];

/// Adds bounds and rules to the schema.
pub(super) fn add(schema: &mut Value) {
    for (path, key, limit) in BOUNDS {
        set(at(schema, path), key, *limit);
    }
    for rule in RULES {
        let mut written = json!({"rule": rule.cel, "message": rule.says});
        if let Some(field) = rule.field {
            set(&mut written, "fieldPath", field);
        }
        let place = at(schema, rule.at);
        let rules = place
            .as_object_mut()
            .map(|place| place.entry("x-kubernetes-validations").or_insert(json!([])));
        if let Some(Value::Array(rules)) = rules {
            rules.push(written);
        }
    }
}
