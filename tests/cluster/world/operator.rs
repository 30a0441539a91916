//! The real operator as a process of its own, for one namespace. It ends with the scenario, and with
//! this process however that ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The one that was built with the tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_graceful-operator");

/// An operator, most often one that watches one namespace.
pub(crate) struct Operator {
    process: Child,
}

impl Operator {
    /// Starts one; what an earlier one of the namespace logged stays.
    pub(crate) fn start(namespace: &str) -> Self {
        Self::spawn(namespace, |_| {})
    }

    /// Starts one that reaches the API server by another kubeconfig than the tests'.
    pub(crate) fn start_through(namespace: &str, kubeconfig: &Path) -> Self {
        Self::spawn(namespace, |command| {
            command.env("KUBECONFIG", kubeconfig);
        })
    }

    /// Starts one that watches several namespaces, and logs for the first.
    pub(crate) fn start_for(namespaces: &[&str], kubeconfig: &Path) -> Self {
        let (first, others) = namespaces.split_first().expect("a namespace");
        Self::spawn(first, |command| {
            command.env("KUBECONFIG", kubeconfig);
            command.args(others.iter().flat_map(|other| ["--watch-namespace", other]));
        })
    }

    /// Starts one that leads only while it holds a Lease.
    pub(crate) fn start_with_lease(namespace: &str, kubeconfig: &Path, lease: &str) -> Self {
        Self::spawn(namespace, |command| {
            command.env("KUBECONFIG", kubeconfig);
            command.args(["--lease", lease]);
        })
    }

    /// Starts one that sends traces there.
    pub(crate) fn start_traced(namespace: &str, collector: &str) -> Self {
        Self::spawn(namespace, |command| {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
        })
    }

    /// Starts one for all namespaces that logs as in a cluster, under this name. The program is the one that is
    /// shipped where `GRACEFUL_OPERATOR` names it.
    pub(crate) fn start_everywhere(name: &str) -> Self {
        let shipped = std::env::var("GRACEFUL_OPERATOR").ok();
        let program = shipped.as_deref().unwrap_or(PROGRAM);
        let mut command = command(program, name);
        command.env("RUST_LOG", "info");
        Self::of(command)
    }

    fn spawn(namespace: &str, arrange: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(PROGRAM, namespace);
        command.args(["--watch-namespace", namespace]);
        arrange(&mut command);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let process = command.spawn().expect("the operator starts");
        Self { process }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it counts: the page of its metrics. Of the one that was started last in its namespace.
    pub(crate) async fn metrics(namespace: &str) -> String {
        let text = std::fs::read_to_string(log(namespace)).unwrap_or_default();
        let line = text.lines().rfind(|line| line.contains("answers probes"));
        let (_, address) = line
            .and_then(|line| line.split_once("address="))
            .expect("its address in its log");
        let stream = TcpStream::connect(address.trim())
            .await
            .expect("it listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/metrics").header("Host", "operator");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.expect("an answer");
        let body = answer.into_body().collect().await.expect("a page");
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.process.try_wait().expect("a process") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it at once, as the kernel would.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The end of what it logged.
    pub(crate) fn log(namespace: &str) -> String {
        const LINES: usize = 60;
        let text = std::fs::read_to_string(log(namespace)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program that logs under this name.
fn command(program: &str, name: &str) -> Command {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log(name))
        .expect("the operator's log");
    let mut command = Command::new("setpriv");
    command
        // A test that is aborted does not leave it behind: the kernel ends it with this thread.
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(["run", "--agent-image", "agent:1", "--log-format", "text"])
        .args(["--http-address", "127.0.0.1:0"])
        .env(
            "RUST_LOG",
            "debug,hyper=info,tower=info,rustls=info,h2=info",
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

fn log(namespace: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("operators");
    std::fs::create_dir_all(&folder).expect("a folder for logs");
    folder.join(format!("{namespace}.log"))
}
