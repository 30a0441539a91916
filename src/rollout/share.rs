//! Another size in the middle of a rollout: each revision grows by its share, as Deployment does it
//! (`scale` in deployment/sync.go), so that a rollout that is blocked does not put all of the new size
//! on a revision that may not work. What each ReplicaSet was sized for is noted on it, and that alone
//! tells another size from the room that a rollout makes for itself; so a crash in between is made up
//! for, and no share is given twice.

use super::budget::{Budget, expected};
use super::observation::{Observation, Revision};
use super::plan::{Action, Draft};
use super::scale::may_grow;
use super::target::{Size, Target};

/// Gives the revisions their shares of a greater size, and notes the size on those that have none to get.
/// One revision alone needs no share: it gets what is wanted.
pub(super) fn share(
    observation: &Observation,
    target: &Target,
    budget: &mut Budget,
    draft: &mut Draft,
) {
    let mut inhabited: Vec<_> = observation
        .revisions
        .iter()
        .map(|revision| (expected(observation, revision), revision))
        .filter(|(count, _)| *count > 0)
        .collect();
    // Where there are too many, what they were sized for says why, until it is no more so.
    if inhabited.len() < 2 || budget.total > budget.maximum {
        return;
    }
    // The largest first: where there is not room for all of the shares, the last one gets less.
    inhabited.sort_by_key(|(count, revision)| std::cmp::Reverse((*count, revision.number)));
    let updated = observation.updated().map(|revision| &revision.uid);
    for (count, revision) in inhabited {
        // Where nothing is noted nobody knows what its share is of; the next growth notes it.
        let Some(before) = revision.sized_for.filter(|size| *size != target.size()) else {
            continue;
        };
        let more = growth(count, before, target.size()).min(budget.create);
        if may_grow(observation, revision, draft) {
            draft.actions.push(grown(revision, more, target.size()));
            budget.make(more, updated == Some(&revision.uid));
        }
    }
}

/// The ReplicaSet grows, and what it is sized for is noted.
pub(super) fn grown(revision: &Revision, more: u32, size: Size) -> Action {
    Action::ScaleReplicaSet {
        replica_set: revision.into(),
        from: revision.replicas,
        to: revision.replicas.saturating_add(more),
        sized_for: Some(size),
    }
}

/// What a revision that is asked for fewer pods is sized for from then on. It has no share of a greater
/// size left to get: what it gave up would be made again, only to be given up again.
pub(super) fn forfeited(observation: &Observation, revision: &Revision) -> Option<Size> {
    let size = observation.target.as_ref().ok()?.size();
    let was = revision.sized_for?;
    (was.replicas < size.replicas).then_some(size)
}

/// By how many pods a revision of so many grows. 8 of 13 become 20 of 33, and 5 become 13.
fn growth(count: u32, before: Size, now: Size) -> u32 {
    if before.replicas >= now.replicas {
        return 0;
    }
    let (most, was) = (u128::from(now.most()), u128::from(before.most()).max(1));
    // Rounded to the nearest.
    let grown = (2 * u128::from(count) * most + was) / (2 * was);
    u32::try_from(grown)
        .unwrap_or(u32::MAX)
        .saturating_sub(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(replicas: u32, max_surge: u32) -> Size {
        Size {
            replicas,
            max_surge,
        }
    }

    /// B08.
    #[test]
    fn shares_are_those_of_deployment() {
        let before = size(10, 3);
        assert_eq!(growth(8, before, size(30, 3)), 12);
        assert_eq!(growth(5, before, size(30, 3)), 8);
    }

    #[test]
    fn a_revision_that_was_sized_for_as_much_does_not_grow() {
        assert_eq!(growth(8, size(10, 3), size(10, 5)), 0);
        assert_eq!(growth(8, size(10, 3), size(5, 3)), 0);
    }

    /// B62.
    #[test]
    fn the_largest_sizes_overflow_nothing() {
        let most = size(u32::MAX, u32::MAX);
        assert_eq!(growth(u32::MAX, size(0, 0), most), 0);
    }
}
