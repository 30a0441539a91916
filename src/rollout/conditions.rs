//! Conditions: what they say and when they change. A message says what, why, since when and what is
//! next, in absolute times, so that it is the same until something happens.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observation::Observation;
use super::plan::Draft;
use super::target::{Overdue, Target};
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainCause, DrainEnd, DrainWay, GracefulDeploymentStatus};

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

/// The conditions of an object, as last written and as they are to be.
pub(super) struct Conditions {
    list: Vec<Condition>,
    now: Time,
    generation: i64,
    is_first: bool,
}

impl From<&Observation> for Conditions {
    fn from(observation: &Observation) -> Self {
        let list = observation.previous.conditions.clone();
        // Kubernetes' Time has no fractions of a second: cut here, or a written condition would
        // never equal the wanted one.
        let now =
            jiff::Timestamp::from_second(observation.now.as_second()).unwrap_or(observation.now);
        Self {
            is_first: list.is_empty(),
            list,
            now: Time(now),
            generation: observation.generation,
        }
    }
}

impl Conditions {
    /// Sets a condition; its time changes with its status only.
    pub(super) fn set(&mut self, kind: &str, truth: Truth, reason: Reason, message: &str) {
        let status = match truth {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        };
        let since = self
            .list
            .iter()
            .find(|known| known.type_ == kind && known.status == status)
            .map_or(&self.now, |known| &known.last_transition_time)
            .clone();
        let condition = Condition {
            last_transition_time: since,
            message: message.to_owned(),
            observed_generation: Some(self.generation),
            reason: reason.as_str().to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        };
        match self.list.iter_mut().find(|known| known.type_ == kind) {
            Some(known) => *known = condition,
            None => self.list.push(condition),
        }
    }

    pub(super) fn remove(&mut self, kind: &str) {
        self.list.retain(|known| known.type_ != kind);
    }

    pub(super) fn into_list(self) -> Vec<Condition> {
        self.list
    }

    /// Says how things are: whether all is done, whether it takes too long, and whether this revision
    /// was complete before.
    pub(super) fn tell(
        &mut self,
        target: &Target,
        status: &GracefulDeploymentStatus,
        draft: &Draft,
        (is_complete, is_overdue, was_completed): (bool, bool, bool),
    ) {
        let state = summary(status, draft);
        let minimum = target.replicas.saturating_sub(target.max_unavailable);
        let available = u32::try_from(status.available_replicas).unwrap_or(0);
        let in_service = format!("{available} in service, at least {minimum} wanted");
        if available >= minimum {
            self.set(
                "Available",
                Truth::True,
                Reason::MinimumReplicasAvailable,
                &in_service,
            );
        } else {
            self.set(
                "Available",
                Truth::False,
                Reason::MinimumReplicasUnavailable,
                &in_service,
            );
        }
        let kept = kept(target, draft);
        let (truth, reason) = match (target.paused, is_overdue) {
            (true, _) => (Truth::Unknown, Reason::Paused),
            (false, _) if kept == Some(Reason::DrainPaused) => {
                (Truth::Unknown, Reason::DrainPaused)
            }
            (false, true) => (Truth::False, Reason::ProgressDeadlineExceeded),
            (false, false) if is_complete || was_completed => {
                (Truth::True, Reason::NewReplicaSetAvailable)
            }
            (false, false) => (Truth::True, Reason::ReplicaSetUpdated),
        };
        self.set("Progressing", truth, reason, &state);
        match drains(draft) {
            Some(message) => self.set("Draining", Truth::True, Reason::PodsDraining, &message),
            None => self.set(
                "Draining",
                Truth::False,
                Reason::NoPodsDraining,
                "no pod is draining",
            ),
        }
        let (truth, reason) = match (is_complete, is_overdue, target.paused) {
            _ if self.is_first => (Truth::Unknown, Reason::Unobserved),
            (true, ..) => (Truth::True, Reason::Complete),
            (false, true, _) => (Truth::False, Reason::ProgressDeadlineExceeded),
            (false, false, true) => (Truth::False, Reason::Paused),
            (false, false, false) => (Truth::False, kept.unwrap_or(Reason::RollingOut)),
        };
        self.set("Ready", truth, reason, &state);
        let is_stalled = is_overdue || kept == Some(Reason::DrainHeld) && !target.paused;
        let reconciling = if is_complete || is_stalled {
            Truth::False
        } else {
            Truth::True
        };
        self.set("Reconciling", reconciling, reason, &state);
        let stalled = if is_stalled {
            Truth::True
        } else {
            Truth::False
        };
        self.set("Stalled", stalled, reason, &state);
    }
}

/// Why a pod is kept that has reached its deadline, where one is.
fn kept(target: &Target, draft: &Draft) -> Option<Reason> {
    draft.drains.iter().find(|drain| drain.is_kept())?;
    Some(match target.on_timeout {
        Overdue::Pauses => Reason::DrainPaused,
        Overdue::IsHeld | Overdue::Leaves => Reason::DrainHeld,
    })
}

/// Where things stand and what they wait for: `2 of 4 pods updated, 4 in service; …`.
pub(super) fn summary(status: &GracefulDeploymentStatus, draft: &Draft) -> String {
    /// More is not read: the first ones are what everything else waits for.
    const MOST: usize = 3;
    let mut text = format!(
        "{} of {} pods updated, {} in service",
        status.updated_replicas, status.replicas, status.available_replicas
    );
    for hold in draft.holds.iter().take(MOST) {
        text.push_str("; ");
        text.push_str(&hold.to_string());
    }
    text
}

fn drains(draft: &Draft) -> Option<String> {
    /// Names beyond these do not help; the list is in `status.drains`.
    const MOST: usize = 5;
    let lines: Vec<String> = draft
        .drains
        .iter()
        .take(MOST)
        .map(|drain| {
            let cause = match drain.cause {
                DrainCause::Rollout => "rollout",
                DrainCause::ScaleDown => "scale-down",
            };
            let since = stamp(drain.since.0);
            let until = match (&drain.deadline, drain.way) {
                _ if drain.outcome == Some(DrainEnd::NodeLost) => "its node is lost".into(),
                (Some(deadline), _) if drain.is_kept() => {
                    format!("kept beyond its deadline at {}", stamp(deadline.0))
                }
                (Some(deadline), _) => format!("deadline at {}", stamp(deadline.0)),
                (None, DrainWay::Termination) => "within its grace period".into(),
                (None, DrainWay::Readiness) => "not withdrawn yet".into(),
            };
            format!(
                "{} drains since {since} for the {cause}; {until}",
                drain.pod
            )
        })
        .collect();
    let more = draft.drains.len().saturating_sub(MOST);
    match (lines.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(lines.join(". ")),
        (false, more) => Some(format!("{}. And {more} more", lines.join(". "))),
    }
}

/// A point in time to the second, as it stands in messages.
pub(super) fn stamp(at: Timestamp) -> String {
    at.strftime("%FT%TZ").to_string()
}

/// `1 pod`, `2 pods`.
pub(super) fn counted(count: u32, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
