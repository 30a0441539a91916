//! A real Redis on the node's address, which its pods reach: what works on queues works on it.

use std::process::Stdio;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::app::App;
use crate::cluster::World;
use crate::examples::{SOON, image};

/// The node's address, which its pods reach.
const NODE: &str = "10.10.0.1";

/// The port by which PostgreSQL is known: connections to it are told by their goodbye.
pub(crate) const POSTGRES: u16 = 5432;

/// One server, ended with the test.
pub(crate) struct Redis {
    /// Where it listens.
    pub(crate) address: String,
    _server: Child,
}

impl Redis {
    /// Starts one on a port that is free.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_at(world, free_address().await).await
    }

    /// Starts one on this port.
    pub(crate) async fn start_on(world: &World, port: u16) -> Self {
        Self::start_at(world, format!("{NODE}:{port}")).await
    }

    /// Starts one, and waits until it answers.
    async fn start_at(world: &World, address: String) -> Self {
        let (node, port) = address.rsplit_once(':').expect("an address");
        let server = Command::new("redis-server")
            .args(["--bind", node, "--port", port])
            .args(["--protected-mode", "no", "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server: run `cargo xtask test e2e`");
        world.until_answers("Redis", &address, SOON).await;
        Self {
            address,
            _server: server,
        }
    }

    /// An app of the worker example that takes its jobs from here.
    pub(crate) fn worked_on(&self, app: App) -> App {
        let metrics = json!({"path": "/metrics", "port": 8080});
        app.container("/image", image("go-worker-redis"))
            .container("/readinessProbe/httpGet", metrics)
            .env("REDIS", &self.address)
    }
}

/// An address of the node that nobody listens on.
pub(crate) async fn free_address() -> String {
    let listener = TcpListener::bind((NODE, 0)).await.expect("a port");
    listener.local_addr().expect("its address").to_string()
}
