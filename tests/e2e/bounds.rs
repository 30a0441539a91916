//! What operator and agent take from the machine, in the middle of their work.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, test_under_load};
use crate::figure::{assert_at_most, count, slack};
use crate::load::{Clients, Load};
use crate::process::{find, processor_time, resident_kib};
use crate::stream::Stream;

/// For how long the agent is watched at its work.
const WINDOW: Duration = Duration::from_secs(10);

#[test]
fn operator_and_agent_stay_small_while_pods_drain() {
    test_under_load("bounds", |world| async move {
        Load::prepare(&world).await;
        let app = App::graceful("app")
            .replicas(2)
            .spec("/drain/timeoutSeconds", json!(60));
        world.create::<GracefulDeployment>(app.object()).await;
        world.create::<Service>(app.service()).await;
        world.complete("app", Duration::from_secs(90)).await;
        let mut streams = Vec::new();
        for pod in world.pods("app").await {
            for _ in 0..50 {
                streams.push(Stream::open(&pod, Duration::from_secs(300)).await);
            }
        }
        let load = Load::start(&world, &[("app", Clients::MIXED)]).await;
        world
            .patch::<GracefulDeployment>("app", json!({"spec": {"replicas": 1}}))
            .await;
        world.draining("app", 1).await;
        let agents = find("graceful-agent");
        let before: Vec<_> = agents.iter().map(|pid| processor_time(*pid)).collect();
        let began = Instant::now();
        tokio::time::sleep(WINDOW).await;
        let elapsed = began.elapsed().as_secs_f64();
        let used = agents
            .iter()
            .zip(&before)
            .map(|(pid, before)| processor_time(*pid).saturating_sub(*before));
        let share = used
            .map(|used| used.as_secs_f64() / elapsed)
            .fold(0.0, f64::max);
        let agent = agents
            .iter()
            .map(|pid| resident_kib(*pid))
            .max()
            .expect("an agent");
        let operator = resident_kib(find("graceful-operator")[0]);
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        let of_a_core = "% of a core";
        assert_at_most("memory of an agent", count(agent) / 1024.0, 4.0, "MiB");
        // What the same samples cost depends on who else fills the caches: CI takes the slack twice.
        let limit = slack() * slack();
        assert_at_most("agent that drains", share * 100.0, limit, of_a_core);
        assert_at_most(
            "memory of the operator",
            count(operator) / 1024.0,
            20.0,
            "MiB",
        );
        Verdict::Held
    });
}
