//! How pods ended, summed up: each once, and nothing that is not known.

use graceful::api::farewell::Exit;
use graceful::api::reason::Reason;
use graceful::api::receipt::{MeasuredBy, Outcome, Receipt};
use graceful::api::v1alpha1::{DrainEnd, DrainRecord, DrainWay, Fit, RolloutRecord};
use graceful::rollout::{ContainerEnd, End, Observation, Plan, plan};
use proptest::prelude::*;

use super::fixtures::{DrainSentence, drain, observation, revision, target};

fn exited(code: i32) -> Vec<ContainerEnd> {
    vec![ContainerEnd {
        name: "app".into(),
        code,
        is_late: false,
    }]
}

fn receipt(pod: &str, outcome: Outcome, milliseconds: u64) -> Receipt {
    Receipt {
        epoch: format!("epoch-of-{pod}"),
        uid: pod.into(),
        outcome,
        milliseconds,
        connections_at_start: 9,
        connections_at_end: 5,
        busy: u32::from(outcome == Outcome::TimedOut) * 2,
        last: Some("connections".into()),
        why: None,
        measured_by: MeasuredBy::SockDiag,
        late_arrivals: 0,
    }
}

fn end(pod: &str, code: i32) -> End {
    End {
        pod: pod.into(),
        uid: pod.into(),
        has_begun: true,
        containers: exited(code),
        exit: Some(Exit {
            shutdown: Some(1500),
            busy: 3,
            open: 4,
            pools: 2,
            silent: 0,
        }),
        receipts: vec![receipt(pod, Outcome::Drained, 8000)],
        ..End::default()
    }
}

fn left(pod: &str) -> DrainRecord {
    drain(pod, DrainWay::Readiness, 0)
        .withdrawn(1)
        .ended(DrainEnd::Drained)
        .retired(9)
}

/// An object at rest but for what is said of its pods that left.
fn seen(drains: Vec<DrainRecord>, ends: Vec<End>) -> Observation {
    let mut seen = observation(target(), super::fixtures::at(100));
    seen.revisions = vec![revision("new", 1, 0)];
    seen.previous.drains = drains;
    seen.ends = ends;
    seen
}

fn record(plan: &Plan) -> RolloutRecord {
    let status = plan.status.as_ref().unwrap();
    status.last_rollout.clone().unwrap()
}

fn reasons(plan: &Plan) -> Vec<Reason> {
    let ours = [Reason::PodKilled, Reason::PodFailed, Reason::PoolLeftOpen];
    let all = plan.events.iter().map(|event| event.reason);
    all.filter(|reason| ours.contains(reason)).collect()
}

/// The memory of its drain goes in the same write.
#[test]
fn end_is_counted_by_the_write_that_forgets_the_drain() {
    let mut seen = seen(vec![left("a")], vec![end("a", 0)]);
    let first = plan(&seen);
    let status = first.status.clone().unwrap();
    assert_eq!(status.drains, []);
    assert_eq!(record(&first).ended, 1);
    assert_eq!(record(&first).exit_codes["0"], 1);
    assert_eq!(record(&first).longest_shutdown_seconds, 2);
    assert_eq!(
        (&status.measured.drains, &status.measured.shutdowns),
        (&vec![8], &vec![2])
    );
    assert_eq!(first.counted[0].uid, "a");
    seen.previous = status;
    seen.ends.clear();
    let next = plan(&seen);
    assert_eq!(record(&next), record(&first));
    assert_eq!(next.counted, []);
}

#[test]
fn pod_that_is_gone_unseen_is_counted_as_such() {
    let plan = plan(&seen(vec![left("a")], Vec::new()));
    assert_eq!((record(&plan).ended, record(&plan).unseen), (0, 1));
    let forced = End {
        containers: Vec::new(),
        exit: None,
        ..end("a", 0)
    };
    let plan = self::plan(&seen(vec![left("a")], vec![forced]));
    assert_eq!((record(&plan).ended, record(&plan).unseen), (0, 1));
}

#[test]
fn pod_that_never_began_is_not_counted() {
    let pending = End {
        has_begun: false,
        containers: Vec::new(),
        ..End::default()
    };
    let plan = plan(&seen(Vec::new(), vec![pending]));
    assert_eq!((record(&plan).ended, record(&plan).unseen), (0, 0));
    assert_eq!(plan.counted.len(), 1, "and is not looked at again");
}

/// Neither what the same pod said of an earlier drain, nor what is said under another pod's name.
#[test]
fn receipt_of_another_drain_or_pod_counts_for_nothing() {
    let own = receipt("a", Outcome::TimedOut, 8000);
    let earlier = Receipt {
        epoch: "earlier".into(),
        ..own.clone()
    };
    let foreign = Receipt {
        uid: "b".into(),
        ..own
    };
    for other in [earlier, foreign] {
        let end = End {
            receipts: vec![other],
            ..end("a", 0)
        };
        let plan = plan(&seen(vec![left("a")], vec![end]));
        assert_eq!(plan.counted[0].connections_cut, 0);
        assert_eq!(plan.counted[0].drain, None);
    }
}

#[test]
fn drain_is_counted_by_the_kind_of_what_came_last() {
    let counted = |last: Option<&str>| {
        let receipt = Receipt {
            last: last.map(Into::into),
            ..receipt("a", Outcome::Drained, 8000)
        };
        let end = End {
            receipts: vec![receipt],
            ..end("a", 0)
        };
        plan(&seen(vec![left("a")], vec![end])).counted[0].drain
    };
    let metric = counted(Some("metric jobs at port 8080"));
    assert_eq!(metric, Some((8000, "metric")));
    assert_eq!(counted(Some("magic")), Some((8000, "other")));
    assert_eq!(counted(None), Some((8000, "none")));
}

/// What no clock can have measured is as much as a timeout may be.
#[test]
fn measured_drain_is_a_week_at_most() {
    let end = End {
        receipts: vec![receipt("a", Outcome::Drained, u64::MAX)],
        ..end("a", 0)
    };
    let plan = plan(&seen(vec![left("a")], vec![end]));
    let measured = &plan.status.as_ref().unwrap().measured;
    assert_eq!(measured.drains, [7 * 24 * 3600]);
}

/// No receipt names a condition, and none knows how long it was waited for.
#[test]
fn drain_that_waited_for_a_condition_is_counted_by_it_and_as_long_as_it_took() {
    let waited = DrainRecord {
        condition: Some("lb.example.com/gone".into()),
        ..left("a").retired(61)
    };
    let plan = plan(&seen(vec![waited], vec![end("a", 0)]));
    assert_eq!(plan.counted[0].drain, Some((60_000, "condition")));
    let measured = &plan.status.as_ref().unwrap().measured;
    assert_eq!(measured.drains, [60], "advice is by the whole of it");
}

/// What ends an orderly exit looks the same as what ends a forgotten pool: only a kill is proof.
#[test]
fn open_connections_count_where_the_app_was_killed_alone() {
    let orderly = plan(&seen(vec![left("a")], vec![end("a", 0)]));
    assert_eq!(
        (
            record(&orderly).pools_left_open,
            record(&orderly).connections_cut
        ),
        (0, 0)
    );
    assert_eq!(reasons(&orderly), []);
    let killed = plan(&seen(vec![left("a")], vec![end("a", 137)]));
    assert_eq!(
        (
            record(&killed).pools_left_open,
            record(&killed).connections_cut
        ),
        (2, 3)
    );
    assert_eq!(record(&killed).forced_kills, 1);
    assert_eq!(reasons(&killed), [Reason::PodKilled]);
    assert_eq!(killed.status.unwrap().measured.shutdowns, [-2]);
}

#[test]
fn pool_without_a_goodbye_counts_however_the_app_ended() {
    let mut silent = end("a", 0);
    silent.exit.as_mut().unwrap().silent = 1;
    let plan = plan(&seen(vec![left("a")], vec![silent]));
    assert_eq!(record(&plan).pools_left_open, 1);
    assert_eq!(reasons(&plan), [Reason::PoolLeftOpen]);
}

#[test]
fn exit_code_is_told_unless_it_says_nothing() {
    let told = |code| reasons(&plan(&seen(Vec::new(), vec![end("a", code)])));
    assert_eq!(told(3), [Reason::PodFailed]);
    // A JVM that ended in order, or an app that does not handle SIGTERM.
    assert_eq!(told(143), []);
}

/// What the drain left with work was counted when it ended.
#[test]
fn connections_that_a_drain_left_are_not_cut_twice() {
    let overdue = left("a").ended(DrainEnd::TimedOut);
    let mut killed = end("a", 137);
    killed.receipts = vec![receipt("a", Outcome::TimedOut, 300_000)];
    let plan = plan(&seen(vec![overdue], vec![killed]));
    assert_eq!(record(&plan).connections_cut, 1);
    assert_eq!(plan.counted[0].connections_cut, 3);
    assert_eq!(plan.status.unwrap().measured.drains, [-300]);
}

/// Nobody says how long it took: as long as it was given, where it ended with its grace period.
#[test]
fn app_that_ended_badly_with_its_grace_period_was_killed_and_took_all_of_its_time() {
    for (code, is_late, killed, shutdowns) in [
        (1, true, 1, &[-30][..]),
        (0, true, 0, &[]),
        (1, false, 0, &[]),
        (137, false, 1, &[]),
    ] {
        let mut one = end("a", code);
        one.containers[0].is_late = is_late;
        one.exit = None;
        let plan = plan(&seen(vec![left("a")], vec![one]));
        assert_eq!(record(&plan).forced_kills, killed, "{code} {is_late}");
        let measured = plan.status.expect("a status").measured;
        assert_eq!(measured.shutdowns, shutdowns, "{code} {is_late}");
    }
}

#[test]
fn advice_is_told_when_it_changes() {
    let names = ["a", "b", "c", "d", "e"];
    let mut seen = seen(
        names.map(left).to_vec(),
        names.map(|name| end(name, 0)).to_vec(),
    );
    let advice = |plan: &Plan| {
        let events = plan.events.iter();
        events
            .filter(|it| it.reason == Reason::AdviceChanged)
            .count()
    };
    let first = plan(&seen);
    assert_eq!(advice(&first), 2);
    let status = first.status.unwrap();
    let drain = status.advice.drain.clone().unwrap();
    assert_eq!((drain.timeout_seconds, drain.fit), (15, Fit::Fits));
    seen.previous = status.clone();
    seen.ends.clear();
    let next = plan(&seen);
    assert_eq!(advice(&next), 0);
    assert_eq!(next.status.unwrap().advice, status.advice);
}

#[test]
fn remark_on_the_template_is_told_once_and_stays_in_the_status() {
    let mut seen = seen(Vec::new(), Vec::new());
    seen.wanted.remarks = vec!["nothing tells when a pod is ready".into()];
    let told = |plan: &Plan| {
        let all = plan.events.iter();
        all.filter(|it| it.reason == Reason::AdviceChanged).count()
    };
    let first = plan(&seen);
    assert_eq!(told(&first), 1);
    let status = first.status.unwrap();
    assert_eq!(status.advice.template, seen.wanted.remarks);
    seen.previous = status;
    assert_eq!(told(&plan(&seen)), 0);
    seen.wanted.remarks.clear();
    let mended = plan(&seen);
    assert_eq!(told(&mended), 0);
    assert!(mended.status.unwrap().advice.is_empty());
}

proptest! {
    /// Whatever ends, and whoever wrote the agent's words: the sums are those of the pods, and what is
    /// remembered is bounded.
    #[test]
    fn every_end_is_counted_once_and_memory_is_bounded(
        codes in proptest::collection::vec(prop_oneof![Just(0), Just(137), 0..256_i32], 0..150),
        words in any::<[u32; 4]>(),
        took in any::<u64>(),
    ) {
        let ends: Vec<End> = codes.iter().enumerate().map(|(at, code)| {
            let mut end = end(&format!("pod-{at}"), *code);
            let [busy, open, pools, silent] = words;
            end.exit = Some(Exit { shutdown: Some(took), busy, open, pools, silent });
            end.receipts[0].milliseconds = took;
            end
        }).collect();
        let drains = ends.iter().map(|end| left(&end.uid)).collect();
        let plan = plan(&seen(drains, ends));
        let record = record(&plan);
        let all = i32::try_from(codes.len()).unwrap();
        prop_assert_eq!(record.ended, all);
        prop_assert_eq!(record.unseen, 0);
        prop_assert_eq!(record.exit_codes.values().sum::<i32>(), all);
        let killed = codes.iter().filter(|code| **code == 137).count();
        prop_assert_eq!(record.forced_kills, i32::try_from(killed).unwrap());
        let measured = plan.status.unwrap().measured;
        prop_assert!(measured.drains.len() <= 100 && measured.shutdowns.len() <= 100);
    }
}
