//! Probes: injected into ordinary containers that have none, and a grace period of their own for all
//! that restart a container. Without that, a liveness failure would wait for the whole pod's grace,
//! which is a drain long.

use serde_json::{Value, json};

use super::draft::{Draft, child};
use super::pod::{Container, Object, Pod};
use super::{Injection, Refusal};
use crate::api::v1alpha1::{ProbeInjection, Probes};

const GRACE: &str = "terminationGracePeriodSeconds";
const HANDLERS: [&str; 4] = ["exec", "grpc", "httpGet", "tcpSocket"];

/// Injects probes and their grace periods. Says what was injected, as `container/kind`.
pub(super) fn inject(
    draft: &mut Draft,
    pod: &Pod,
    injection: &Injection<'_>,
) -> Result<Vec<String>, Refusal> {
    let given = Given::read(injection.probes)?;
    given.check(pod)?;
    let mut injected = Vec::new();
    for (container, read) in draft.containers.iter_mut().zip(&pod.containers) {
        for (kind, probe) in given.missing(&read.it) {
            container.insert(format!("{kind}Probe"), probe);
            injected.push(format!("{}/{kind}", read.it.name));
        }
    }
    // 0 is no grace period in Kubernetes' eyes.
    let grace = injection.shutdown.timeout_seconds.max(1);
    // Of the init containers only sidecars may have probes; they get nothing but the grace.
    for container in draft
        .containers
        .iter_mut()
        .chain(&mut draft.init_containers)
    {
        for kind in ["livenessProbe", "startupProbe"] {
            limit(container, kind, grace);
        }
    }
    Ok(injected)
}

/// Whether any container says when it is ready; to be asked before the agent is in.
pub(super) fn tell_readiness(draft: &Draft) -> bool {
    let mut containers = draft.containers.iter();
    containers.any(|container| {
        container
            .get("readinessProbe")
            .is_some_and(Value::is_object)
    })
}

/// Gives a probe a grace period where it has none.
fn limit(container: &mut Object, kind: &str, grace: i32) {
    if container.get(kind).is_none_or(Value::is_null) {
        return;
    }
    if let Some(probe) = child(container, kind)
        && probe.get(GRACE).is_none_or(Value::is_null)
    {
        probe.insert(GRACE.into(), grace.into());
    }
}

/// The probes of `spec.probes`, checked. None where nothing is to be injected.
struct Given {
    inject: bool,
    readiness: Option<Object>,
    startup: Option<Object>,
    liveness: Option<Object>,
}

impl Given {
    fn read(probes: &Probes) -> Result<Self, Refusal> {
        let given = Self {
            inject: probes.inject == ProbeInjection::IfMissing,
            readiness: probe("readiness", probes.readiness.as_ref())?,
            startup: probe("startup", probes.startup.as_ref())?,
            liveness: probe("liveness", probes.liveness.as_ref())?,
        };
        if given
            .readiness
            .as_ref()
            .is_some_and(|probe| !probe.get(GRACE).is_none_or(Value::is_null))
        {
            return Err(Refusal::ReadinessGrace {
                at: format!("spec.probes.readiness.{GRACE}"),
            });
        }
        Ok(given)
    }

    fn all(&self) -> [(&'static str, Option<&Object>); 3] {
        [
            ("readiness", self.readiness.as_ref()),
            ("startup", self.startup.as_ref()),
            ("liveness", self.liveness.as_ref()),
        ]
    }

    /// A probe by the name of a port must have at least one container to go to.
    fn check(&self, pod: &Pod) -> Result<(), Refusal> {
        for (kind, probe) in self.all() {
            let Some((handler, name)) = probe.and_then(port_name) else {
                continue;
            };
            if self.inject
                && !pod
                    .containers
                    .iter()
                    .any(|container| container.it.port_named(name).is_some())
            {
                let at = format!("spec.probes.{kind}.{handler}.port");
                return Err(Refusal::UnknownPort {
                    at,
                    name: name.into(),
                });
            }
        }
        Ok(())
    }

    /// The probes that a container lacks and gets.
    fn missing(&self, container: &Container) -> Vec<(&'static str, Value)> {
        if !self.inject {
            return Vec::new();
        }
        let has = |kind| match kind {
            "readiness" => container.readiness_probe.is_some(),
            "startup" => container.startup_probe.is_some(),
            _ => container.liveness_probe.is_some(),
        };
        let missing = self.all().into_iter().filter(|(kind, _)| !has(kind));
        let probes = missing.filter_map(|(kind, given)| match given {
            // A container without the port that the probe names could never be ready.
            Some(probe)
                if port_name(probe)
                    .is_none_or(|(_, name)| container.port_named(name).is_some()) =>
            {
                Some((kind, Value::Object(probe.clone())))
            }
            None if kind == "readiness" => connect(container).map(|probe| (kind, probe)),
            _ => None,
        });
        probes.collect()
    }
}

/// The readiness probe of a container about which only its ports are known: whether the first TCP
/// port accepts a connection. Every second, because a rollout waits for it; Kubernetes' default is
/// ten.
fn connect(container: &Container) -> Option<Value> {
    let port = container.ports.iter().find(|port| port.is_tcp())?.number;
    Some(json!({"tcpSocket": {"port": port}, "periodSeconds": 1}))
}

fn probe(kind: &str, value: Option<&Value>) -> Result<Option<Object>, Refusal> {
    let at = format!("spec.probes.{kind}");
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(probe)) if probe.is_empty() => Ok(None),
        Some(Value::Object(probe))
            if HANDLERS
                .iter()
                .any(|handler| probe.get(*handler).is_some_and(Value::is_object)) =>
        {
            Ok(Some(probe.clone()))
        }
        Some(Value::Object(_)) => Err(Refusal::NoProbeHandler { at }),
        Some(_) => Err(Refusal::Unreadable {
            at,
            why: "expected an object".into(),
        }),
    }
}

/// The port that a probe names, and its handler.
fn port_name(probe: &Object) -> Option<(&'static str, &str)> {
    HANDLERS.into_iter().find_map(|handler| {
        let name = probe.get(handler)?.get("port")?.as_str()?;
        Some((handler, name))
    })
}
