//! Strategy Recreate, and pods that take their time to end.

use std::time::Duration;

use serde_json::{Value, json};

use super::bounds::bounds;
use super::{WAIT, scenarios};
use crate::standin::orders::{Manner, Pace};
use crate::world::trail::{image, is_terminating};
use crate::world::{Arm, Graceful, Now, World};

scenarios! { both:
    recreate_never_runs_two_revisions_side_by_side,
    recreate_counts_terminating_pods_and_waits_for_them,
    rolling_update_counts_terminating_pods_and_does_not_wait_for_them;
    graceful:
    completion_policy_lets_leaving_pods_use_up_the_surge,
    recreate_waits_under_either_policy,
}

fn recreate() -> Value {
    json!({"strategy": {"type": "Recreate"}})
}

/// Pods that live on after SIGTERM until they are told otherwise.
fn clinging() -> Manner {
    Manner {
        exit: Pace::Never,
        ..Manner::default()
    }
}

/// What runs: a pod whose containers have ended is only an object.
fn runs(pod: &Value) -> bool {
    pod["status"]["phase"] != "Succeeded" && pod["status"]["phase"] != "Failed"
}

fn count(now: &Now, wanted: impl Fn(&Value) -> bool) -> usize {
    now.pods.values().filter(|pod| wanted(pod)).count()
}

fn is_of(wanted: &str) -> impl Fn(&Value) -> bool {
    move |pod| image(pod) == wanted
}

fn terminating(now: &Now) -> usize {
    count(now, |pod| is_terminating(pod) && runs(pod))
}

impl<A: Arm> World<A> {
    fn assert_one_revision_at_a_time(&self) {
        for (version, now) in self.trail.states() {
            let running = now.pods.values().filter(|pod| runs(pod));
            let mut images: Vec<&str> = running.map(|pod| image(pod)).collect();
            images.dedup();
            assert!(images.len() <= 1, "{images:?} run at {version}");
        }
    }
}

/// B02: on ours the old pods drain in their preStop hook before.
async fn recreate_never_runs_two_revisions_side_by_side<A: Arm>(world: World<A>) {
    let drain = Manner {
        work: Pace::After(Duration::from_millis(500)),
        ..Manner::default()
    };
    world.order("web:1", drain);
    world.create_complete(3, recreate()).await;
    world.set_image("web:2").await;
    world.complete().await;
    world.until_only("web:2", 3).await;
    world.assert_one_revision_at_a_time();
}

/// B29.
async fn recreate_counts_terminating_pods_and_waits_for_them<A: Arm>(world: World<A>) {
    world.order("web:1", clinging());
    world.create_complete(3, recreate()).await;
    world.set_image("web:2").await;
    world
        .until("the old pods terminate", |now| terminating(now) == 3)
        .await;
    world
        .until_status("they are counted", |view| {
            (view.terminating, view.replicas, view.available) == (3, 0, 0)
        })
        .await;
    assert_eq!(count(&world.trail.now(), is_of("web:2")), 0);
    world.order("web:1", Manner::default());
    let view = world.complete().await;
    assert_eq!(view.terminating, 0, "{view:?}");
    world.assert_one_revision_at_a_time();
}

/// B29: replicas and available are the new pods', terminating the old ones'.
async fn rolling_update_counts_terminating_pods_and_does_not_wait_for_them<A: Arm>(
    world: World<A>,
) {
    world.order("web:1", clinging());
    world.create_complete(3, bounds(1, 0)).await;
    let began = world.mark();
    world.set_image("web:2").await;
    world.catch_up().await;
    world
        .until_status("new pods serve while old ones terminate", |view| {
            (view.terminating, view.updated, view.available) == (3, 3, 3) && view.replicas == 3
        })
        .await;
    world.assert_bounds(began, 3, 4);
    world.scale(4).await;
    world.catch_up().await;
    world
        .until_status("a pod more, though old ones terminate", |view| {
            (view.terminating, view.available) == (3, 4)
        })
        .await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world
        .until_status("none terminates", |view| view.terminating == 0)
        .await;
    world.until_only("web:2", 4).await;
}

/// B09: with TerminationComplete a pod that drains or terminates still counts against the surge.
async fn completion_policy_lets_leaving_pods_use_up_the_surge(world: World<Graceful>) {
    world.order("web:1", clinging());
    let mut spec = bounds(1, 1);
    spec["podReplacementPolicy"] = json!("TerminationComplete");
    world.create_complete(3, spec).await;
    let began = world.mark();
    world.set_image("web:2").await;
    world.catch_up().await;
    // One new pod by the surge; of four that serve then two may leave, and both cling.
    world
        .until_status("old pods terminate, counted", |view| view.terminating == 2)
        .await;
    // Its object stays for a moment longer than what ran in it.
    let is_over = |pod: &Value| pod["status"]["phase"] == "Succeeded";
    let count = |now: &Now| now.pods.values().filter(|pod| !is_over(pod)).count();
    let too_many = |now: &Now| count(now) > 4;
    world
        .never("more pods than the surge", WAIT, too_many)
        .await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world.until_only("web:2", 3).await;
    world.assert_bounds(began, 2, 4);
    let most = world.trail.states().into_iter().map(|(_, now)| count(&now));
    assert_eq!(
        most.max(),
        Some(4),
        "every pod counts, the terminating ones too"
    );
}

/// B10: Kubernetes may be asked to start new pods beside terminating ones. Ours may not: who says
/// Recreate has an app of which two revisions must not run, and DrainStarted is about the surge, of
/// which Recreate has none.
async fn recreate_waits_under_either_policy(world: World<Graceful>) {
    for (policy, old, new) in [
        ("DrainStarted", "web:1", "web:2"),
        ("TerminationComplete", "web:2", "web:3"),
    ] {
        let mut spec = recreate();
        spec["podReplacementPolicy"] = json!(policy);
        if old == "web:1" {
            world.create_complete(2, spec).await;
        } else {
            world.set(spec).await;
        }
        world.order(old, clinging());
        world.set_image(new).await;
        world
            .until("the old pods terminate", |now| terminating(now) == 2)
            .await;
        let is_early = |now: &Now| now.pods.values().any(|pod| image(pod) == new);
        world
            .never("a new pod beside old ones", WAIT, is_early)
            .await;
        world.order(old, Manner::default());
        world.complete().await;
    }
    world.assert_one_revision_at_a_time();
}
