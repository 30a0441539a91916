//! The load: a process of its own (`xtask load`), bounded, beside a control arm whose pods never
//! change.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Child;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use crate::app::App;
use crate::cluster::World;
use crate::node::Node;

/// Name of the control arm.
const CONTROL: &str = "control";

/// Load on some Services of a world.
pub(crate) struct Load {
    child: Child,
    folder: tempfile::TempDir,
    began: Timestamp,
}

/// What a load found.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    pub(crate) targets: Vec<Arm>,
}

/// What one arm saw.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Arm {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) lost: u64,
    pub(crate) lost_by: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) pods: BTreeMap<String, Traffic>,
    pub(crate) failures: Vec<Value>,
    pub(crate) slowest_connect_millis: u64,
}

/// What one pod answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Traffic {
    pub(crate) last_millis: BTreeMap<String, u64>,
}

/// The clients of one arm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clients {
    pub(crate) new_per_second: u32,
    pub(crate) keep_alive: u32,
    /// Mean pause between two requests of a keep-alive connection.
    pub(crate) pause_millis: u32,
    /// What the server takes over such a request; 0 is at once.
    pub(crate) kept_millis: u32,
    pub(crate) slow: u32,
    pub(crate) streams: u32,
}

impl Clients {
    /// All four kinds, at a rate that leaves a small machine to the pods.
    pub(crate) const MIXED: Self = Self {
        new_per_second: 40,
        keep_alive: 10,
        pause_millis: 200,
        kept_millis: 0,
        slow: 6,
        streams: 4,
    };
}

impl Load {
    /// Starts the control arm's pods; wanted once per world before the first load.
    pub(crate) async fn prepare(world: &World) {
        Self::prepare_with(world, App::deployment(CONTROL)).await;
    }

    /// As [`Load::prepare`], with the control arm's pods on this node.
    pub(crate) async fn prepare_on(world: &World, node: &Node) {
        let selector = json!({"kubernetes.io/hostname": node.name});
        let control = App::deployment(CONTROL).pod("/nodeSelector", selector);
        Self::prepare_with(world, control).await;
    }

    async fn prepare_with(world: &World, control: App) {
        world.create::<Deployment>(control.object()).await;
        world.create::<Service>(control.service()).await;
        world
            .until(
                "the control arm is ready",
                Duration::from_secs(90),
                async || {
                    let control: Deployment =
                        world.api().get(CONTROL).await.expect("the control arm");
                    let ready = control.status.and_then(|status| status.ready_replicas);
                    if ready == Some(1) {
                        Ok(())
                    } else {
                        Err(format!("{ready:?} ready"))
                    }
                },
            )
            .await;
    }

    /// Begins to load these Services, and the control arm beside them with a tenth of it, from the first node.
    pub(crate) async fn start(world: &World, arms: &[(&str, Clients)]) -> Self {
        let nodes = Node::all();
        Self::start_from(nodes.first().expect("a node"), world, arms).await
    }

    /// As [`Load::start`], from this node's network.
    pub(crate) async fn start_from(node: &Node, world: &World, arms: &[(&str, Clients)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut targets = Vec::new();
        let control = (
            CONTROL,
            Clients {
                new_per_second: 10,
                keep_alive: 2,
                pause_millis: 200,
                kept_millis: 0,
                slow: 1,
                streams: 1,
            },
        );
        for (name, clients) in arms.iter().chain([&control]) {
            let address = world.address(name).await;
            // Before that, nothing is a loss of anybody's.
            world
                .until_answers("the Service", &address, Duration::from_secs(30))
                .await;
            targets.push(json!({
                "name": name,
                "address": address,
                "clients": {
                    "newPerSecond": clients.new_per_second,
                    "keepAlive": clients.keep_alive,
                    "pauseMillis": clients.pause_millis,
                    "keptMillis": clients.kept_millis,
                    "slow": clients.slow,
                    "streams": clients.streams,
                },
            }));
        }
        let spec = json!({
            "seconds": 900,
            "maxRequests": 1_000_000,
            "sources": node.sources(),
            "targets": targets,
        });
        let file = folder.path().join("spec.json");
        std::fs::write(&file, spec.to_string()).unwrap();
        let xtask = std::env::var_os("XTASK").expect("XTASK: run `cargo xtask test e2e`");
        let child = node
            .command(xtask)
            .args(["load", "--while-stdin", "--spec"])
            .arg(&file)
            .arg("--out")
            .arg(folder.path().join("found.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the load client");
        Self {
            child,
            folder,
            began: Timestamp::now(),
        }
    }

    /// When it began.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// Ends the load, requests under way finished, and reads what it found.
    pub(crate) async fn finish(mut self) -> Found {
        drop(self.child.stdin.take());
        let status = self.child.wait().await.expect("the load client ends");
        assert!(status.success(), "the load client ended with {status}");
        let text = std::fs::read_to_string(self.folder.path().join("found.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Found {
    /// One arm.
    pub(crate) fn arm(&self, name: &str) -> &Arm {
        self.targets
            .iter()
            .find(|arm| arm.name == name)
            .expect("the arm")
    }

    /// The machine was disturbed: pods that never changed lost requests.
    pub(crate) fn is_disturbed(&self) -> bool {
        let control = self.arm(CONTROL);
        if control.lost > 0 {
            println!("disturbed: the control arm lost {:?}", control.lost_by);
        }
        control.lost > 0
    }
}

impl Arm {
    /// Fails with everything known about the losses.
    pub(crate) fn assert_nothing_lost(&self) {
        assert_eq!(
            self.lost,
            0,
            "{} of {} requests lost: {:?}; slowest connect {} ms; first: {:#?}",
            self.lost,
            self.requests,
            self.lost_by,
            self.slowest_connect_millis,
            self.failures.iter().take(5).collect::<Vec<_>>()
        );
    }
}
