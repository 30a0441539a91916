//! What the API server refused to take, shown where nothing can be made because of it: a quota, a
//! policy, a template that it does not like. Pure. The status is written before anything is done, so a
//! refusal is shown by the next one, and stays while the plan still wants what was refused.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::reason::Reason;
use crate::api::v1alpha1::GracefulDeploymentStatus;
use crate::operator::error::{Error, in_words};
use crate::rollout::{Action, Event};

/// What the API server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Refusal {
    message: String,
    /// It finds the template itself wrong: only a change of the spec ends this.
    is_invalid: bool,
}

/// The actions whose refusal is shown.
pub(super) fn can_be_refused(action: &Action) -> bool {
    matches!(
        action,
        Action::CreateReplicaSet { .. } | Action::RefreshReplicaSet { .. }
    )
}

impl Refusal {
    /// The refusal among the errors of one round.
    pub(in crate::operator) fn among(errors: &[Error]) -> Option<Self> {
        let error = errors.iter().find(|error| match error {
            Error::CreateReplicaSet { .. } => !error.is_outdated(),
            // What fails without being refused is made again, and until then no pod waits for it.
            Error::RefreshReplicaSet { .. } => error.is_invalid(),
            _ => false,
        })?;
        Some(Self {
            message: in_words(error),
            is_invalid: error.is_invalid(),
        })
    }

    /// The refusal that a status shows: what a process that died had learned.
    pub(super) fn shown(status: &GracefulDeploymentStatus) -> Option<Self> {
        let find = |kind: &str, reason: Reason| {
            let mut all = status.conditions.iter();
            all.find(|one| one.type_ == kind && one.reason == reason.as_str())
        };
        let failure = find("ReplicaFailure", Reason::FailedCreate)?;
        let is_invalid = find("Ready", Reason::InvalidSpec).is_some();
        // A ReplicaSet's own failure stands in that condition too, and says nothing of Ready.
        (is_invalid || find("Ready", Reason::FailedCreate).is_some()).then(|| Self {
            message: failure.message.clone(),
            is_invalid,
        })
    }

    /// Shows it, and returns the Event for it where it is news.
    pub(super) fn show(
        &self,
        status: &mut GracefulDeploymentStatus,
        read: &GracefulDeploymentStatus,
        (generation, now): (Option<i64>, Timestamp),
    ) -> Option<Event> {
        let message = &self.message;
        let mut set = |kind: &str, truth: &str, reason: Reason| {
            let mut known = read.conditions.iter();
            let before = known.find(|known| known.type_ == kind && known.status == truth);
            let since = before.map_or(now, |known| known.last_transition_time.0);
            let condition = Condition {
                type_: kind.into(),
                status: truth.into(),
                reason: reason.as_str().into(),
                message: message.clone(),
                last_transition_time: Time(since),
                observed_generation: generation,
            };
            let mut all = status.conditions.iter_mut();
            match all.find(|one| one.type_ == kind) {
                Some(one) => *one = condition,
                None => status.conditions.push(condition),
            }
        };
        set("ReplicaFailure", "True", Reason::FailedCreate);
        if self.is_invalid {
            set("Ready", "False", Reason::InvalidSpec);
            set("Reconciling", "False", Reason::InvalidSpec);
            set("Stalled", "True", Reason::InvalidSpec);
        } else {
            set("Ready", "False", Reason::FailedCreate);
        }
        let is_known =
            |known: &Condition| known.type_ == "ReplicaFailure" && known.message == *message;
        (!read.conditions.iter().any(is_known)).then(|| Event {
            warning: true,
            reason: Reason::FailedCreate,
            message: message.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::error::Failure;

    const NOW: (Option<i64>, Timestamp) = (None, Timestamp::UNIX_EPOCH);

    fn status(condition: &Value) -> GracefulDeploymentStatus {
        serde_json::from_value(json!({"conditions": [condition]})).unwrap()
    }

    fn condition(status: &str, reason: &str) -> Value {
        json!({
            "type": "Ready", "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    }

    fn failure(code: u16) -> Failure {
        let status = json!({"status": "Failure", "code": code, "reason": "", "message": "no"});
        let status: kube::core::Status = serde_json::from_value(status).unwrap();
        kube::Error::Api(Box::new(status)).into()
    }

    fn create(code: u16) -> Error {
        Error::CreateReplicaSet {
            name: "a-1".into(),
            source: failure(code),
        }
    }

    fn refresh(code: u16) -> Error {
        Error::RefreshReplicaSet {
            name: "a-1".into(),
            source: failure(code),
        }
    }

    fn reasons(status: &GracefulDeploymentStatus) -> Vec<(&str, &str, &str)> {
        let all = status.conditions.iter();
        all.map(|one| (&*one.type_, &*one.status, &*one.reason))
            .collect()
    }

    #[test]
    fn a_template_that_the_server_refuses_is_stalled() {
        let mut next = status(&condition("False", "RollingOut"));
        let refusal = Refusal::among(&[create(422)]).unwrap();
        let event = refusal.show(&mut next, &GracefulDeploymentStatus::default(), NOW);
        assert_eq!(event.map(|event| event.reason), Some(Reason::FailedCreate));
        let expected = [
            ("Ready", "False", "InvalidSpec"),
            ("ReplicaFailure", "True", "FailedCreate"),
            ("Reconciling", "False", "InvalidSpec"),
            ("Stalled", "True", "InvalidSpec"),
        ];
        assert_eq!(reasons(&next), expected);
    }

    #[test]
    fn a_refusal_that_was_shown_is_shown_again_without_a_change() {
        for code in [403, 422] {
            let planned = condition("False", "RollingOut");
            let refusal = Refusal::among(&[create(code)]).unwrap();
            let mut first = status(&planned);
            refusal.show(&mut first, &GracefulDeploymentStatus::default(), NOW);
            let mut second = status(&planned);
            assert_eq!(refusal.show(&mut second, &first, NOW), None);
            assert_eq!(json!(first), json!(second));
        }
    }

    #[test]
    fn a_refusal_that_only_the_status_remembers_is_the_same() {
        for code in [403, 422] {
            let refusal = Refusal::among(&[create(code)]);
            let mut read = status(&condition("False", "RollingOut"));
            let shown = refusal.as_ref().unwrap();
            shown.show(&mut read, &GracefulDeploymentStatus::default(), NOW);
            assert_eq!(Refusal::shown(&read), refusal);
        }
    }

    #[test]
    fn a_replica_sets_own_failure_is_no_refusal() {
        let mut read = status(&condition("False", "RollingOut"));
        let mut failure = read.conditions[0].clone();
        failure.type_ = "ReplicaFailure".into();
        failure.reason = "FailedCreate".into();
        read.conditions.push(failure);
        assert_eq!(Refusal::shown(&read), None);
    }

    #[test]
    fn a_refresh_is_shown_only_where_it_is_refused() {
        assert_eq!(Refusal::among(&[refresh(500)]), None);
        assert!(Refusal::among(&[refresh(422)]).unwrap().is_invalid);
    }

    #[test]
    fn a_conflict_is_no_refusal() {
        assert_eq!(Refusal::among(&[create(409)]), None);
    }
}
