//! Watches that tell late, not everything, or nothing: what is decided from them comes to the same end,
//! and never from a view that is older than what the operator itself wrote.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::through::{Through, run};
use super::{WATCHED, expect_lag, rollout_in_peace, wait};
use crate::proxy::Flow;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::{Now, image};
use crate::world::{Operator, WEB};

/// The image that follows a rollout in peace.
const NEXT: &str = "web:5";

/// Longer than a write of counts is put off (`COUNTERS`).
const PUT_OFF: Duration = Duration::from_secs(6);

/// For so long the operator waits for a watch to show its own write (`EXPIRY`).
const EXPIRY: Duration = Duration::from_secs(5);

/// What two clocks may differ by.
const SLACK: Duration = Duration::from_millis(100);

/// Within that, calls of the round that wrote may still be under way.
const ROUND: Duration = Duration::from_millis(1500);

/// R05, R39: each kind of events late, gathered, or lost with a 410 after them.
#[test]
fn rollout_ends_the_same_however_a_watch_tells_of_it() {
    let flows = [
        (Flow::Delay(Duration::from_millis(400)), Duration::MAX),
        (Flow::Coalesce(Duration::from_millis(1500)), Duration::MAX),
        (Flow::Hold, Duration::from_secs(3)),
        (Flow::Lose, Duration::from_secs(3)),
        // Longer than the operator waits for it.
        (Flow::Hold, EXPIRY + Duration::from_secs(3)),
    ];
    thread::scope(|scope| {
        for kind in WATCHED {
            scope.spawn(move || {
                run(&format!("watch-{kind}"), async |through| {
                    let other = rollout_in_peace(&through).await;
                    expect_lag(&through, 12);
                    for (number, (flow, time)) in flows.into_iter().enumerate() {
                        let mark = through.mark().await;
                        through.flow(kind, flow);
                        through
                            .world
                            .set_image(&format!("{WEB}:{}", 5 + number))
                            .await;
                        // However far it comes meanwhile.
                        let _ = tokio::time::timeout(time, through.settle()).await;
                        through.flow(kind, Flow::Pass);
                        through.settle().await;
                        let what = format!("{kind} {flow:?} for {time:?}");
                        through.ends_like(&mark, &other, &what).await;
                    }
                });
            });
        }
    });
}

/// R04: after a write, nothing is planned until the watch shows it, or until that has taken too long.
///
/// Each watch is held at a moment when it has shown all that the operator wrote.
#[test]
fn nothing_is_planned_from_a_view_older_than_our_last_write() {
    thread::scope(|scope| {
        for kind in ["gracefuldeployments", "replicasets", "pods"] {
            scope.spawn(move || {
                run(&format!("behind-{kind}"), async |through| {
                    let other = rollout_in_peace(&through).await;
                    expect_lag(&through, 60);
                    let mark = through.mark().await;
                    let held = match kind {
                        "gracefuldeployments" => hold_in_a_rollout(&through, kind).await,
                        _ => hold(&through, kind),
                    };
                    match kind {
                        // The rollout goes on.
                        "gracefuldeployments" => through.world.order(NEXT, Manner::default()),
                        "replicasets" => drop(through.world.set_image(NEXT).await),
                        _ => through.world.scale(1).await,
                    }
                    assert_silence(&through, kind, held).await;
                    through.flow(kind, Flow::Pass);
                    through.settle().await;
                    if kind != "pods" {
                        through.ends_like(&mark, &other, kind).await;
                    }
                });
            });
        }
    });
}

fn hold(through: &Through, kind: &'static str) -> Instant {
    through.flow(kind, Flow::Hold);
    Instant::now()
}

/// Begins a rollout to a pod that is not ready yet, and holds the watch when nothing is written any more.
async fn hold_in_a_rollout(through: &Through, kind: &'static str) -> Instant {
    let Through { world, .. } = through;
    world.order(NEXT, Manner::starting(Start::NeverReady));
    world.set_image(NEXT).await;
    let runs = |pod: &Value| image(pod) == NEXT && pod["status"]["phase"] == "Running";
    let is_waiting = |now: &Now| now.pods.values().any(|pod| runs(pod));
    world.until("a new pod is not ready", is_waiting).await;
    let last = || through.proxy.calls().last().map(|(at, _)| at.elapsed());
    wait(|| last().is_some_and(|ago| ago > PUT_OFF)).await;
    hold(through, kind)
}

/// Nothing is written after the first write of a kind whose watch is held, until its patience has an
/// end; that it has one, the operator says.
async fn assert_silence(through: &Through, kind: &str, held: Instant) {
    let first = |least: Instant, of: &dyn Fn(&str) -> bool| {
        let mut calls = through.proxy.calls().into_iter();
        calls.find(|(at, call)| *at > least && of(&call.resource))
    };
    let is_of_kind = |resource: &str| resource.split('/').next() == Some(kind);
    wait(|| first(held, &is_of_kind).is_some()).await;
    let (at, call) = first(held, &is_of_kind).expect("a write");
    wait(|| Operator::log(&through.world.namespace).contains("did not show our last write")).await;
    let next = first(at + ROUND, &|resource| resource != "events");
    let silent = next.as_ref().map_or(at.elapsed(), |(then, _)| *then - at);
    assert!(
        silent + SLACK >= EXPIRY,
        "{kind}: {next:?} only {silent:?} after {call:?}"
    );
}
