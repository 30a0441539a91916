//! The operator killed, and the operator away: progress stops, traffic does not.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{OPERATORS, Operator, Verdict, World, is_ready, names, test_under_load};
use crate::figure::{assert_at_most, slack};
use crate::load::{Clients, Load};

const SOON: Duration = Duration::from_secs(180);

async fn start(world: &World) -> App {
    Load::prepare(world).await;
    let app = App::graceful("app").replicas(3).notify();
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.complete("app", SOON).await;
    app
}

/// R01, R02: with its Lease still held, so that the other waits until that has run out.
#[test]
fn leader_killed_in_the_middle_loses_nothing_and_ends_the_same() {
    leader_ended_in_the_middle("KILL", 17.0);
}

/// R38: it gives the Lease back.
#[test]
fn leader_stopped_in_the_middle_loses_nothing_and_ends_the_same() {
    leader_ended_in_the_middle("TERM", 1.0);
}

fn leader_ended_in_the_middle(signal: &'static str, limit: f64) {
    test_under_load(
        &format!("leader-{}", signal.to_lowercase()),
        |world| async move {
            let app = start(&world).await;
            let before = names(&world.pods("app").await);
            let load = Load::start(&world, &[("app", Clients::MIXED)]).await;
            world
                .patch::<GracefulDeployment>("app", app.change(2))
                .await;
            world.draining("app", 1).await;
            let seconds = Operator::of(&world).take_over_after(signal).await;
            world.complete("app", SOON).await;
            let found = load.finish().await;
            if found.is_disturbed() {
                return Verdict::Disturbed;
            }
            found.arm("app").assert_nothing_lost();
            let after = names(&world.pods("app").await);
            assert_eq!(after.len(), 3, "{after:?}");
            assert!(
                after.iter().all(|pod| !before.contains(pod)),
                "{after:?}, before {before:?}"
            );
            let figure = format!("another operator leads after SIG{signal}");
            assert_at_most(&figure, seconds, slack() * limit, "s");
            Verdict::Held
        },
    );
}

/// B63, B68.
#[test]
fn pod_deleted_while_the_operator_is_away_drains_and_is_replaced() {
    test_under_load("away", |world| async move {
        start(&world).await;
        let operator = Operator::of(&world);
        operator.scale(0).await;
        let deleted = names(&world.pods("app").await).remove(0);
        let load = Load::start(&world, &[("app", Clients::MIXED)]).await;
        world
            .until("the pod that is to be deleted has work", SOON, async || {
                let pod: Pod = world.api().get(&deleted).await.expect("the pod");
                // A stream lasts 20 s and one client in three is on each pod: a few seconds of load
                // put work on it.
                let age = jiff::Timestamp::now() - load.began();
                if is_ready(&pod) && age.total(jiff::Unit::Second).unwrap() > 8.0 {
                    Ok(())
                } else {
                    Err("the load has just begun".into())
                }
            })
            .await;
        world.delete_pod(&deleted).await;
        world
            .until("the pod is gone and replaced", SOON, async || {
                let pods = world.pods("app").await;
                let ready = pods.iter().filter(|pod| is_ready(pod)).count();
                let is_gone = !names(&pods).contains(&deleted);
                if is_gone && ready == 3 {
                    Ok(())
                } else {
                    Err(format!("{ready} ready, gone: {is_gone}"))
                }
            })
            .await;
        let found = load.finish().await;
        operator.scale(OPERATORS).await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        found.arm("app").assert_nothing_lost();
        assert!(
            found.arm("app").pods.contains_key(&deleted),
            "the deleted pod had traffic"
        );
        world.complete("app", SOON).await;
        Verdict::Held
    });
}
