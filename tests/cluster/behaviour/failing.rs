//! Revisions whose pods never turn ready, and deadlines.

use std::time::Duration;

use serde_json::{Value, json};

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::{image, is_draining, is_ready};
use crate::world::{Arm, Graceful, Now, View, World};

scenarios! { both:
    bad_image_leaves_every_good_pod,
    good_revision_after_a_bad_first_one_completes,
    second_bad_revision_takes_the_place_of_the_first,
    pause_does_not_trip_the_progress_deadline,
    undo_of_an_overdue_rollout_completes_and_keeps_the_good_pods,
    undo_in_the_middle_keeps_to_max_unavailable;
    graceful:
    drain_does_not_trip_the_progress_deadline,
}

/// A deadline that passes within a test.
fn with_deadline(seconds: i32) -> Value {
    let mut spec = bounds(1, 0);
    spec["progressDeadlineSeconds"] = json!(seconds);
    spec
}

fn is_overdue(view: &View) -> bool {
    view.is("Progressing", "False", "ProgressDeadlineExceeded")
}

/// B21, B33: the rollout stops within its surge, says so after the deadline, and completes when it is
/// mended.
async fn bad_image_leaves_every_good_pod<A: Arm>(world: World<A>) {
    world.create_complete(4, with_deadline(4)).await;
    world.order("missing:1", Manner::starting(Start::ImagePullError));
    let began = world.mark();
    let good: Vec<String> = world.trail.now().pods.into_keys().collect();
    world.set_image("missing:1").await;
    world.catch_up().await;
    world
        .until_status("the deadline is exceeded", is_overdue)
        .await;
    world.assert_bounds(began, 4, 5);
    let now = world.trail.now();
    assert!(good.iter().all(|name| is_ready(&now.pods[name])));
    assert_eq!(now.pods.len(), 5);
    world.set_image("web:2").await;
    world.until_new_replica_set_is_available().await;
    world.assert_bounds(began, 4, 5);
    world.until_only("web:2", 4).await;
}

impl<A: Arm> World<A> {
    /// Deployment says so as soon as every new pod serves, ours when the last old one is gone, too: an
    /// old pod that drains is work that a rollout has left to do.
    async fn until_new_replica_set_is_available(&self) {
        self.complete().await;
        self.until_status("the rollout is called complete", |view| {
            view.is("Progressing", "True", "NewReplicaSetAvailable")
        })
        .await;
    }
}

/// B34: a first revision that nobody ever saw ready goes without a word.
async fn good_revision_after_a_bad_first_one_completes<A: Arm>(world: World<A>) {
    world.order("web:1", Manner::starting(Start::Crash));
    world.create(3, bounds(1, 0)).await;
    world
        .until("pods that crash", |now| now.pods.len() == 3)
        .await;
    world.set_image("web:2").await;
    world.complete().await;
    world.until_only("web:2", 3).await;
}

/// B35: within the surge, and the good pods stay.
async fn second_bad_revision_takes_the_place_of_the_first<A: Arm>(world: World<A>) {
    world.create_complete(4, bounds(2, 0)).await;
    let began = world.mark();
    for bad in ["bad:1", "bad:2"] {
        world.order(bad, Manner::starting(Start::NeverReady));
        world.set_image(bad).await;
        world
            .until("the bad revision fills the surge, alone", |now| {
                let of = |wanted: &str| {
                    let pods = now.pods.values();
                    pods.filter(|pod| image(pod) == wanted).count()
                };
                now.pods.len() == 6 && of(bad) == 2 && of("web:1") == 4
            })
            .await;
    }
    world.assert_bounds(began, 4, 6);
    assert_eq!(serving(&world.trail.now()), 4);
}

/// B44: the clock stands still while paused, and starts anew.
async fn pause_does_not_trip_the_progress_deadline<A: Arm>(world: World<A>) {
    world.create_complete(2, with_deadline(4)).await;
    world.order("web:2", Manner::starting(Start::NeverReady));
    world.set_image("web:2").await;
    world
        .until("the new revision has a pod", |now| now.pods.len() == 3)
        .await;
    world.pause().await;
    world.catch_up().await;
    world
        .until_status("the pause is observed", |view| {
            view.condition("Progressing")
                .is_some_and(|(status, _)| status == "Unknown")
        })
        .await;
    let paused = world.mark();
    let overdue = |now: &Now| {
        now.object
            .as_ref()
            .is_some_and(|object| is_overdue(&View::of(object)))
    };
    world
        .never("overdue while paused", Duration::from_secs(8), overdue)
        .await;
    world.resume().await;
    world.order("web:2", Manner::default());
    world.complete().await;
    let states = world.trail.states();
    let after = states.iter().filter(|(version, _)| *version > paused);
    assert!(after.map(|(_, now)| now).all(|now| !overdue(now)));
}

/// B47: what was overdue is taken back.
async fn undo_of_an_overdue_rollout_completes_and_keeps_the_good_pods<A: Arm>(world: World<A>) {
    world.create_complete(3, with_deadline(3)).await;
    let good: Vec<String> = world.trail.now().pods.into_keys().collect();
    world.order("bad:1", Manner::starting(Start::Crash));
    let began = world.mark();
    world.set_image("bad:1").await;
    world.catch_up().await;
    world
        .until_status("the deadline is exceeded", is_overdue)
        .await;
    world.undo(1).await;
    world.until_new_replica_set_is_available().await;
    world.assert_bounds(began, 3, 4);
    let now = world.until_only("web:1", 3).await;
    assert!(good.iter().all(|name| now.pods.contains_key(name)));
}

/// B46: with no surge, the way back is as careful as the way there.
async fn undo_in_the_middle_keeps_to_max_unavailable<A: Arm>(world: World<A>) {
    world.create_complete(5, bounds(0, 2)).await;
    world.order(
        "web:2",
        Manner::starting(Start::Ready(Duration::from_secs(1))),
    );
    let began = world.mark();
    world.set_image("web:2").await;
    world
        .until("two pods of the new revision serve", |now| {
            let new = now.pods.values().filter(|pod| image(pod) == "web:2");
            new.filter(|pod| is_ready(pod)).count() >= 2
        })
        .await;
    world.undo(1).await;
    world.complete().await;
    // A cancelled drain brings a pod back whose replacement may have been made by then: two can.
    world.assert_bounds(began, 3, 7);
    world.until_only("web:1", 5).await;
}

/// B44: a drain within its own deadline is progress that takes time. Deployment has none: its old pods
/// only terminate, which it does not wait for.
async fn drain_does_not_trip_the_progress_deadline(world: World<Graceful>) {
    world.order("web:1", Manner::busy());
    world.create_complete(1, with_deadline(3)).await;
    let began = world.mark();
    world.set_image("web:2").await;
    world
        .until("the new pod serves, the old one drains", |now| {
            serving(now) == 1
                && now.pods.len() == 2
                && now.pods.values().any(|pod| is_draining(pod))
        })
        .await;
    let overdue = |now: &Now| {
        let object = now.object.as_ref();
        object.is_some_and(|object| is_overdue(&View::of(object)))
    };
    let longer = Duration::from_secs(8);
    world
        .never("overdue while a pod drains", longer, overdue)
        .await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world.assert_bounds(began, 1, 2);
}
