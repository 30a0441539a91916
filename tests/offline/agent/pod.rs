//! A made-up pod for the agent's binary: folders for its volume and annotations, a port of its own,
//! and the part of the kubelet.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use super::wait;
use graceful::api::receipt::Receipt;
use tempfile::TempDir;

/// What the pod is told: short times, and no port that anything else on this machine listens on.
pub(super) const SETTINGS: &str =
    r#"{"minSeconds":0,"quietSeconds":1,"confirm":[{"connections":{"ports":[1]}}]}"#;

pub(super) struct Pod {
    pub(super) folder: TempDir,
    pub(super) port: u16,
    swaps: u32,
}

impl Pod {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["memory", "podinfo"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut pod = Self {
            folder,
            port: free_port(),
            swaps: 0,
        };
        pod.annotate("", SETTINGS);
        pod
    }

    /// Swaps all files at once, as the kubelet does.
    pub(super) fn annotate(&mut self, drain: &str, config: &str) {
        self.swaps += 1;
        let podinfo = self.folder.path().join("podinfo");
        let name = format!("..{}", self.swaps);
        fs::create_dir(podinfo.join(&name)).unwrap();
        fs::write(podinfo.join(&name).join("drain"), drain).unwrap();
        fs::write(podinfo.join(&name).join("config"), config).unwrap();
        symlink(name, podinfo.join("..new")).unwrap();
        fs::rename(podinfo.join("..new"), podinfo.join("..data")).unwrap();
        for file in ["drain", "config"] {
            let _ = symlink(format!("..data/{file}"), podinfo.join(file));
        }
    }

    pub(super) fn drain(&mut self, epoch: &str) {
        self.drain_by(epoch, SETTINGS);
    }

    pub(super) fn drain_by(&mut self, epoch: &str, settings: &str) {
        let request = format!(r#"{{"epoch":"{epoch}","drain":{settings}}}"#);
        self.annotate(&request, settings);
    }

    /// Asks for a drain, and probes as the kubelet does until the pod is withdrawn.
    pub(super) fn withdraw_by(&mut self, settings: &str) {
        self.drain_by("one", settings);
        wait("withdrawn", || self.get("GET", "/readyz") == Some(503));
    }

    pub(super) fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graceful-agent"));
        command.args(&arguments[..1]);
        for name in ["memory", "podinfo", "message"] {
            command
                .arg(format!("--{name}"))
                .arg(self.folder.path().join(name));
        }
        command.args(&arguments[1..]).env("POD_UID", "the-pod");
        command
    }

    pub(super) fn serve(&self) -> Agent {
        let log = self.folder.path().join("log");
        let log = OpenOptions::new().create(true).append(true).open(log);
        let port = self.port.to_string();
        let mut agent = self.agent(&["serve", "--port", &port]);
        let agent = Agent(agent.stderr(log.unwrap()).spawn().unwrap());
        wait("the agent answers", || self.get("GET", "/readyz").is_some());
        agent
    }

    /// What all agents of this pod have said so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The page on the drain; null while there is no answer.
    pub(super) fn page(&self) -> serde_json::Value {
        let answer = self.ask("GET", "/drain");
        let body = answer.and_then(|(_, page)| Some(page.split_once("\r\n\r\n")?.1.to_owned()));
        body.map_or(serde_json::Value::Null, |body| {
            serde_json::from_str(&body).unwrap()
        })
    }

    pub(super) fn prestop(&self, arguments: &[&str]) -> Output {
        let all: Vec<_> = std::iter::once("prestop")
            .chain(arguments.iter().copied())
            .collect();
        self.agent(&all).output().unwrap()
    }

    /// The status that a request from the kubelet's probe gets.
    pub(super) fn get(&self, method: &str, path: &str) -> Option<u16> {
        self.ask(method, path).map(|(status, _)| status)
    }

    pub(super) fn ask(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.36\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.get(9..12)?.parse().ok()?;
        Some((status, answer))
    }

    pub(super) fn receipt(&self) -> Option<Receipt> {
        Receipt::parse(&fs::read_to_string(self.folder.path().join("message")).ok()?)
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.folder.path().join("memory/mark")
    }
}

/// A port for an agent that may be started more than once: below those that the kernel gives to
/// others meanwhile, and where another run of these tests does not look first.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let place = std::process::id() * 61 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(20_000 + place % 12_000).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A running agent, ended with the test.
pub(super) struct Agent(pub(super) Child);

impl Agent {
    pub(super) fn end(mut self) -> ExitStatus {
        let mut status = None;
        wait("the agent exits", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(super) fn terminate(self) -> ExitStatus {
        self.signal("TERM");
        self.end()
    }

    pub(super) fn signal(&self, name: &str) {
        let (signal, id) = (format!("-{name}"), self.0.id().to_string());
        let status = Command::new("kill").args([signal, id]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An application that listens to what it is told.
pub(super) struct Application(TcpListener);

impl Application {
    pub(super) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    /// A long drain of which the application is told.
    pub(super) fn settings(&self) -> String {
        let port = self.0.local_addr().unwrap().port();
        let notify = format!(r#"{{"httpPost":{{"port":{port},"path":"/bye"}}}}"#);
        format!(r#"{{"minSeconds":600,"notify":{notify}}}"#)
    }

    /// Waits for a request, and answers it so.
    pub(super) fn hear(&self, answer: &[u8]) -> String {
        let mut guest = None;
        wait("the application is told", || {
            guest = self.0.accept().ok();
            guest.is_some()
        });
        let (stream, _) = guest.unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        (&stream).write_all(answer).unwrap();
        line
    }

    /// Nobody has tried to tell it anything since.
    pub(super) fn is_left_alone(&self) -> bool {
        self.0.accept().is_err()
    }
}
