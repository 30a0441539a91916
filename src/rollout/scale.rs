//! Making pods: as many of the wanted revision as there is room for.

use super::budget::{Budget, expected};
use super::observation::{Observation, Revision};
use super::plan::{Action, Draft, Hold};
use super::target::Target;
use super::{retire, share};

/// RollingUpdate: grows the wanted revision into the room that the budget leaves.
pub(super) fn grow(observation: &Observation, target: &Target, budget: &Budget, draft: &mut Draft) {
    let wanted = target.replicas.saturating_sub(budget.updated);
    let count = within(budget, wanted, draft);
    match observation.updated() {
        // Made even where there is no room yet: a surge of 0 frees room only once it exists.
        None => create(observation, count, draft),
        Some(revision) => grow_by(observation, target, (revision, count), draft),
    }
}

/// Recreate: the new revision gets its pods once the last old pod is gone.
pub(super) fn grow_when_alone(
    observation: &Observation,
    target: &Target,
    budget: &Budget,
    draft: &mut Draft,
) {
    let updated = observation.updated();
    let old = observation
        .pods
        .iter()
        .filter(|pod| updated.is_none_or(|own| own.uid != pod.owner));
    let count = u32::try_from(old.count()).unwrap_or(u32::MAX);
    if count > 0 {
        draft.holds.push(Hold::AwaitingTermination { count });
        return;
    }
    grow(observation, target, budget, draft);
}

/// Paused: only the number of pods is kept. With one revision that is the wanted number; in the
/// middle of a rollout the sum of the revisions stays within the bounds.
pub(super) fn keep_paused_size(
    observation: &Observation,
    target: &Target,
    budget: &mut Budget,
    draft: &mut Draft,
) {
    draft.holds.push(Hold::Paused);
    let Some(lead) = observation.lead(target) else {
        return;
    };
    share::share(observation, target, budget, draft);
    let wanted = target.replicas.saturating_sub(budget.total);
    let count = within(budget, wanted, draft);
    grow_by(observation, target, (lead, count), draft);
    let mut inhabited: Vec<_> = observation
        .revisions
        .iter()
        .filter(|revision| expected(observation, revision) > 0)
        .collect();
    // The lead takes new pods, so it is the last to lose any.
    inhabited.sort_by_key(|revision| (revision.uid == lead.uid, revision.number));
    let bound = if inhabited.len() > 1 {
        budget.maximum
    } else {
        target.replicas
    };
    let mut surplus = budget.total.saturating_sub(bound);
    for revision in inhabited {
        let part = surplus.min(expected(observation, revision));
        retire::shrink(observation, target, (revision, part), budget, draft);
        surplus -= part;
    }
}

/// As many of the wanted pods as there is room for.
fn within(budget: &Budget, wanted: u32, draft: &mut Draft) -> u32 {
    let count = wanted.min(budget.create);
    if count < wanted {
        draft.holds.push(Hold::AtMaximum {
            total: budget.total,
            maximum: budget.maximum,
        });
    }
    count
}

fn create(observation: &Observation, replicas: u32, draft: &mut Draft) {
    let name = observation.wanted.name.clone();
    if observation.wanted.name_taken {
        draft.holds.push(Hold::NameTaken { name });
        return;
    }
    let number = observation.next_number();
    draft.actions.push(Action::CreateReplicaSet {
        name,
        number,
        replicas,
    });
}

/// A ReplicaSet that still has a pod to give up does not grow: it would keep that pod instead.
fn grow_by(
    observation: &Observation,
    target: &Target,
    (revision, count): (&Revision, u32),
    draft: &mut Draft,
) {
    if count > 0 && may_grow(observation, revision, draft) {
        draft
            .actions
            .push(share::grown(revision, count, target.size()));
    }
}

pub(super) fn may_grow(observation: &Observation, revision: &Revision, draft: &Draft) -> bool {
    let is_retiring = observation.active_of(revision).any(|pod| {
        observation
            .drain_of(pod)
            .is_some_and(|drain| drain.retired.is_some())
    });
    !is_retiring && !draft.scales(revision)
}
