//! Whether the pod is in service, as a table: the state that it is in and what the annotation wants
//! give the next step. Pure.

use super::podinfo::Wanted;
use crate::api::request::DrainRequest;

/// The state that the pod is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// In service.
    Service,
    /// This epoch's drain goes on.
    Draining(&'a str),
    /// This epoch's drain has ended; its receipt is written.
    Finished(&'a str),
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Begin a drain, leaving any other behind.
    Begin(Box<DrainRequest>),
    /// Go on by these settings.
    Adjust(Box<DrainRequest>),
    /// Erase the mark, then be in service.
    Cancel,
    /// Stay, and say why the annotation is not followed.
    Complain(String),
}

/// The next step.
#[must_use]
pub fn step(state: State<'_>, wanted: Wanted) -> Step {
    match (state, wanted) {
        (_, Wanted::Unclear(reason)) => Step::Complain(reason),
        (State::Service, Wanted::Service) => Step::Stay,
        (_, Wanted::Service) => Step::Cancel,
        (State::Draining(epoch), Wanted::Drain(request)) if request.epoch == epoch => {
            Step::Adjust(request)
        }
        (State::Finished(epoch), Wanted::Drain(request)) if request.epoch == epoch => Step::Stay,
        (_, Wanted::Drain(request)) => Step::Begin(request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::Drain;

    #[expect(clippy::unnecessary_box_returns, reason = "every user wants it boxed")]
    fn request(epoch: &str) -> Box<DrainRequest> {
        Box::new(DrainRequest {
            epoch: epoch.into(),
            drain: Drain::default(),
            asked: None,
        })
    }

    fn states() -> [State<'static>; 3] {
        [State::Service, State::Draining("a"), State::Finished("a")]
    }

    #[test]
    fn same_epoch_adjusts_a_drain_and_leaves_a_finished_one() {
        let want = || Wanted::Drain(request("a"));
        assert_eq!(step(State::Service, want()), Step::Begin(request("a")));
        assert_eq!(
            step(State::Draining("a"), want()),
            Step::Adjust(request("a"))
        );
        assert_eq!(step(State::Finished("a"), want()), Step::Stay);
    }

    /// T5.
    #[test]
    fn new_epoch_begins_anew_from_anywhere() {
        for state in states() {
            assert_eq!(
                step(state, Wanted::Drain(request("b"))),
                Step::Begin(request("b"))
            );
        }
    }

    #[test]
    fn removed_annotation_cancels_what_there_is_to_cancel() {
        assert_eq!(step(State::Service, Wanted::Service), Step::Stay);
        assert_eq!(step(State::Draining("a"), Wanted::Service), Step::Cancel);
        assert_eq!(step(State::Finished("a"), Wanted::Service), Step::Cancel);
    }

    #[test]
    fn garbage_changes_no_state() {
        for state in states() {
            assert_eq!(
                step(state, Wanted::Unclear("x".into())),
                Step::Complain("x".into())
            );
        }
    }
}
