//! Under the real HorizontalPodAutoscaler, which reads metrics that scenarios set: neither surge nor pods that
//! are on their way out feed back into the size, and what does change it reaches the end of the rollout.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::bounds::{bounds, serving};
use super::scenarios;
use crate::merge::merge;
use crate::metrics::{Load, Metrics};
use crate::standin::orders::{Manner, Pace, Start};
use crate::world::trail::{image, is_draining, is_ready, is_terminating};
use crate::world::{Arm, Graceful, Now, WEB, World};

scenarios! { both:
    rollout_under_a_steady_load_moves_no_size,
    pods_on_their_way_out_are_no_reason_to_scale_up,
    load_that_doubles_in_a_rollout_and_falls_is_followed,
    size_that_a_user_writes_in_a_rollout_does_not_last;
    graceful:
    surge_and_drains_do_not_count_as_capacity,
    size_that_a_user_takes_away_comes_back_warm,
}

/// How often the autoscaler looks at a state before it is taken to be content with it: it looks every second,
/// and scales down by the greatest of what it found in [`WINDOW`].
const LOOKS: usize = 8;

/// Seconds. A pod that is asked to drain is no longer counted, and shares in the load until it has heard:
/// the pods that stay look idle for that moment. In a cluster the window is five minutes.
const WINDOW: u32 = 5;

/// An autoscaler of the object, and every size that it ever wished for.
struct Scaler {
    metrics: Metrics,
    wishes: Arc<watch::Sender<Vec<i32>>>,
}

impl Scaler {
    /// Begins to scale, by a metric with its target, between 1 and 30.
    async fn start<A: Arm>(world: &World<A>, metric: Value, load: Load) -> Self {
        let metrics = Metrics::tell(&world.namespace, load);
        let scalers: Api<HorizontalPodAutoscaler> = world.api();
        let wishes = Arc::new(watch::Sender::new(Vec::new()));
        tokio::spawn(follow(scalers.clone(), wishes.clone()));
        let resource = A::resource();
        let target = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "name": WEB,
        });
        let scaler = json!({
            "metadata": {"name": WEB},
            "spec": {
                "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 30, "metrics": [metric],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": WINDOW}},
            },
        });
        let scaler = serde_json::from_value(scaler).expect("an autoscaler");
        scalers
            .create(&PostParams::default(), &scaler)
            .await
            .expect("created");
        let scaler = Self { metrics, wishes };
        scaler.looks(world).await;
        scaler
    }

    /// Waits until it has looked again and again at what there is.
    async fn looks<A: Arm>(&self, world: &World<A>) {
        let before = self.metrics.asked();
        world
            .until_so("the autoscaler looks", || async {
                self.metrics.asked() >= before + LOOKS
            })
            .await;
    }

    /// Waits until it wishes for a size.
    async fn wishes_for<A: Arm>(&self, world: &World<A>, size: i32) {
        let what = format!("the autoscaler wishes for {size}");
        world
            .until_so(&what, || async {
                self.wishes.borrow().last() == Some(&size)
            })
            .await;
    }

    /// The sizes that it ever wished for, one after the other.
    fn wishes(&self) -> Vec<i32> {
        self.wishes.borrow().clone()
    }
}

/// Notes each size that differs from the one before, once the autoscaler has metrics.
async fn follow(scalers: Api<HorizontalPodAutoscaler>, wishes: Arc<watch::Sender<Vec<i32>>>) {
    let mut seen = watcher(scalers, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(scaler) = seen.next().await {
        let Some(status) = scaler.ok().and_then(|scaler| scaler.status) else {
            continue;
        };
        let conditions = status.conditions.unwrap_or_default();
        let reads = |reason: &str| reason == "ValidMetricFound";
        let mut reasons = conditions.iter().filter_map(|one| one.reason.as_deref());
        if reasons.any(reads) {
            wishes.send_if_modified(|wishes| {
                let is_new = wishes.last() != Some(&status.desired_replicas);
                wishes.extend(is_new.then_some(status.desired_replicas));
                is_new
            });
        }
    }
}

/// The processor time of pods, as a share of what they request.
fn processor(percent: u32) -> Value {
    json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent},
    }})
}

/// One of a queue for each pod.
fn queue() -> Value {
    json!({"type": "External", "external": {
        "metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "1"},
    }})
}

/// Bounds of a rolling update, and an app that requests a core.
fn spec(surge: i32, unavailable: i32) -> Value {
    let resources = json!({"requests": {"cpu": "1"}});
    let app = json!({"name": WEB, "image": "web:1", "resources": resources});
    let mut spec = json!({"template": {"spec": {"containers": [app]}}});
    merge(&mut spec, &bounds(surge, unavailable));
    spec
}

/// A pod that takes its time to leave, before its SIGTERM and after it.
fn lingering() -> Manner {
    Manner {
        exit: Pace::Never,
        ..Manner::busy()
    }
}

/// On its way out, and out of traffic.
fn is_leaving(pod: &Value) -> bool {
    is_terminating(pod) || (is_draining(pod) && !is_ready(pod))
}

fn leaving(now: &Now) -> usize {
    now.pods.values().filter(|pod| is_leaving(pod)).count()
}

/// From four pods to four others, all old ones on their way out for long.
async fn roll_slowly<A: Arm>(world: &World<A>, scaler: &Scaler) {
    world.order("web:1", lingering());
    world.set_image("web:2").await;
    world
        .until("four of eight pods leave", |now| {
            now.pods.len() == 8 && serving(now) == 4 && leaving(now) == 4
        })
        .await;
    scaler.looks(world).await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world.until_only("web:2", 4).await;
    scaler.looks(world).await;
}

/// R32: a load that is as it should be for four pods, shared by all that are in service: by eight of them
/// for a moment, and by four while the old ones leave.
async fn rollout_under_a_steady_load_moves_no_size<A: Arm>(world: World<A>) {
    world.create_complete(4, spec(4, 0)).await;
    let scaler = Scaler::start(&world, processor(50), Load::Shared(200)).await;
    roll_slowly(&world, &scaler).await;
    assert_eq!(scaler.wishes(), [4]);
    assert_eq!(sizes(&world), [4]);
}

/// R32: each pod at 108 % of its target, which the autoscaler lets be: it tolerates a tenth. With four idle ones
/// that leave among eight it would find 54 %, no longer tolerable, and 4.3 pods to be needed: five.
async fn pods_on_their_way_out_are_no_reason_to_scale_up<A: Arm>(world: World<A>) {
    world.create_complete(4, spec(4, 0)).await;
    let scaler = Scaler::start(&world, processor(50), Load::Each(54)).await;
    roll_slowly(&world, &scaler).await;
    assert_eq!(scaler.wishes(), [4]);
    assert_eq!(sizes(&world), [4]);
}

/// R32: twice as much while new pods are not ready yet and the old ones serve; half of it again when all is over.
async fn load_that_doubles_in_a_rollout_and_falls_is_followed<A: Arm>(world: World<A>) {
    world.create_complete(4, spec(2, 0)).await;
    let scaler = Scaler::start(&world, processor(50), Load::Shared(200)).await;
    world.order("web:1", lingering());
    world.order("web:2", Manner::starting(Start::NeverReady));
    world.set_image("web:2").await;
    world
        .until("new pods start", |now| now.pods.len() == 6)
        .await;
    scaler.looks(&world).await;
    scaler.metrics.set(Load::Shared(400));
    scaler.wishes_for(&world, 8).await;
    scaler.looks(&world).await;
    world.order("web:2", lingering());
    world
        .until("the new revision serves, old pods leave", |now| {
            let new = now.pods.values().filter(|pod| image(pod) == "web:2");
            new.filter(|pod| is_ready(pod)).count() == 8 && leaving(now) > 0
        })
        .await;
    scaler.looks(&world).await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world.until_only("web:2", 8).await;
    scaler.metrics.set(Load::Shared(200));
    scaler.wishes_for(&world, 4).await;
    world
        .until("four of eight leave", |now| {
            serving(now) == 4 && leaving(now) == 4
        })
        .await;
    scaler.looks(&world).await;
    world.order("web:2", Manner::default());
    world.complete().await;
    world.until_only("web:2", 4).await;
    scaler.looks(&world).await;
    assert_eq!(scaler.wishes(), [4, 8, 4]);
    assert_eq!(sizes(&world), [4, 8, 4]);
}

/// R32: a user asks for twice as many in the middle of a rollout. The autoscaler accepts it while the pods that
/// are there are well used, and takes it back when they are not.
async fn size_that_a_user_writes_in_a_rollout_does_not_last<A: Arm>(world: World<A>) {
    world.create_complete(4, spec(2, 0)).await;
    let scaler = Scaler::start(&world, processor(50), Load::Shared(200)).await;
    world.order("web:1", lingering());
    world.order("web:2", Manner::starting(Start::NeverReady));
    world.set_image("web:2").await;
    world
        .until("new pods start", |now| now.pods.len() == 6)
        .await;
    world.scale(8).await;
    world.order("web:2", Manner::default());
    world
        .until_so("the size is taken back", || async {
            let sizes = sizes(&world);
            sizes.contains(&8) && sizes.ends_with(&[4])
        })
        .await;
    world.order("web:1", Manner::default());
    world.complete().await;
    world.until_only("web:2", 4).await;
    scaler.looks(&world).await;
    assert_eq!(sizes(&world).last(), Some(&4));
}

/// R32: a queue is divided by the number that the scale subresource tells, and within a tenth of the target that
/// number is the answer. Deployment, which counts its surge, goes from 12 to 13 and back all the time; and one drain
/// of twelve without a replacement would make it 11.
async fn surge_and_drains_do_not_count_as_capacity(world: World<Graceful>) {
    world.create_complete(12, spec(1, 0)).await;
    let scaler = Scaler::start(&world, queue(), Load::Queue(12)).await;
    world.order("web:2", Manner::starting(Start::NeverReady));
    world.set_image("web:2").await;
    world
        .until("a thirteenth pod starts", |now| now.pods.len() == 13)
        .await;
    scaler.looks(&world).await;
    world.order("web:2", Manner::default());
    world.complete().await;
    let mut strict = bounds(0, 1);
    strict["podReplacementPolicy"] = json!("TerminationComplete");
    world.set(strict).await;
    world.order("web:2", Manner::busy());
    world.set_image("web:3").await;
    let one_drains = |now: &Now| now.pods.len() == 12 && leaving(now) == 1;
    world.until("one of twelve drains", one_drains).await;
    scaler.looks(&world).await;
    let terminates = Manner {
        exit: Pace::Never,
        ..Manner::default()
    };
    world.order("web:2", terminates);
    world
        .until("one of twelve terminates", |now| {
            now.pods.values().any(|pod| is_terminating(pod))
        })
        .await;
    scaler.looks(&world).await;
    world.order("web:2", Manner::default());
    world.complete().await;
    scaler.looks(&world).await;
    assert_eq!(scaler.wishes(), [12]);
    assert_eq!(sizes(&world), [12]);
}

/// R32: half of what the load needs. With the two that drain in the average the two that stay would not look
/// overloaded. Those that drain serve again, and no other one is made.
async fn size_that_a_user_takes_away_comes_back_warm(world: World<Graceful>) {
    world.order("web:1", Manner::busy());
    world.create_complete(4, spec(1, 0)).await;
    let scaler = Scaler::start(&world, processor(50), Load::Shared(200)).await;
    let before: Vec<String> = world.trail.now().pods.into_keys().collect();
    world.scale(2).await;
    world.until("two pods drain", |now| leaving(now) == 2).await;
    world
        .until_so("the autoscaler asks for them", || async {
            sizes(&world) == [4, 2, 4]
        })
        .await;
    world.complete().await;
    world.until("all four serve", |now| serving(now) == 4).await;
    scaler.looks(&world).await;
    let after: Vec<String> = world.trail.now().pods.into_keys().collect();
    assert_eq!(after, before);
    assert_eq!(sizes(&world), [4, 2, 4]);
}

/// The sizes that the object was ever asked to have, one after the other.
fn sizes<A: Arm>(world: &World<A>) -> Vec<i64> {
    let states = world.trail.states();
    let objects = states.iter().filter_map(|(_, now)| now.object.as_ref());
    let mut sizes: Vec<_> = objects
        .filter_map(|object| object["spec"]["replicas"].as_i64())
        .collect();
    sizes.dedup();
    sizes
}
