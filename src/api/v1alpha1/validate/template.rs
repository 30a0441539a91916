//! The rules about the pod template, which is read as JSON: what is not of its type is left to the API
//! server, which refuses the ReplicaSet.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::{Problems, is_reserved};
use crate::api::{
    AGENT, GROUP, NO_TOKEN_VOLUME, PODINFO_VOLUME,
    v1alpha1::{GracefulDeploymentSpec, sentences as say},
};

/// Says what is wrong with the template, by itself and with the rest of the spec.
pub(super) fn check(spec: &GracefulDeploymentSpec, problems: &mut Problems) {
    let template = Template(&spec.template);
    problems.refuse_if(
        !template.matches(&spec.selector),
        "spec.template.metadata.labels",
        say::SELECTOR_MATCHES,
    );
    for name in ["labels", "annotations"] {
        problems.refuse_if(
            template.metadata(name).keys().any(|key| is_reserved(key)),
            format!("spec.template.metadata.{name}"),
            say::RESERVED_METADATA,
        );
    }
    let drain_counts_connections = spec
        .drain
        .confirm
        .iter()
        .flatten()
        .any(|confirmation| confirmation.connections.is_some());
    problems.refuse_if(
        template.field("hostNetwork").and_then(Value::as_bool) == Some(true)
            && drain_counts_connections,
        "spec.drain.confirm",
        say::HOST_NETWORK,
    );
    pod(&template, problems);
    reserved_names(&template, problems);
}

fn pod(template: &Template<'_>, problems: &mut Problems) {
    problems.refuse_if(
        template
            .field("restartPolicy")
            .is_some_and(|policy| policy != "Always"),
        "spec.template.spec.restartPolicy",
        say::RESTART_POLICY,
    );
    problems.refuse_if(
        template.field("activeDeadlineSeconds").is_some(),
        "spec.template.spec.activeDeadlineSeconds",
        say::ACTIVE_DEADLINE,
    );
    problems.refuse_if(
        template.list("ephemeralContainers").next().is_some(),
        "spec.template.spec.ephemeralContainers",
        say::EPHEMERAL_CONTAINERS,
    );
    problems.refuse_if(
        template.list("containers").next().is_none(),
        "spec.template.spec.containers",
        say::NO_CONTAINER,
    );
    let grace = template
        .field("terminationGracePeriodSeconds")
        .and_then(Value::as_i64);
    let sleeps = template.list("containers").filter_map(|container| {
        container
            .pointer("/lifecycle/preStop/sleep/seconds")?
            .as_i64()
    });
    problems.refuse_if(
        grace.is_some_and(|grace| sleeps.max().is_some_and(|sleep| sleep >= grace)),
        "spec.template.spec.terminationGracePeriodSeconds",
        say::SLEEP,
    );
}

fn reserved_names(template: &Template<'_>, problems: &mut Problems) {
    for list in ["containers", "initContainers"] {
        for (at, container) in template.list(list).enumerate() {
            let field = |name: &str| format!("spec.template.spec.{list}[{at}].{name}");
            problems.refuse_if(
                name(container) == Some(AGENT),
                field("name"),
                say::RESERVED_CONTAINER,
            );
            let mounts = container.get("volumeMounts").and_then(Value::as_array);
            problems.refuse_if(
                mounts.into_iter().flatten().any(is_mounted_on_ours),
                field("volumeMounts"),
                say::RESERVED_MOUNT,
            );
        }
    }
    for (at, volume) in template.list("volumes").enumerate() {
        problems.refuse_if(
            [Some(AGENT), Some(PODINFO_VOLUME), Some(NO_TOKEN_VOLUME)].contains(&name(volume)),
            format!("spec.template.spec.volumes[{at}].name"),
            say::RESERVED_VOLUME,
        );
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn is_mounted_on_ours(mount: &Value) -> bool {
    let path = mount.get("mountPath").and_then(Value::as_str);
    path.and_then(|path| path.strip_prefix('/')?.strip_prefix(GROUP))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The user's template, read where rules need it.
struct Template<'a>(&'a Value);

impl<'a> Template<'a> {
    fn field(&self, name: &str) -> Option<&'a Value> {
        self.0.get("spec")?.get(name)
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.field(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }

    fn metadata(&self, name: &str) -> BTreeMap<&'a str, &'a str> {
        let map = self
            .0
            .get("metadata")
            .and_then(|it| it.get(name)?.as_object());
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .collect()
    }

    fn matches(&self, selector: &LabelSelector) -> bool {
        let labels = self.metadata("labels");
        let mut wanted = selector.match_labels.iter().flatten();
        wanted.all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()))
            && selector
                .match_expressions
                .iter()
                .flatten()
                .all(|expression| {
                    let label = labels.get(expression.key.as_str());
                    let is_in = label.is_some_and(|label| {
                        let mut values = expression.values.iter().flatten();
                        values.any(|value| value == label)
                    });
                    match expression.operator.as_str() {
                        "In" => is_in,
                        "NotIn" => !is_in,
                        "Exists" => label.is_some(),
                        "DoesNotExist" => label.is_none(),
                        _ => false,
                    }
                })
    }
}
