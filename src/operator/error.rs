//! What can go wrong between a plan and the API server, by what we were doing; and what follows from
//! it, decided by type and never by text.

use std::time::Duration;

use kube::core::Status;

/// Why a call brought no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API server said no.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    /// The API server could not be reached, or its answer could not be read.
    #[error(transparent)]
    Unreachable(Box<kube::Error>),
    /// It was not made: another operator may lead by now.
    #[error("this operator leads no longer")]
    Deposed,
    /// No answer in time.
    #[error("no answer from the API server within {} s", .0.as_secs())]
    NoAnswer(Duration),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Unreachable(Box::new(other)),
        }
    }
}

/// Waits for an answer, but no longer than that.
pub(super) async fn answered<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::NoAnswer(limit)),
    }
}

impl Failure {
    /// What the API server answered with.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(status) => Some(status.code),
            _ => None,
        }
    }

    /// The object is not as it was seen, or not there any more.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self.code(), Some(404 | 409)) || self.is_of_another()
    }

    /// Another object has the name by now: a merge patch with the UID of the one that was seen is taken
    /// for a change of what cannot be changed, and not for a conflict.
    fn is_of_another(&self) -> bool {
        let Self::Refused(status) = self else {
            return false;
        };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 422 && causes.any(|cause| cause.field == "metadata.uid")
    }
}

/// What went wrong, by what we were doing. The metric's label is the variant's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("creating ReplicaSet {name}")]
    CreateReplicaSet { name: String, source: Failure },
    #[error("recording the revision of ReplicaSet {name}")]
    RecordRevision { name: String, source: Failure },
    #[error("refreshing ReplicaSet {name}")]
    RefreshReplicaSet { name: String, source: Failure },
    #[error("configuring ReplicaSet {name}")]
    ConfigureReplicaSet { name: String, source: Failure },
    #[error("adopting ReplicaSet {name}")]
    AdoptReplicaSet { name: String, source: Failure },
    #[error("releasing ReplicaSet {name}")]
    ReleaseReplicaSet { name: String, source: Failure },
    #[error("scaling ReplicaSet {name}")]
    ScaleReplicaSet { name: String, source: Failure },
    #[error("deleting ReplicaSet {name}")]
    DeleteReplicaSet { name: String, source: Failure },
    #[error("requesting the drain of pod {name}")]
    RequestDrain { name: String, source: Failure },
    #[error("cancelling the drain of pod {name}")]
    CancelDrain { name: String, source: Failure },
    #[error("setting the deletion cost of pod {name}")]
    SetDeletionCost { name: String, source: Failure },
    #[error("configuring pod {name}")]
    ConfigurePod { name: String, source: Failure },
    #[error("deleting pod {name}")]
    DeletePod { name: String, source: Failure },
    #[error("writing the status of {name}")]
    WriteStatus { name: String, source: Failure },
    #[error("publishing an Event on {name}")]
    PublishEvent { name: String, source: Failure },
    #[error("reconciling {name} panicked: {message}")]
    Panicked { name: String, message: String },
}

/// The name of every variant: the values of the metric's label, each counted from 0 on.
pub(super) const VARIANTS: [&str; 16] = [
    "CreateReplicaSet",
    "RecordRevision",
    "RefreshReplicaSet",
    "ConfigureReplicaSet",
    "AdoptReplicaSet",
    "ReleaseReplicaSet",
    "ScaleReplicaSet",
    "DeleteReplicaSet",
    "RequestDrain",
    "CancelDrain",
    "SetDeletionCost",
    "ConfigurePod",
    "DeletePod",
    "WriteStatus",
    "PublishEvent",
    "Panicked",
];

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The world moved on while we acted: expected, look again.
    LookAgain,
    /// Try again later; not before the time that the API server asked for.
    Retry(Option<Duration>),
}

impl Error {
    /// What follows from it.
    pub(super) fn class(&self) -> Class {
        match self.failure() {
            Some(failure) if failure.is_outdated() => Class::LookAgain,
            Some(Failure::Refused(status)) => {
                let seconds = status
                    .details
                    .as_ref()
                    .map_or(0, |details| details.retry_after_seconds);
                Class::Retry((seconds > 0).then(|| Duration::from_secs(seconds.into())))
            }
            _ => Class::Retry(None),
        }
    }

    /// The world moved on while we acted.
    pub(super) fn is_outdated(&self) -> bool {
        self.failure().is_some_and(Failure::is_outdated)
    }

    /// The API server finds the object itself wrong: no wait makes it right.
    pub(super) fn is_invalid(&self) -> bool {
        self.failure().and_then(Failure::code) == Some(422)
    }

    /// What the API server made of the call, where it was one.
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::CreateReplicaSet { source, .. }
            | Self::RecordRevision { source, .. }
            | Self::RefreshReplicaSet { source, .. }
            | Self::ConfigureReplicaSet { source, .. }
            | Self::AdoptReplicaSet { source, .. }
            | Self::ReleaseReplicaSet { source, .. }
            | Self::ScaleReplicaSet { source, .. }
            | Self::DeleteReplicaSet { source, .. }
            | Self::RequestDrain { source, .. }
            | Self::CancelDrain { source, .. }
            | Self::SetDeletionCost { source, .. }
            | Self::ConfigurePod { source, .. }
            | Self::DeletePod { source, .. }
            | Self::WriteStatus { source, .. }
            | Self::PublishEvent { source, .. } => Some(source),
            Self::Panicked { .. } => None,
        }
    }

    /// The variant's name.
    pub(super) fn variant(&self) -> &'static str {
        match self {
            Self::CreateReplicaSet { .. } => "CreateReplicaSet",
            Self::RecordRevision { .. } => "RecordRevision",
            Self::RefreshReplicaSet { .. } => "RefreshReplicaSet",
            Self::ConfigureReplicaSet { .. } => "ConfigureReplicaSet",
            Self::AdoptReplicaSet { .. } => "AdoptReplicaSet",
            Self::ReleaseReplicaSet { .. } => "ReleaseReplicaSet",
            Self::ScaleReplicaSet { .. } => "ScaleReplicaSet",
            Self::DeleteReplicaSet { .. } => "DeleteReplicaSet",
            Self::RequestDrain { .. } => "RequestDrain",
            Self::CancelDrain { .. } => "CancelDrain",
            Self::SetDeletionCost { .. } => "SetDeletionCost",
            Self::ConfigurePod { .. } => "ConfigurePod",
            Self::DeletePod { .. } => "DeletePod",
            Self::WriteStatus { .. } => "WriteStatus",
            Self::PublishEvent { .. } => "PublishEvent",
            Self::Panicked { .. } => "Panicked",
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, retry_after_seconds: u32) -> Error {
        let status = serde_json::json!({
            "status": "Failure", "code": code, "message": "no", "reason": "",
            "details": {"retryAfterSeconds": retry_after_seconds},
        });
        let status: Status = serde_json::from_value(status).unwrap();
        Error::ScaleReplicaSet {
            name: "a".into(),
            source: Failure::Refused(Box::new(status)),
        }
    }

    /// R29.
    #[test]
    fn a_conflict_is_a_reason_to_look_again() {
        assert_eq!(refused(409, 0).class(), Class::LookAgain);
        assert_eq!(refused(404, 0).class(), Class::LookAgain);
    }

    /// R40.
    #[test]
    fn a_patch_of_an_object_that_another_took_the_place_of_is_a_conflict() {
        let status = serde_json::json!({
            "status": "Failure", "code": 422, "message": "field is immutable", "reason": "Invalid",
            "details": {"causes": [{"field": "metadata.uid", "message": "", "reason": "FieldValueInvalid"}]},
        });
        let error = Error::CancelDrain {
            name: "a".into(),
            source: Failure::Refused(Box::new(serde_json::from_value(status).unwrap())),
        };
        assert_eq!(error.class(), Class::LookAgain);
        assert_eq!(refused(422, 0).class(), Class::Retry(None));
    }

    #[test]
    fn the_time_that_the_server_asks_for_is_honoured() {
        let seven = Some(Duration::from_secs(7));
        assert_eq!(refused(429, 7).class(), Class::Retry(seven));
        assert_eq!(refused(500, 0).class(), Class::Retry(None));
    }

    #[test]
    fn every_variant_is_in_the_list() {
        let source = include_str!("error.rs");
        let arms = source.lines().filter_map(|line| {
            let (_, name) = line.split_once("{ .. } => \"")?;
            name.strip_suffix("\",")
        });
        assert_eq!(arms.collect::<Vec<_>>(), VARIANTS);
    }

    #[test]
    fn an_error_says_its_cause_once() {
        assert_eq!(
            in_words(&refused(500, 0)),
            "scaling ReplicaSet a: no".to_owned()
        );
    }
}
