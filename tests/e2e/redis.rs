//! A real Redis on the node's address, which its pods reach: what works on queues works on it.

use std::process::Stdio;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::cluster::World;
use crate::examples::SOON;

/// The node's address, which its pods reach.
pub(crate) const NODE: &str = "10.10.0.1";

/// One server, ended with the test.
pub(crate) struct Redis {
    /// Where it listens.
    pub(crate) address: String,
    _server: Child,
}

impl Redis {
    /// Starts one on a port that is free.
    pub(crate) async fn start(world: &World) -> Self {
        let free = TcpListener::bind((NODE, 0)).await.expect("a port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        Self::start_on(world, port).await
    }

    /// Starts one on this port, and waits until it answers.
    pub(crate) async fn start_on(world: &World, port: u16) -> Self {
        let server = Command::new("redis-server")
            .args(["--bind", NODE, "--port", &port.to_string()])
            .args(["--protected-mode", "no", "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server: run `cargo xtask test e2e`");
        let address = format!("{NODE}:{port}");
        world
            .until("Redis answers", SOON, async || {
                let answer = TcpStream::connect(&address).await;
                answer.map(drop).map_err(|error| error.to_string())
            })
            .await;
        Self {
            address,
            _server: server,
        }
    }
}
