//! A real Redis on the node's address, which its pods reach: what works on queues works on it.

use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::app::App;
use crate::cluster::World;
use crate::examples::{SOON, image};
use crate::ports::{KnownPort, NODE, free_address};

/// One server, ended with the test.
pub(crate) struct Redis {
    /// Where it listens.
    pub(crate) address: String,
    _server: Child,
    _port: Option<KnownPort>,
}

impl Redis {
    /// Starts one on a port that is free.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_at(world, free_address().await, None).await
    }

    /// Starts one on the port of PostgreSQL.
    pub(crate) async fn start_on_known_port(world: &World) -> Self {
        let port = KnownPort::take(world).await;
        let address = format!("{NODE}:{}", KnownPort::NUMBER);
        Self::start_at(world, address, Some(port)).await
    }

    /// Starts one, and waits until it answers.
    async fn start_at(world: &World, address: String, known: Option<KnownPort>) -> Self {
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
            _port: known,
        }
    }

    /// The answer to a command, a number.
    pub(crate) async fn number(&self, command: &str) -> u64 {
        let connection = TcpStream::connect(&self.address).await;
        let mut connection = connection.expect("a connection");
        let line = format!("{command}\r\n");
        let sent = connection.write_all(line.as_bytes()).await;
        sent.expect("sent");
        let mut answer = String::new();
        let mut reader = BufReader::new(connection);
        reader.read_line(&mut answer).await.expect("an answer");
        let number = answer.strip_prefix(':').map(str::trim);
        let number = number.and_then(|digits| digits.parse().ok());
        number.unwrap_or_else(|| panic!("{command}: {answer}"))
    }

    /// An app of the worker example that takes its jobs from here.
    pub(crate) fn worked_on(&self, app: App) -> App {
        let metrics = json!({"path": "/metrics", "port": 8080});
        app.container("/image", image("go-worker-redis"))
            .container("/readinessProbe/httpGet", metrics)
            .env("REDIS", &self.address)
    }
}
