//! What operator and agent take from the machine, in the middle of their work.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use graceful::api::AGENT_PORT;
use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::cluster::{Verdict, test_under_load};
use crate::figure::{assert_at_most, count, show, slack};
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
        let operators = find("graceful-operator").into_iter();
        let operator = operators.map(resident_kib).max().expect("an operator");
        let mut look = None;
        for pod in world.pods("app").await {
            look = look.or(look_of(&pod).await);
        }
        let found = load.finish().await;
        if found.is_disturbed() {
            return Verdict::Disturbed;
        }
        let of_a_core = "% of a core";
        assert_at_most("memory of an agent", count(agent) / 1024.0, 4.0, "MiB");
        assert_at_most("agent that drains", share * 100.0, slack(), of_a_core);
        // By this it sets its pace: 125 times as long from one look to the next.
        let millis = look.expect("an agent that drains") * 1000.0;
        show("agent: a look at its connections", millis, None, "ms");
        assert_at_most(
            "memory of the operator",
            count(operator) / 1024.0,
            20.0,
            "MiB",
        );
        Verdict::Held
    });
}

/// What one look costs the agent of a pod that drains, in seconds, as its page on the drain says.
async fn look_of(pod: &Pod) -> Option<f64> {
    let address = pod.status.as_ref()?.pod_ip.clone()?;
    let mut agent = TcpStream::connect((address, AGENT_PORT)).await.ok()?;
    let request = b"GET /drain HTTP/1.1\r\nHost: agent\r\n\r\n";
    agent.write_all(request).await.ok()?;
    let mut answer = String::new();
    agent.read_to_string(&mut answer).await.ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let page: Value = serde_json::from_str(body).ok()?;
    page["drain"]["sampleSeconds"].as_f64()
}
