//! An API server that says no, that is slow, or that is away: the operator comes back when it is told
//! to, and the end is the same.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::through::run;
use super::{expect_lag, rollout_in_peace, wait};
use crate::proxy::Refusal;
use crate::standin::orders::{Hearing, Manner, Pace};
use crate::world::WEB;

/// R29: the object is never as it was seen, twenty times in a row.
#[test]
fn storm_of_conflicts_is_waited_out() {
    run("storm", async |through| {
        let other = rollout_in_peace(&through).await;
        let mark = through.mark().await;
        through.proxy.set(|faults| {
            faults.refusals = vec![Refusal {
                of: |about| about.is_write() && about.resource != "events",
                code: 409,
                retry_after: None,
                times: 20,
            }];
        });
        through.world.set_image(&format!("{WEB}:5")).await;
        through.settle().await;
        through.ends_like(&mark, &other, "conflicts").await;
        assert!(refused(&through, 409) >= 20);
    });
}

/// R40: the API server says when to come back, and nothing is written before.
#[test]
fn time_that_the_api_server_asks_for_is_waited() {
    const SECONDS: u32 = 4;
    run("throttled", async |through| {
        let other = rollout_in_peace(&through).await;
        let mark = through.mark().await;
        through.proxy.set(|faults| {
            faults.refusals = vec![Refusal {
                of: |about| about.is_write() && about.resource == "pods",
                code: 429,
                retry_after: Some(SECONDS),
                times: 1,
            }];
        });
        through.world.set_image(&format!("{WEB}:5")).await;
        wait(|| refused(&through, 429) > 0).await;
        // A change that has the operator look.
        let touch = json!({"metadata": {"annotations": {"example.com/touched": ""}}});
        through.world.patch_other::<Service>(WEB, touch).await;
        through
            .world
            .set(json!({"progressDeadlineSeconds": 601}))
            .await;
        through.settle().await;
        through.ends_like(&mark, &other, "a 429").await;
        let calls = through.proxy.calls();
        let at = calls
            .iter()
            .position(|(_, call)| call.code == 429)
            .expect("it");
        let next = calls
            .iter()
            .skip(at + 1)
            .find(|(_, call)| call.resource == "pods" && call.name == calls[at].1.name);
        let waited = next.expect("it comes back").0 - calls[at].0;
        assert!(waited >= Duration::from_secs(SECONDS.into()), "{waited:?}");
    });
}

/// R40: an API server that fails, and then one that is slow.
#[test]
fn failing_and_slow_api_server_only_takes_longer() {
    run("slow", async |through| {
        let other = rollout_in_peace(&through).await;
        expect_lag(&through, 30);
        let mark = through.mark().await;
        through.proxy.set(|faults| {
            faults.refusals = vec![Refusal {
                of: |about| about.is_write(),
                code: 500,
                retry_after: None,
                times: 5,
            }];
        });
        through.world.set_image(&format!("{WEB}:5")).await;
        through.settle().await;
        through.ends_like(&mark, &other, "failures").await;
        assert!(refused(&through, 500) >= 5);

        let mark = through.mark().await;
        through
            .proxy
            .set(|faults| faults.delay = Some(Duration::from_secs(2)));
        through.world.set_image(&format!("{WEB}:6")).await;
        through.settle().await;
        through.ends_like(&mark, &other, "a slow API server").await;
    });
}

/// R03: away for ten seconds in the middle of a rollout, every connection cut.
#[test]
fn outage_in_the_middle_of_a_rollout_changes_nothing_of_its_end() {
    run("outage", async |through| {
        let other = rollout_in_peace(&through).await;
        expect_lag(&through, 30);
        let mark = through.mark().await;
        let before = through.proxy.writes();
        through.world.set_image(&format!("{WEB}:5")).await;
        wait(|| through.proxy.writes() > before + 3).await;
        through.proxy.set(|faults| faults.outage = true);
        let (began, away) = (Instant::now(), through.proxy.writes());
        wait(|| began.elapsed() > Duration::from_secs(10)).await;
        assert_eq!(through.proxy.writes(), away);
        through.proxy.set(|faults| faults.outage = false);
        through.settle().await;
        through.ends_like(&mark, &other, "an outage").await;
    });
}

/// R03: every connection is cut, twice a second.
#[test]
fn connections_that_are_cut_again_and_again_change_nothing_of_the_end() {
    run("cut", async |through| {
        let other = rollout_in_peace(&through).await;
        expect_lag(&through, 30);
        let mark = through.mark().await;
        through.world.set_image(&format!("{WEB}:5")).await;
        let proxy = through.proxy.clone();
        let cuts = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(500)).await;
                proxy.cut();
            }
        };
        tokio::join!(cuts, through.settle());
        through.ends_like(&mark, &other, "cuts").await;
    });
}

/// R03: a deadline that passes while the API server is away is acted on after, and not before the
/// caches are current again.
#[test]
fn deadline_that_passed_in_an_outage_is_acted_on() {
    run("overdue", async |through| {
        through.world.order(
            "web:1",
            Manner {
                work: Pace::Never,
                hearing: Hearing::Silent,
                ..Manner::default()
            },
        );
        let drain = json!({"timeoutSeconds": 6});
        through.create(2, json!({"drain": drain})).await;
        through.world.set_image("web:2").await;
        let now = through
            .world
            .until("a drain has its deadline", |now| {
                let object = now.object.as_deref();
                object.is_some_and(|object| object["status"]["drains"][0]["deadline"].is_string())
            })
            .await;
        let object = now.object.expect("it");
        let deadline = object["status"]["drains"][0]["deadline"]
            .as_str()
            .expect("a time");
        let deadline: jiff::Timestamp = deadline.parse().expect("a time");
        through.proxy.set(|faults| faults.outage = true);
        let over = deadline + SignedDuration::from_secs(3);
        wait(|| jiff::Timestamp::now() > over).await;
        through.proxy.set(|faults| faults.outage = false);
        through.settle().await;
        let object = through.world.trail.now().object.expect("it");
        assert_eq!(object["status"]["lastRollout"]["forced"], 2);
    });
}

fn refused(through: &super::through::Through, code: u64) -> usize {
    let calls = through.proxy.calls();
    calls.iter().filter(|(_, call)| call.code == code).count()
}
