//! Pods that are kept beyond their deadline, whole: held until a person lets them go, or the rollout paused
//! until their work ends; and pods that wait for a condition.

use std::time::Duration;

use graceful::api::v1alpha1::DrainEnd;
use graceful::rollout::{AwaitedCondition, ConditionStatus, Overdue, Target};

use super::scenarios::running;
use super::world::{World, Writes};

const DEREGISTERED: &str = "lb.example.com/deregistered";

/// A rollout whose pods have work for longer than their drains may take.
fn overdue(on_timeout: Overdue, change: impl FnOnce(&mut Target)) -> World {
    let mut world = running(|target| {
        target.on_timeout = on_timeout;
        target.drain_timeout = Duration::from_secs(60);
        change(target);
    });
    world.pace.work = 400_000;
    world.told.clear();
    world.apply("v2");
    world
}

fn until_kept(world: &mut World, count: usize) {
    world.run_until("kept", 900, |world| {
        let drains = world.status.drains.iter();
        drains.filter(|drain| drain.is_kept()).count() == count
    });
}

fn kept(world: &World) -> Vec<String> {
    let drains = world.status.drains.iter().filter(|drain| drain.is_kept());
    drains.map(|drain| drain.uid.clone()).collect()
}

fn condition<'a>(world: &'a World, kind: &str) -> (&'a str, &'a str, &'a str) {
    let mut all = world.status.conditions.iter();
    let one = all.find(|one| one.type_ == kind).expect("a condition");
    (&one.status, &one.reason, &one.message)
}

fn told(world: &World, reason: &str) -> usize {
    let beginning = format!("{reason}: ");
    world
        .told
        .iter()
        .filter(|line| line.starts_with(&beginning))
        .count()
}

#[test]
fn overdue_pods_leave_by_default() {
    let mut world = overdue(Overdue::Leaves, |_| {});
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!(
        (record.drained, record.forced, record.connections_cut),
        (0, 4, 4)
    );
    assert_eq!(told(&world, "DrainTimedOut"), 4);
}

/// The others go on, each up to its own deadline, and nothing leaves by itself.
#[test]
fn held_pods_stay_until_a_person_lets_them_go() {
    let mut world = overdue(Overdue::IsHeld, |_| {});
    until_kept(&mut world, 4);
    world.run_for(3_600_000);
    assert_eq!((world.pods("v1").len(), world.pods("v2").len()), (4, 4));
    assert_eq!((world.serving(), told(&world, "DrainHeld")), (4, 4));
    let (status, reason, message) = condition(&world, "Stalled");
    assert_eq!((status, reason), ("True", "DrainHeld"));
    let first = kept(&world).remove(0);
    let what = format!("kubectl annotate pod {first} graceful.dev/release=true");
    assert!(message.contains(&what), "{message}");

    world.release(&first);
    world.run_until("it leaves", 60, |world| {
        world.body(&first).is_some_and(|body| body.pod.terminating)
    });
    world.run_for(600_000);
    assert_eq!(world.pods("v1").len(), 3);
    assert_eq!(world.reason("Stalled"), "DrainHeld");

    world.edit(|target| target.on_timeout = Overdue::Leaves);
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!(
        (record.drained, record.forced, record.connections_cut),
        (0, 4, 4)
    );
    assert_eq!(condition(&world, "Stalled").0, "False");
}

#[test]
fn a_held_pod_costs_no_writes() {
    let mut world = overdue(Overdue::IsHeld, |_| {});
    until_kept(&mut world, 4);
    world.run_for(60_000);
    world.writes = Writes::default();
    world.run_for(3_600_000);
    assert_eq!(world.writes.all(), 0);
}

#[test]
fn held_pods_take_part_in_max_draining() {
    let mut world = overdue(Overdue::IsHeld, |target| target.max_draining = 1);
    until_kept(&mut world, 1);
    world.run_for(900_000);
    assert_eq!((world.status.drains.len(), world.pods("v1").len()), (1, 4));
}

/// Warm pods come back, kept or not.
#[test]
fn rollback_takes_a_held_pod_back() {
    let mut world = overdue(Overdue::IsHeld, |_| {});
    until_kept(&mut world, 1);
    let first = kept(&world).remove(0);
    world.pace.work = 1000;
    world.apply("v1");
    world.settle();
    assert!(world.body(&first).is_some());
    assert_eq!((world.pods("v1").len(), world.pods("v2").len()), (4, 0));
}

/// New pods take longer than a drain may, so that one pod drains at a time.
fn one_by_one() -> World {
    let mut world = overdue(Overdue::Pauses, |_| {});
    world.pace.start = 100_000;
    world
}

#[test]
fn pause_withdraws_no_further_pod_until_the_work_ends() {
    let mut world = one_by_one();
    until_kept(&mut world, 1);
    let first = kept(&world).remove(0);
    let (status, reason, _) = condition(&world, "Progressing");
    assert_eq!((status, reason), ("Unknown", "DrainPaused"));
    assert_eq!(condition(&world, "Ready").1, "DrainPaused");
    let begun = world.now;
    world.run_until("it left", 900, |world| {
        let is_there = world.body(&first).is_some_and(|body| !body.pod.terminating);
        let going_on = world.status.drains.iter();
        let going_on = going_on.filter(|drain| drain.outcome.is_none()).count();
        assert!(going_on <= 1, "{:?}", world.status.drains);
        !is_there
    });
    assert!(world.now - begun >= 300_000, "{} ms", world.now - begun);
    assert_eq!(
        told(&world, "DrainPaused"),
        1,
        "once, however often it drains anew"
    );
    assert_eq!(told(&world, "Drained"), 1);
    world.pace.work = 1000;
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (4, 0));
}

/// Drained anew and not heard of it yet, or in the midst of it: whenever a person acts.
#[test]
fn paused_rollout_goes_on_once_a_person_lets_the_pod_go() {
    let mut world = one_by_one();
    world.pace.work = 2_000_000;
    for wait in [1, 30_000, 61_000, 200_000] {
        until_kept(&mut world, 1);
        world.run_for(wait);
        let first = kept(&world).remove(0);
        world.release(&first);
        world.run_until("it leaves", 10, |world| {
            world.body(&first).is_none_or(|body| body.pod.terminating)
        });
    }
    world.settle();
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (0, 4));
}

#[test]
fn scaling_goes_on_while_a_drain_pauses_the_rollout() {
    let mut world = one_by_one();
    world.pace.work = 2_000_000;
    until_kept(&mut world, 1);
    world.edit(|target| target.replicas = 6);
    world.run_until("six in service", 250, |world| world.serving() >= 6);
    assert_eq!(kept(&world).len(), 1);
}

fn waiting(change: impl FnOnce(&mut AwaitedCondition)) -> World {
    let mut awaited = AwaitedCondition {
        kind: DEREGISTERED.into(),
        timeout: None,
        ignores_errors: false,
    };
    change(&mut awaited);
    let mut world = running(|target| {
        target.conditions = vec![awaited];
        target.max_draining = 1;
    });
    world.told.clear();
    world.apply("v2");
    world
}

fn drained_by_its_agent(world: &mut World) -> String {
    world.run_until("its agent is done", 120, |world| {
        let mut pods = world.pods("v1").into_iter();
        pods.any(|body| body.is_finished && !body.pod.agent.receipts.is_empty())
    });
    world.status.drains[0].uid.clone()
}

/// B56.
#[test]
fn drained_pod_stays_until_its_condition_is_true() {
    let mut world = waiting(|_| {});
    let uid = drained_by_its_agent(&mut world);
    world.run_for(60_000);
    let (_, reason, message) = condition(&world, "Ready");
    assert_eq!(reason, "RollingOut");
    let what = format!("{uid} is drained but for its condition {DEREGISTERED}: nobody has set it");
    assert!(message.contains(&what), "{message}");
    world.set_condition(&uid, DEREGISTERED, ConditionStatus::False);
    world.run_for(30_000);
    assert!(condition(&world, "Ready").2.contains("it is False"));
    world.set_condition(&uid, DEREGISTERED, ConditionStatus::True);
    world.run_until("it left", 30, |world| world.body(&uid).is_none());
    assert_eq!(told(&world, "Drained"), 1);
}

/// B56: retried to its deadline, then the stated outcome.
#[test]
fn condition_that_nobody_sets_ends_with_the_deadline_and_is_named() {
    let mut world = waiting(|_| {});
    let uid = drained_by_its_agent(&mut world);
    world.run_until("it left", 400, |world| world.body(&uid).is_none());
    let expected = format!(
        "DrainTimedOut: {uid} reached its drain deadline and leaves with 0 busy connections; \
         condition {DEREGISTERED} did not hold: nobody has set it"
    );
    assert!(world.told.contains(&expected), "{:?}", world.told);
    let record = world.status.last_rollout.as_ref().expect("a record");
    assert_eq!((record.drained, record.forced), (0, 1));
}

#[test]
fn condition_is_waited_for_no_longer_than_its_own_timeout() {
    let mut world = waiting(|one| one.timeout = Some(Duration::from_secs(40)));
    let uid = drained_by_its_agent(&mut world);
    let before = world.now;
    world.run_until("it left", 100, |world| world.body(&uid).is_none());
    assert!(world.now - before < 60_000, "{} ms", world.now - before);
    assert_eq!(told(&world, "DrainTimedOut"), 1);
}

#[test]
fn unknown_condition_is_an_error_that_can_be_ignored() {
    for (ignores_errors, leaves) in [(false, false), (true, true)] {
        let mut world = waiting(|one| one.ignores_errors = ignores_errors);
        let uid = drained_by_its_agent(&mut world);
        world.set_condition(&uid, DEREGISTERED, ConditionStatus::Unknown);
        world.run_for(60_000);
        assert_eq!(world.body(&uid).is_none(), leaves);
        assert_eq!(told(&world, "ConfirmationIgnored"), usize::from(leaves));
    }
}

/// Held for want of a condition, it leaves by itself once that comes.
#[test]
fn held_pod_leaves_when_its_condition_comes_late() {
    let mut world = waiting(|_| {});
    world.edit(|target| target.on_timeout = Overdue::IsHeld);
    let uid = drained_by_its_agent(&mut world);
    until_kept(&mut world, 1);
    world.run_for(600_000);
    assert!(world.body(&uid).is_some());
    world.set_condition(&uid, DEREGISTERED, ConditionStatus::True);
    world.run_until("it left", 30, |world| world.body(&uid).is_none());
    assert_eq!((told(&world, "DrainHeld"), told(&world, "Drained")), (1, 1));
    assert_eq!(world.pods("v1").len(), 3);
    assert_eq!(
        world.drain_of(&uid).and_then(|drain| drain.outcome),
        None::<DrainEnd>
    );
}
