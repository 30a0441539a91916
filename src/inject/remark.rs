//! What is to be said of a template that is injected all the same: it works, and not as its author may
//! think. Sentences for the user, of places and numbers alone: no text of the template's is repeated.

use super::hook::Hook;
use super::pod::{At, Container, Pod};
use super::{Injection, draft};

/// No more are said: a template of fifty containers has one author, who reads the first.
const MOST: usize = 16;

/// Remarks on a template, those of the pod first, then in the order of its containers. `has_readiness` says
/// whether anything tells when a pod is ready.
pub(super) fn on(
    pod: &Pod,
    hooks: &[Hook],
    has_readiness: bool,
    injection: &Injection<'_>,
) -> Vec<String> {
    let of_pod = [grace(pod, injection), readiness(has_readiness)];
    let hooks = pod.containers.iter().zip(hooks);
    let of_containers =
        hooks.flat_map(|(container, hook)| [image(container), sleep(container, hook)]);
    let of_others = pod.init_containers.iter().map(image);
    let all = of_pod.into_iter().chain(of_containers).chain(of_others);
    all.flatten().take(MOST).collect()
}

/// The pod gets what its shutdown needs, whatever was written there.
fn grace(pod: &Pod, injection: &Injection<'_>) -> Option<String> {
    let own = pod.spec.termination_grace_period_seconds?;
    let shutdown = injection.shutdown.timeout_seconds;
    (own < i64::from(shutdown)).then(|| {
        format!(
            "{}.spec.terminationGracePeriodSeconds: {own} s are less than spec.shutdown.timeoutSeconds \
             ({shutdown} s) and have no effect: set spec.shutdown.timeoutSeconds to what the application \
             needs, and leave this out",
            draft::TEMPLATE
        )
    })
}

fn readiness(has_readiness: bool) -> Option<String> {
    (!has_readiness).then(|| {
        format!(
            "{}.spec.containers: nothing tells when a pod is ready, so it counts as ready as soon as it runs, \
             and a rollout goes on: write a readinessProbe, or spec.probes.readiness",
            draft::TEMPLATE
        )
    })
}

/// Kubernetes pulls `latest` at each start, where nothing else is said.
fn image(container: &At<Container>) -> Option<String> {
    let At { at, it } = container;
    let image = it.image.as_deref()?;
    let is_pulled = it
        .image_pull_policy
        .as_deref()
        .is_none_or(|it| it == "Always");
    let name = image.rsplit('/').next().unwrap_or(image);
    let tag = name.split_once(':').map_or("latest", |(_, tag)| tag);
    (is_pulled && tag == "latest" && !image.contains('@')).then(|| {
        format!(
            "{at}.image: names no version and is pulled at each start: pods of one revision may differ, and \
             an undo brings nothing back: write a version or a digest"
        )
    })
}

/// The sleep that people put before SIGTERM, so that routes forget the pod: a drain has done that.
fn sleep(container: &At<Container>, hook: &Hook) -> Option<String> {
    let at = format!("{}.lifecycle.preStop", container.at);
    let is_sleep = |word: &str| word.rsplit('/').next() == Some("sleep");
    match hook {
        Hook::Sleep(seconds) if *seconds > 0 => Some(format!(
            "{at}.sleep: {seconds} s are slept after each drain, which has waited for the work already: leave \
             it out"
        )),
        Hook::Exec(words)
            if words
                .iter()
                .flat_map(|it| it.split([' ', ';', '&']))
                .any(is_sleep) =>
        {
            Some(format!(
                "{at}.exec: sleeps after each drain, which has waited for the work already, and fails in an \
                 image that has no such program: leave it out"
            ))
        }
        _ => None,
    }
}
