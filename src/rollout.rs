//! Decides what to do next for one object: [`plan()`] turns an [`Observation`] into a [`Plan`].
//!
//! Pure and infallible: no clock, no client, no randomness, no logging. A bad spec is a state that is
//! shown as a condition, a missing object is data, and the time is an input. Decisions on pods are
//! made from what the status remembers (`Observation::drains`), never from what was decided in the
//! same round: the memory is written first and acted on when it is seen, so that a crash between any
//! two writes is just another observation.

mod advice;
mod budget;
mod claim;
mod conditions;
mod drain;
mod end;
mod give_up;
mod history;
mod hold;
mod observation;
mod outcome;
mod plan;
mod retire;
mod scale;
mod share;
mod status;
mod target;
mod victims;

pub use budget::Budget;
pub use end::{ContainerEnd, Counted, End, KINDS};
pub use observation::{
    Agent, Claims, ConditionStatus, Endpoint, NewRevision, Observation, Phase, Pod, Readiness,
    Request, Revision, Service,
};
pub use plan::{Action, Event, Hold, ObjectRef, Plan};
pub use target::{
    AwaitedCondition, Invalid, Overdue, ReplacementPolicy, Size, Strategy, Target, Withdrawal,
};
pub use victims::leave_first;

use plan::Draft;

/// What to do next, what to remember, and why nothing more is done.
///
/// The order is the policy: what is under way comes first (drains, cancellations, retirements), then
/// room is made and used (withdrawals, new pods), then the house is cleaned. Everything that takes a
/// pod out of service or makes one spends from one [`Budget`].
#[must_use]
pub fn plan(observation: &Observation) -> Plan {
    let mut draft = Draft::new(observation);
    let target = match &observation.target {
        // A drain that the status does not know is undone even then: it was never asked for.
        Err(invalid) => {
            drain::forget_strangers(observation, &mut draft);
            return status::stalled(observation, invalid, draft);
        }
        Ok(target) => target,
    };
    if observation.deleting {
        return draft.into_plan();
    }
    let mut budget = Budget::open(observation, target);
    // What is not counted on yet may be room in a moment.
    if let Some(sure) = observation
        .active()
        .filter_map(|pod| observation.unsure_until(pod))
        .min()
    {
        draft.wake_at(sure);
    }
    drain::forget_strangers(observation, &mut draft);
    drain::follow(observation, target, &mut draft);
    end::count(observation, target, &mut draft);
    if claim::claim(observation, &mut draft) {
        return status::claiming(observation, draft);
    }
    drain::cancel(observation, target, &mut budget, &mut draft);
    give_up::give_up(observation, target, &mut draft);
    match target.strategy {
        _ if target.paused => scale::keep_paused_size(observation, target, &mut budget, &mut draft),
        Strategy::RollingUpdate => {
            if !outcome::pauses(target, &draft) {
                retire::withdraw_old(observation, target, &mut budget, &mut draft);
            }
            retire::withdraw_surplus(observation, target, &mut budget, &mut draft);
            share::share(observation, target, &mut budget, &mut draft);
            scale::grow(observation, target, &budget, &mut draft);
        }
        Strategy::Recreate => {
            retire::clear_old(observation, &mut draft);
            retire::withdraw_surplus(observation, target, &mut budget, &mut draft);
            scale::grow_when_alone(observation, target, &budget, &mut draft);
        }
    }
    history::refresh(observation, target, &mut draft);
    history::prune(observation, target, &mut draft);
    status::report(observation, target, &budget, draft)
}
