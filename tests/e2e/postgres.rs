//! A real PostgreSQL of a test's own, on the node's address and its usual port: clients are known by that. What it says
//! of its clients' ends is a second witness, beside what the agents saw.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cluster::World;
use crate::examples::SOON;
use crate::ports::{KnownPort, NODE};

/// What it writes when the kernel ended a connection on which no goodbye had been said.
const NO_GOODBYE: [&str; 3] = [
    "unexpected EOF on client connection",
    "could not receive data from client",
    "connection to client lost",
];

/// What it writes when a session is over, however it ended.
const OVER: &str = "disconnection: session time";

/// One server, ended with the test.
pub(super) struct Postgres {
    folder: TempDir,
    _server: Child,
    _port: KnownPort,
}

impl Postgres {
    pub(super) async fn start(world: &World) -> Self {
        let port = KnownPort::take(world).await;
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let made = program("initdb")
            .args(["--auth", "trust", "--no-sync", "--username", "app"])
            .arg("--pgdata")
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .await;
        assert!(made.expect("initdb runs").success(), "initdb");
        // Pods come from addresses of their own.
        let access = data.join("pg_hba.conf");
        let rules = std::fs::read_to_string(&access).expect("its rules");
        std::fs::write(&access, rules + "host all all 10.0.0.0/8 trust\n").expect("written");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let settings = [
            "fsync=off",
            "max_connections=200",
            "unix_socket_directories=",
            // A client that goes between two queries without a word is told of on this level alone.
            "log_min_messages=debug1",
            "log_disconnections=on",
            // The client's address and its name come first.
            "log_line_prefix=%h %a ",
        ];
        let server = program("postgres")
            .args(["-h", NODE, "-p", &KnownPort::NUMBER.to_string()])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .arg("-D")
            .arg(&data)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the server");
        let address = format!("{NODE}:{}", KnownPort::NUMBER);
        world.until_answers("PostgreSQL", &address, SOON).await;
        Self {
            folder,
            _server: server,
            _port: port,
        }
    }

    /// Where an app finds it, with so many connections for each pod. Its name and namespace tell its connections from
    /// others': pods of an earlier test may still be there and find this server too.
    pub(super) fn url(world: &World, app: &str, (least, most): (u32, u32)) -> String {
        let app = client(world, app);
        let server = format!("postgres://app@{NODE}:{}/postgres", KnownPort::NUMBER);
        format!("{server}?pool_min_conns={least}&pool_max_conns={most}&application_name={app}")
    }

    /// Where sessions of this app that are over came from, and those that ended without a goodbye.
    pub(super) fn ended(&self, world: &World, app: &str) -> Ended {
        let app = client(world, app);
        let log = std::fs::read(self.folder.path().join("log")).expect("the log");
        let mut ended = Ended::default();
        for line in String::from_utf8_lossy(&log).lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(address), Some(name), Some(text)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if name != app {
                continue;
            }
            if text.contains(OVER) {
                ended.sessions.insert(address.to_owned());
            }
            if NO_GOODBYE.iter().any(|words| text.contains(words)) {
                ended.without_goodbye.insert(address.to_owned());
            }
        }
        ended
    }
}

/// As what an app's connections are known to the server.
fn client(world: &World, app: &str) -> String {
    format!("{}.{app}", world.namespace)
}

/// Clients' addresses, by how their sessions ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) sessions: BTreeSet<String>,
    pub(super) without_goodbye: BTreeSet<String>,
}

/// A program of its package. It refuses to run as root, and no other user may enter the folder where it is unpacked: so
/// it has root's files under another name.
fn program(name: &str) -> Command {
    let folder = std::env::var_os("POSTGRES").expect("POSTGRES: run `cargo xtask test e2e`");
    let folder = PathBuf::from(folder);
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-user=65534", "--map-group=65534", "--"])
        .arg(folder.join(name))
        .env("LD_LIBRARY_PATH", libraries(&folder))
        .stdin(Stdio::null());
    command
}

/// What was unpacked with it because the machine does not have it.
fn libraries(programs: &Path) -> OsString {
    let root = programs.ancestors().nth(5).unwrap_or(programs);
    let all = ["usr/lib", "lib"].map(|folder| std::fs::read_dir(root.join(folder)));
    let folders = all.into_iter().flatten().flatten().flatten();
    let folders = folders.map(|entry| entry.path());
    let is_libraries = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
    std::env::join_paths(folders.filter(is_libraries)).expect("paths")
}
