//! What status, holds and Events say of a single plan, and what they leave out.

use graceful::api::reason::Reason;
use graceful::rollout::{Hold, Invalid, plan};

use super::fixtures::{PodSentence, at, observation, pod, revision, target};

/// What waits for a pod that is on its way needs no second reason.
#[test]
fn replica_set_that_is_behind_is_named_where_nothing_else_holds() {
    let mut seen = observation(target(), at(100));
    seen.revisions = vec![revision("old", 1, 4), revision("new", 2, 1)];
    let old = (0..4).map(|i| pod(&format!("old-{i}")).of("old").ready(0));
    seen.pods = old.collect();
    seen.pods.push(pod("new-0").of("new").running());
    seen.revisions[0].settled = false;
    let holds = plan(&seen).holds;
    let behind = |hold: &Hold| matches!(hold, Hold::ReplicaSetBehind { .. });
    assert!(!holds.is_empty() && !holds.iter().any(behind), "{holds:?}");
}

#[test]
fn invalid_spec_is_told_again_for_another_reason_alone() {
    let told = |seen: &_| {
        let events = plan(seen).events;
        events
            .iter()
            .filter(|it| it.reason == Reason::InvalidSpec)
            .count()
    };
    let mut seen = observation(target(), at(100));
    seen.target = Err(Invalid(vec!["spec.x: write y".into()]));
    assert_eq!(told(&seen), 1);
    seen.previous = plan(&seen).status.expect("a status");
    assert_eq!(told(&seen), 0);
    let mut other = seen.clone();
    other.target = Err(Invalid(vec!["spec.z: write y".into()]));
    assert_eq!(told(&other), 1);
    // By this condition alone, whatever others say.
    seen.previous
        .conditions
        .retain(|known| known.type_ != "Stalled");
    assert_eq!(told(&seen), 1);
}
