//! What status, holds and Events say of a single plan, and what they leave out.

use graceful::api::reason::Reason;
use graceful::api::v1alpha1::DrainWay;
use graceful::rollout::{Hold, Invalid, Observation, Plan, Size, plan};

use super::fixtures::{
    DrainSentence, PodSentence, at, drain, micro, observation, pod, revision, target,
};

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

/// What holds a pod that is drained says which, and what it waits for.
#[test]
fn hold_of_a_drained_pod_names_it() {
    let pod = || "chat-1".to_owned();
    let forgotten = Hold::MinSeconds {
        pod: pod(),
        until: at(100),
    };
    let said = forgotten.to_string();
    assert!(said.contains("forget chat-1 until"), "{said}");
    let said = Hold::StillNamed { pod: pod() }.to_string();
    assert!(
        said.contains("chat-1") && said.contains("EndpointSlice"),
        "{said}"
    );
}

/// It is noted on a ReplicaSet, and read from it.
#[test]
fn size_is_read_as_it_is_written() {
    let size = Size {
        replicas: 10,
        max_surge: 3,
    };
    assert_eq!(size.to_string(), "10+3");
    assert_eq!("10+3".parse(), Ok(size));
    assert!("ten".parse::<Size>().is_err());
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

/// A rollout that waits for its first pods, as its status says it since the beginning.
fn begun(paused: bool) -> Observation {
    let mut seen = observation(target(), at(100));
    if let Ok(target) = &mut seen.target {
        target.paused = paused;
    }
    seen.revisions = vec![revision("new", 1, 4)];
    seen.revisions[0].counted_ready = 0;
    let starting = (0..4).map(|i| pod(&format!("new-{i}")).of("new").running());
    seen.pods = starting.collect();
    seen.previous = plan(&seen).status.expect("a status");
    seen
}

fn progressing(plan: &Plan) -> &str {
    let mut all = plan.status.iter().flat_map(|status| &status.conditions);
    let one = all.find(|one| one.type_ == "Progressing");
    &one.expect("a condition").reason
}

/// Its time begins anew, though no more was written of the pause than the first status.
#[test]
fn rollout_that_is_resumed_has_all_of_its_time() {
    let mut seen = begun(true);
    seen.target = Ok(target());
    seen.now = at(5000);
    let plan = plan(&seen);
    let record = plan.status.and_then(|status| status.last_rollout);
    assert_eq!(record.expect("a record").progressed, micro(5000));
}

/// Progress is due after 600 s; a drain that goes on puts it off, to its end and no longer.
#[test]
fn rollout_is_overdue_from_its_deadline_on_unless_a_drain_goes_on() {
    let mut seen = begun(false);
    let at_second = |seen: &mut Observation, second| {
        seen.now = at(second);
        let plan = plan(seen);
        let reason = progressing(&plan).to_owned();
        (reason == "ProgressDeadlineExceeded", plan.wake)
    };
    assert_eq!(at_second(&mut seen, 699), (false, Some(at(700))));
    assert_eq!(at_second(&mut seen, 700), (true, None));
    let mut leaving = pod("old-0").of("old").ready(0);
    leaving.terminating = true;
    seen.revisions.push(revision("old", 0, 0));
    seen.pods.push(leaving);
    // Without a deadline of its own it gets 310 s.
    let drain = drain("old-0", DrainWay::Termination, 490);
    seen.previous.drains = vec![drain.retired(490)];
    assert_eq!(at_second(&mut seen, 799), (false, Some(at(800))));
    assert_eq!(at_second(&mut seen, 800), (true, None));
}
