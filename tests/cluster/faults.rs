//! What goes wrong between the operator and the API server, done to the real ones: the end is the same
//! as without, and no promise is broken on the way. The safety monitor watches every scenario.

mod crash;
mod lease;
mod meddling;
mod past;
mod refusals;
mod through;
mod watches;

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};

use self::through::{End, Through};
use crate::world::WEB;

/// What the operator watches.
const WATCHED: [&str; 6] = [
    "gracefuldeployments",
    "replicasets",
    "pods",
    "services",
    "endpointslices",
    "controllerrevisions",
];

/// Small, and like itself from rollout to rollout.
fn spec() -> Value {
    json!({
        "revisionHistoryLimit": 1,
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    })
}

/// Rolls out in peace, until one rollout is like the next; the next image is 5.
async fn rollout_in_peace(through: &Through) -> End {
    through.create(2, spec()).await;
    let mut end = None;
    for number in 2..5 {
        let mark = through.mark().await;
        through.world.set_image(&format!("{WEB}:{number}")).await;
        through.settle().await;
        end = Some(through.last_end(&mark).await);
    }
    end.expect("a rollout")
}

/// The operator cannot see what is kept from it.
fn expect_lag(through: &Through, seconds: i64) {
    let mut terms = through.world.watcher.terms.lock().unwrap();
    terms.lag = SignedDuration::from_secs(seconds);
}

/// Waits until something is so.
async fn wait(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "nothing came of it"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
