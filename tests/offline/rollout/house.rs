//! What the house is kept by: ReplicaSets and pods that are brought up to date, and ReplicaSets that go.

use graceful::rollout::{Action, Observation, Revision, plan};

use super::fixtures::{PodSentence, at, observation, pod, revision, target};

/// A complete revision beside an older one, which is empty.
fn at_rest() -> Observation {
    let mut seen = observation(target(), at(100));
    seen.revisions = vec![revision("old", 1, 0), revision("new", 2, 4)];
    let pods = (0..4).map(|i| pod(&format!("new-{i}")).of("new").ready(0));
    seen.pods = pods.collect();
    seen
}

/// The same where the older ReplicaSet has a pod yet.
fn in_the_middle() -> Observation {
    let mut seen = at_rest();
    seen.revisions[0] = revision("old", 1, 1);
    seen.pods.push(pod("old-0").of("old").ready(0));
    seen
}

/// The ReplicaSets that are written, and how.
fn written(seen: &Observation) -> Vec<(&'static str, String)> {
    let writes = plan(seen)
        .actions
        .into_iter()
        .filter_map(|action| match action {
            Action::RefreshReplicaSet {
                replica_set,
                number,
            } => Some(("refresh", format!("{} as {number}", replica_set.name))),
            Action::RecordRevision { replica_set, .. } => Some(("record", replica_set.name)),
            Action::ConfigureReplicaSet { replica_set } => Some(("configure", replica_set.name)),
            Action::DeleteReplicaSet { replica_set } => Some(("delete", replica_set.name)),
            _ => None,
        });
    writes.collect()
}

#[test]
fn wanted_replica_set_is_refreshed_where_anything_of_it_is_older() {
    let changes: [fn(&mut Revision); 3] = [
        |own| own.injected = "injected-0".into(),
        |own| own.config = "settings-0".into(),
        |own| own.is_current = false,
    ];
    assert_eq!(written(&at_rest()), []);
    for change in changes {
        let mut seen = at_rest();
        change(&mut seen.revisions[1]);
        assert_eq!(written(&seen), [("refresh", "new as 2".into())]);
    }
}

#[test]
fn revision_that_is_wanted_again_becomes_the_newest() {
    let mut seen = at_rest();
    seen.revisions[0].number = 7;
    assert_eq!(written(&seen), [("refresh", "new as 8".into())]);
}

#[test]
fn template_is_recorded_once_its_replica_set_is_up_to_date() {
    let mut seen = at_rest();
    seen.revisions[1].is_recorded = false;
    assert_eq!(written(&seen), [("record", "new".into())]);
    seen.revisions[1].is_current = false;
    assert_eq!(written(&seen), [("refresh", "new as 2".into())]);
}

/// One that makes no pods needs no settings for them, and one that was adopted as it is carries none.
#[test]
fn settings_go_to_old_replica_sets_that_make_pods() {
    let mut seen = in_the_middle();
    assert_eq!(written(&seen), []);
    seen.revisions[0].config = "settings-0".into();
    // It is not scaled in the same round.
    if let Ok(target) = &mut seen.target {
        target.max_draining = 0;
    }
    assert_eq!(written(&seen), [("configure", "old".into())]);
    seen.revisions[0].injected.clear();
    assert_eq!(written(&seen), []);
    let mut empty = at_rest();
    empty.revisions[0].config = "settings-0".into();
    assert_eq!(written(&empty), []);
}

/// Not while one has pods, or may have some that are not seen yet, nor while nobody knows what is old.
#[test]
fn history_is_pruned_where_the_rollout_is_over() {
    let pruned = |change: fn(&mut Observation)| {
        let mut seen = at_rest();
        if let Ok(target) = &mut seen.target {
            target.history_limit = 0;
        }
        change(&mut seen);
        written(&seen)
    };
    assert_eq!(pruned(|_| {}), [("delete", "old".into())]);
    let changes: [fn(&mut Observation); 6] = [
        |seen| {
            if let Ok(target) = &mut seen.target {
                target.history_limit = 1;
            }
        },
        |seen| {
            if let Ok(target) = &mut seen.target {
                target.paused = true;
            }
        },
        |seen| seen.revisions[0].replicas = 1,
        |seen| seen.revisions[0].counted = 1,
        |seen| seen.revisions[0].settled = false,
        |seen| {
            let mut leaving = pod("old-0").of("old").ready(0);
            leaving.terminating = true;
            seen.pods.push(leaving);
        },
    ];
    for change in changes {
        assert_eq!(pruned(change), []);
    }
}
