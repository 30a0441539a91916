//! A user's pod template becomes the one that a ReplicaSet carries: with the drain agent, its hooks,
//! probes and the grace period that a drain needs. Pure, and the same bytes for the same input.
//! Everything of the user's stays as it was written, in its order; what cannot be kept is refused in
//! a sentence. Must not know Kubernetes' types: a field that nobody here has heard of passes by.

mod agent;
mod annotations;
mod draft;
mod grace;
mod hash;
mod hook;
mod pod;
mod probes;
mod qos;
mod refusal;
mod remark;
mod reserved;

use serde_json::{Value, json};

use self::draft::Draft;
pub use self::hash::{is_same_template, template_hash};
use self::hook::Hook;
use self::pod::Pod;
pub use self::refusal::Refusal;
use crate::api::injected::Summary;
use crate::api::v1alpha1::{Drain, Probes, Shutdown};
use crate::api::{CONFIG, INJECTED, KEPT};

/// What is injected, and by which settings.
#[derive(Clone, Copy, Debug)]
pub struct Injection<'a> {
    /// How pods drain: their default for unplanned exits, and the grace period for it.
    pub drain: &'a Drain,
    /// The application's own exit.
    pub shutdown: &'a Shutdown,
    /// Probes for containers that have none.
    pub probes: &'a Probes,
    /// Image of the drain agent.
    pub agent_image: &'a str,
    /// Its `imagePullPolicy`; absent leaves it to Kubernetes.
    pub agent_pull_policy: Option<&'a str>,
}

/// The template that a ReplicaSet carries, but for the label `pod-template-hash`, which is the
/// ReplicaSet's own to add.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// The pod template with everything in it.
    pub template: Value,
    /// The value of its annotation `graceful.dev/injected`, a [`Summary`] as JSON. Two pods of one
    /// revision with the same value were born alike; `spec.drain` alone does not change it, as long
    /// as the grace period stays.
    pub summary: String,
    /// Sentences for the user: what works in this template, and not as its author may think. At most 16.
    pub remarks: Vec<String>,
}

/// Injects into a user's template what a graceful exit needs.
///
/// # Errors
///
/// A [`Refusal`] where the template cannot be read, uses a name of ours, or has something that could
/// not be kept. It is for the user: a sentence that says where, what, and what to write instead.
pub fn inject(template: &Value, injection: &Injection<'_>) -> Result<Injected, Refusal> {
    let mut draft = Draft::open(template)?;
    let pod = Pod::read(&draft)?;
    reserved::check(&pod)?;
    let hooks = pod
        .containers
        .iter()
        .map(Hook::read)
        .collect::<Result<Vec<_>, _>>()?;
    let grace = grace::of_pod(&pod, &hooks, injection)?;
    let probes = probes::inject(&mut draft, &pod, injection)?;
    let remarks = remark::on(&pod, &hooks, probes::tell_readiness(&draft), injection);
    for (container, hook) in draft.containers.iter_mut().zip(&hooks) {
        hook.inject(container, grace.drain);
        agent::mount(container);
    }
    draft
        .spec
        .insert("terminationGracePeriodSeconds".into(), json!(grace.seconds));
    let port = agent::inject(&mut draft, &pod, injection);
    annotations::inject(&mut draft.annotations, &pod, port);
    draft.labels.insert(KEPT.into(), json!("true"));

    let summary = Summary {
        agent: injection.agent_image.into(),
        port,
        probes,
        digest: hash::digest(&draft.clone().close()),
    };
    // After the digest: what can change in place does not make a pod older than another.
    let summary = json!(summary).to_string();
    draft
        .annotations
        .insert(CONFIG.into(), config(injection.drain).into());
    draft
        .annotations
        .insert(INJECTED.into(), summary.clone().into());
    Ok(Injected {
        template: draft.close(),
        summary,
        remarks,
    })
}

/// The value of the annotation `graceful.dev/config`: what running pods are patched to when
/// `spec.drain` changes.
#[must_use]
pub fn config(drain: &Drain) -> String {
    json!(drain).to_string()
}
