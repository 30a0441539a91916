//! The rules of the CRD once more, for objects that were stored before a rule was: pure, and with the
//! same sentences. Only the API server can tell that the selector changed.

mod confirm;
mod template;

use std::fmt;

use k8s_openapi::apimachinery::pkg::{
    apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
    util::intstr::IntOrString,
};

use super::{Drain, GracefulDeploymentSpec, Strategy, StrategyType, sentences as say};
use crate::api::{GROUP, POD_TEMPLATE_HASH};

/// A week in seconds: no time of a drain is longer.
const WEEK: i32 = 604_800;

/// One thing that a spec must not say, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `spec.drain.minSeconds`.
    pub field: String,
    /// What to write instead.
    pub says: &'static str,
}

/// A spec that cannot be acted on. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Everything that is wrong with it.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.field, self.says)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            write!(out, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Says all that is wrong with a spec.
///
/// # Errors
/// [`Invalid`] where the API server would refuse the spec today.
pub fn validate(spec: &GracefulDeploymentSpec) -> Result<(), Invalid> {
    let mut problems = Problems::default();
    problems.count("spec.replicas", spec.replicas);
    problems.count("spec.revisionHistoryLimit", spec.revision_history_limit);
    rollout_times(spec, &mut problems);
    selector(&spec.selector, &mut problems);
    strategy(&spec.strategy, &mut problems);
    drain(&spec.drain, &mut problems);
    problems.seconds(
        "spec.shutdown.timeoutSeconds",
        spec.shutdown.timeout_seconds,
    );
    template::check(spec, &mut problems);
    if problems.0.is_empty() {
        return Ok(());
    }
    Err(Invalid {
        problems: problems.0,
    })
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn refuse_if(&mut self, is_wrong: bool, field: impl Into<String>, says: &'static str) {
        if is_wrong {
            let field = field.into();
            self.0.push(Problem { field, says });
        }
    }

    fn count(&mut self, field: &str, value: i32) {
        self.refuse_if(value < 0, field, say::COUNT);
    }

    fn seconds(&mut self, field: &str, value: i32) {
        self.refuse_if(!(0..=WEEK).contains(&value), field, say::SECONDS);
    }
}

impl Problems {
    fn port_and_path(&mut self, field: &str, port: u16, path: &str) {
        self.refuse_if(port == 0, format!("{field}.port"), say::PORT);
        self.refuse_if(!path.starts_with('/'), format!("{field}.path"), say::PATH);
    }
}

fn rollout_times(spec: &GracefulDeploymentSpec, problems: &mut Problems) {
    let deadline = spec.progress_deadline_seconds;
    problems.seconds("spec.minReadySeconds", spec.min_ready_seconds);
    problems.refuse_if(
        !(0..=WEEK).contains(&deadline) && deadline != i32::MAX,
        "spec.progressDeadlineSeconds",
        say::PROGRESS_SECONDS,
    );
    problems.refuse_if(
        deadline <= spec.min_ready_seconds,
        "spec.progressDeadlineSeconds",
        say::PROGRESS_DEADLINE,
    );
}

fn selector(selector: &LabelSelector, problems: &mut Problems) {
    let labels = selector.match_labels.iter().flatten();
    let expressions = || selector.match_expressions.iter().flatten();
    problems.refuse_if(
        labels.clone().count() + expressions().count() == 0,
        "spec.selector",
        say::SELECTOR_EMPTY,
    );
    problems.refuse_if(
        labels.clone().any(|(key, _)| is_ours(key)),
        "spec.selector.matchLabels",
        say::SELECTOR_RESERVED,
    );
    problems.refuse_if(
        expressions().any(|expression| is_ours(&expression.key)),
        "spec.selector.matchExpressions",
        say::SELECTOR_RESERVED,
    );
    problems.refuse_if(
        !expressions().all(is_well_formed),
        "spec.selector.matchExpressions",
        say::SELECTOR_OPERATOR,
    );
}

/// Labels that change, or that the user's template does not have.
fn is_ours(key: &str) -> bool {
    is_reserved(key) || key == POD_TEMPLATE_HASH
}

fn is_reserved(key: &str) -> bool {
    key.strip_prefix(GROUP)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn is_well_formed(expression: &LabelSelectorRequirement) -> bool {
    let has_values = expression.values.iter().flatten().next().is_some();
    match expression.operator.as_str() {
        "In" | "NotIn" => has_values,
        "Exists" | "DoesNotExist" => !has_values,
        _ => false,
    }
}

fn strategy(strategy: &Strategy, problems: &mut Problems) {
    let Some(bounds) = &strategy.rolling_update else {
        return;
    };
    let field = |name: &str| format!("spec.strategy.rollingUpdate{name}");
    problems.refuse_if(
        strategy.kind == StrategyType::Recreate,
        field(""),
        say::RECREATE,
    );
    for (name, value) in [
        (".maxSurge", &bounds.max_surge),
        (".maxUnavailable", &bounds.max_unavailable),
        (".maxDraining", &bounds.max_draining),
    ] {
        problems.refuse_if(
            !is_number_or_percentage(value),
            field(name),
            say::NUMBER_OR_PERCENTAGE,
        );
    }
    problems.refuse_if(
        is_zero(&bounds.max_surge) && is_zero(&bounds.max_unavailable),
        field(""),
        say::NO_ROOM,
    );
    problems.refuse_if(
        is_zero(&bounds.max_draining),
        field(".maxDraining"),
        say::NO_DRAINS,
    );
}

fn is_number_or_percentage(value: &IntOrString) -> bool {
    match value {
        IntOrString::Int(number) => *number >= 0,
        IntOrString::String(text) => text
            .strip_suffix('%')
            .and_then(|digits| Some((digits, digits.parse::<u8>().ok()?)))
            .is_some_and(|(digits, number)| number <= 100 && number.to_string() == digits),
    }
}

fn is_zero(value: &IntOrString) -> bool {
    match value {
        IntOrString::Int(number) => *number == 0,
        IntOrString::String(text) => text == "0%",
    }
}

fn drain(drain: &Drain, problems: &mut Problems) {
    for (field, value) in [
        ("spec.drain.timeoutSeconds", drain.timeout_seconds),
        (
            "spec.drain.deletionTimeoutSeconds",
            drain.deletion_timeout_seconds,
        ),
        ("spec.drain.minSeconds", drain.min_seconds),
        ("spec.drain.quietSeconds", drain.quiet_seconds),
        ("spec.drain.arrivalsSeconds", drain.arrivals_seconds),
    ] {
        problems.seconds(field, value);
    }
    problems.refuse_if(
        drain.min_seconds > drain.timeout_seconds,
        "spec.drain.minSeconds",
        say::MIN_SECONDS,
    );
    problems.refuse_if(
        drain.quiet_seconds > drain.timeout_seconds,
        "spec.drain.quietSeconds",
        say::QUIET_SECONDS,
    );
    if let Some(notify) = &drain.notify {
        let (port, path) = (notify.http_post.port, &notify.http_post.path);
        problems.port_and_path("spec.drain.notify.httpPost", port, path);
    }
    confirm::check(drain, problems);
}
