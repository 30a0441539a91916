//! How applications end on a real kubelet, and what is on record of it: one that is killed when its grace
//! period is over, and one that leaves connections to the kernel.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use graceful::api::v1alpha1::{GracefulDeployment, RolloutRecord};

use crate::app::App;
use crate::cluster::{World, names, test};
use crate::examples::SOON;
use crate::redis::Redis;
use crate::stream::Stream;

/// Waits until so many ends are on record.
async fn record(world: &World, name: &str, ended: i32) -> RolloutRecord {
    world
        .until("the end is on record", SOON, async || {
            let object = world.graceful(name).await;
            let record = object.status.and_then(|status| status.last_rollout);
            match record.filter(|record| record.ended == ended) {
                Some(record) => Ok(record),
                None => Err("not counted".into()),
            }
        })
        .await
}

async fn start(world: &World, name: &str, app: &App) -> String {
    world.create::<GracefulDeployment>(app.object()).await;
    world.complete(name, SOON).await;
    names(&world.pods(name).await).remove(0)
}

#[test]
fn an_app_that_is_killed_after_its_grace_period_is_on_record_with_what_it_cut() {
    test("killed", |world| async move {
        // It would wait for a stream of ten minutes; it has a second for the drain, one for its exit, and the
        // five that every grace period has more.
        let app = App::graceful("app")
            .env("SHUTDOWN_SECONDS", "600")
            .spec("/shutdown/timeoutSeconds", json!(1))
            .spec("/drain/deletionTimeoutSeconds", json!(1))
            .spec("/drain/minSeconds", json!(0))
            .spec("/drain/quietSeconds", json!(1));
        let name = start(&world, "app", &app).await;
        let pod = world.pods("app").await.remove(0);
        let _stream = Stream::open(&pod, Duration::from_secs(600)).await;
        world.delete_pod(&name).await;
        let record = record(&world, "app", 1).await;
        println!("killed: {record:?}");
        assert_eq!(record.exit_codes.get("137"), Some(&1));
        assert_eq!(record.forced_kills, 1);
        assert_eq!(record.connections_cut, 1);
        assert_eq!(record.unseen, 0);
        assert!(record.longest_shutdown_seconds >= 1, "{record:?}");
        world.until_event("app", &["PodKilled"]).await;
    });
}

/// Clients of Redis say no goodbye. On the port where every client does, that is a pool left open.
#[test]
fn connections_that_end_without_the_goodbye_of_their_port_are_a_pool_left_open() {
    test("pool", |world| async move {
        let redis = Redis::start_on_known_port(&world).await;
        // Told of the drain it asks for no more jobs, so that its connections are silent.
        let app = redis
            .worked_on(App::graceful("app").notify())
            // It is told after two of them.
            .spec("/drain/minSeconds", json!(4))
            .spec("/drain/quietSeconds", json!(1));
        start(&world, "app", &app).await;
        sleep(Duration::from_secs(1)).await;
        world
            .patch::<GracefulDeployment>("app", app.change(2))
            .await;
        let record = record(&world, "app", 1).await;
        println!("pool: {record:?}");
        assert_eq!(record.exit_codes.get("0"), Some(&1));
        assert_eq!((record.forced_kills, record.pools_left_open), (0, 1));
        world.until_event("app", &["PoolLeftOpen"]).await;
    });
}
