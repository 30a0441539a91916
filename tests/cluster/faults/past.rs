//! An API server that lags behind the others, as one of several may: an operator that starts on it
//! believes in a world that is gone.

use std::time::Duration;

use super::through::run;
use super::{WATCHED, expect_lag, rollout_in_peace, wait};
use crate::proxy::{Crash, Flow, When};
use crate::world::WEB;

/// Writes of a rollout before which the past lies: a ReplicaSet to be made, a drain to be recorded,
/// asked for, given up, a ReplicaSet to be lowered.
const POINTS: [usize; 6] = [1, 4, 6, 8, 10, 12];

/// For so long the operator may act on what it believes.
const BELIEF: Duration = Duration::from_secs(4);

/// R04: what it does from there is refused, every bit of it, and when it sees the present it is content.
#[test]
fn operator_that_starts_in_the_past_changes_nothing() {
    run("past", async |mut through| {
        let other = rollout_in_peace(&through).await;
        expect_lag(&through, 60);
        let (mut images, mut tries) = (5.., 0);
        for at in POINTS {
            let mark = through.mark().await;
            let (at, process) = (through.proxy.writes() + at, through.process());
            through.proxy.set(|faults| {
                let when = When::Before;
                faults.crash = Some(Crash { at, when, process });
            });
            let image = images.next().expect("numbers go on");
            through.world.set_image(&format!("{WEB}:{image}")).await;
            through.proxy.crashed().await;
            // What this one is told first, the next one but one is told again.
            through.restart();
            through.settle().await;
            through
                .ends_like(&mark, &other, "dead before the past")
                .await;

            let present = through.mark().await;
            let before = through.last_end(&present).await;
            through.proxy.set(|faults| {
                faults.stale_lists = true;
                faults.flows = WATCHED.map(|kind| (kind, Flow::Hold)).into();
            });
            let (listed, written) = (through.proxy.listed(), through.proxy.calls().len());
            through.restart();
            wait(|| through.proxy.listed() >= listed + WATCHED.len()).await;
            tokio::time::sleep(BELIEF).await;
            for (_, call) in through.proxy.calls().into_iter().skip(written) {
                if call.resource != "events" {
                    assert!(call.code >= 400, "done in the past: {call:?}");
                    tries += 1;
                }
            }
            through.proxy.set(|faults| {
                faults.stale_lists = false;
                faults.flows.clear();
            });
            through.settle().await;
            through
                .ends_like(&present, &before, "back from the past")
                .await;
        }
        assert!(tries >= POINTS.len() / 2, "only {tries} tries");
    });
}
