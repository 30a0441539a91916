//! The spec, parsed: percentages resolved, lengths typed, contradictions named.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Selector;
use serde_json::{Value, json};

use crate::api::DRAINING;
use crate::api::v1alpha1::{
    Confirmation, Drain, GracefulDeploymentSpec, OnError, OnTimeout, PodReplacementPolicy,
    StrategyType, Withdraw, validate,
};
use crate::rollout::{
    AwaitedCondition, Invalid, Overdue, ReplacementPolicy, Strategy, Target, Withdrawal,
};

pub(super) fn parse(spec: &GracefulDeploymentSpec) -> Result<Target, Invalid> {
    validate(spec)
        .map_err(|invalid| Invalid(invalid.problems.iter().map(ToString::to_string).collect()))?;
    let replicas = super::to_count(spec.replicas);
    let bounds = spec.strategy.rolling_update.clone().unwrap_or_default();
    let max_surge = resolve("maxSurge", &bounds.max_surge, replicas, Rounding::Up)?;
    let mut max_unavailable = resolve(
        "maxUnavailable",
        &bounds.max_unavailable,
        replicas,
        Rounding::Down,
    )?;
    if max_surge == 0 && max_unavailable == 0 {
        // Percentages may both round to 0, and then nothing could ever move (ResolveFenceposts in
        // deployment/util does the same).
        max_unavailable = 1;
    }
    let max_draining = resolve("maxDraining", &bounds.max_draining, replicas, Rounding::Up)?.max(1);
    // As injection writes it: two texts of one meaning would never settle.
    let drain_settings = json!(spec.drain).to_string();
    Ok(Target {
        replicas,
        strategy: match spec.strategy.kind {
            StrategyType::RollingUpdate => Strategy::RollingUpdate,
            StrategyType::Recreate => Strategy::Recreate,
        },
        max_surge,
        max_unavailable: max_unavailable.min(replicas),
        max_draining,
        replacement: match spec.pod_replacement_policy {
            PodReplacementPolicy::DrainStarted => ReplacementPolicy::DrainStarted,
            PodReplacementPolicy::TerminationComplete => ReplacementPolicy::TerminationComplete,
        },
        min_ready: seconds(spec.min_ready_seconds),
        progress_deadline: seconds(spec.progress_deadline_seconds),
        history_limit: super::to_count(spec.revision_history_limit) as usize,
        paused: spec.paused,
        withdrawal: match spec.drain.withdraw {
            Withdraw::Auto => Withdrawal::Auto,
            Withdraw::Readiness => Withdrawal::Readiness,
            Withdraw::Termination => Withdrawal::Termination,
        },
        drain_timeout: seconds(spec.drain.timeout_seconds),
        drain_min: seconds(spec.drain.min_seconds),
        drain_quiet: seconds(spec.drain.quiet_seconds),
        shutdown_timeout: seconds(spec.shutdown.timeout_seconds),
        drain_settings,
        conditions: conditions(&spec.drain),
        on_timeout: match spec.drain.on_timeout {
            OnTimeout::Terminate => Overdue::Leaves,
            OnTimeout::Hold => Overdue::IsHeld,
            OnTimeout::Pause => Overdue::Pauses,
        },
        unconfirmed: unconfirmed(spec),
        scale_selector: scale_selector(&spec.selector)?,
    })
}

#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

fn resolve(
    field: &str,
    bound: &IntOrString,
    replicas: u32,
    rounding: Rounding,
) -> Result<u32, Invalid> {
    let text = match bound {
        IntOrString::Int(number) => return Ok(super::to_count(*number)),
        IntOrString::String(text) => text,
    };
    let percent: u64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        Invalid(vec![format!(
            "spec.strategy.rollingUpdate.{field} is {text:?}: write a number such as 1 or a percentage such as \"25%\""
        )])
    })?;
    let hundredths = u64::from(replicas).saturating_mul(percent);
    let resolved = match rounding {
        Rounding::Up => hundredths.div_ceil(100),
        Rounding::Down => hundredths / 100,
    };
    Ok(u32::try_from(resolved).unwrap_or(u32::MAX))
}

/// The user's selector without draining pods. An HPA takes pods that were ready once into its average: two at
/// twice their target and two idle ones that drain would look like four as they should be, and it leaves what
/// is within a tenth of the target alone.
fn scale_selector(selector: &LabelSelector) -> Result<String, Invalid> {
    let parsed: Selector = selector
        .clone()
        .try_into()
        .map_err(|error| Invalid(vec![format!("spec.selector cannot be read: {error}")]))?;
    Ok(format!("{parsed},!{DRAINING}"))
}

/// The agent waits for minSeconds and nothing else: worth a word, because it looks like a drain.
fn unconfirmed(spec: &GracefulDeploymentSpec) -> Option<String> {
    let network = spec.template.pointer("/spec/hostNetwork");
    let is_on_host = network.and_then(Value::as_bool) == Some(true);
    let why = match &spec.drain.confirm {
        Some(all) if all.is_empty() => "spec.drain.confirm is empty",
        None if is_on_host => {
            "a pod on the host's network sees the node's connections and not its own, and \
             spec.drain.confirm names nothing else"
        }
        _ => return None,
    };
    let seconds = spec.drain.min_seconds;
    Some(format!(
        "nothing confirms that a pod's work is over: {why}; each drain lasts minSeconds ({seconds} s)"
    ))
}

/// The confirmations that the agent cannot see.
fn conditions(drain: &Drain) -> Vec<AwaitedCondition> {
    let read = |one: &Confirmation| {
        Some(AwaitedCondition {
            kind: one.condition.as_ref()?.kind.clone(),
            timeout: one.timeout_seconds.map(seconds),
            ignores_errors: one.on_error == OnError::Ignore,
        })
    };
    drain.confirm.iter().flatten().filter_map(read).collect()
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(u64::from(super::to_count(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(drain: &Value, is_on_host: bool) -> Option<String> {
        let spec = serde_json::from_value(json!({
            "selector": {}, "template": {"spec": {"hostNetwork": is_on_host}}, "drain": drain,
        }));
        unconfirmed(&spec.unwrap())
    }

    #[test]
    fn drains_that_nothing_confirms_are_named() {
        assert_eq!(why(&json!({}), false), None);
        assert_eq!(why(&json!({"confirm": [{"connections": {}}]}), false), None);
        let http = json!({"confirm": [{"httpGet": {"port": 9000, "path": "/idle"}}]});
        assert_eq!(why(&http, true), None);
        let empty = why(&json!({"confirm": [], "minSeconds": 7}), false).unwrap();
        assert!(
            empty.contains("spec.drain.confirm is empty") && empty.contains("7 s"),
            "{empty}"
        );
        let on_host = why(&json!({}), true).unwrap();
        assert!(on_host.contains("host's network"), "{on_host}");
    }
}
