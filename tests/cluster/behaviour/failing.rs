//! Revisions whose pods never turn ready, and deadlines.

use std::time::Duration;

use serde_json::{Value, json};

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::standin::orders::{Manner, Start};
use crate::world::trail::{image, is_ready};
use crate::world::{Arm, View, World};

scenarios! { both:
    bad_image_leaves_every_good_pod,
    good_revision_after_a_bad_first_one_completes,
    second_bad_revision_takes_the_place_of_the_first,
    pause_does_not_trip_the_progress_deadline,
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
    let view = world.complete().await;
    assert!(
        view.is("Progressing", "True", "NewReplicaSetAvailable"),
        "{view:?}"
    );
    world.assert_bounds(began, 4, 5);
    world.until_only("web:2", 4).await;
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
    let overdue = |now: &crate::world::Now| {
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
