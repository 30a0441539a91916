//! The clients that the examples bring along: processes that call until they are told to end, and say then what they
//! lost.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::cluster::World;
use crate::examples::SOON;

/// An example's program, which is a client too.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("EXAMPLES").expect("EXAMPLES: run `cargo xtask test e2e`");
    PathBuf::from(folder).join(format!("example-{name}"))
}

/// Clients under way.
pub(crate) struct Callers(Vec<Caller>);

struct Caller {
    process: Child,
    /// Read as they come, or a client with many complaints would wait for somebody to listen.
    words: [JoinHandle<String>; 2],
}

/// What clients said in their last lines.
pub(crate) struct Told {
    words: String,
}

impl Callers {
    /// Starts so many clients of a Service.
    pub(crate) async fn start(
        world: &World,
        service: &str,
        (example, flag): (&str, &str),
        many: usize,
    ) -> Self {
        let address = world.address(service).await;
        world.until_answers("the Service", &address, SOON).await;
        let one = |_| {
            let mut client = Command::new(program(example));
            client.args([flag, &address]);
            client
        };
        Self::of((0..many).map(one))
    }

    /// Starts these.
    pub(crate) fn of(clients: impl IntoIterator<Item = Command>) -> Self {
        Self(clients.into_iter().map(Caller::start).collect())
    }

    /// Asks them to end, and waits until they have: calls under way are finished.
    pub(crate) async fn finish(self) -> Told {
        for caller in &self.0 {
            let id = caller.process.id().expect("it runs").to_string();
            let signal = Command::new("kill").args(["-TERM", &id]).status().await;
            assert!(signal.expect("kill runs").success());
        }
        self.end().await
    }

    /// Waits until they have ended by themselves.
    pub(crate) async fn end(self) -> Told {
        let mut words = String::new();
        for mut caller in self.0 {
            caller.process.wait().await.expect("its end");
            for pipe in caller.words {
                words += &pipe.await.expect("its words");
            }
        }
        print!("{words}");
        Told { words }
    }
}

impl Caller {
    fn start(mut client: Command) -> Self {
        let mut process = client
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the example's client");
        let words = [
            listen(process.stdout.take().expect("piped")),
            listen(process.stderr.take().expect("piped")),
        ];
        Self { process, words }
    }
}

fn listen(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut words = String::new();
        pipe.read_to_string(&mut words).await.expect("its words");
        words
    })
}

impl Told {
    /// The sum of a number that each client names: `calls 812, calls lost 0`, behind the time or not.
    pub(crate) fn number(&self, what: &str) -> u64 {
        let parts = self.words.lines().flat_map(|line| line.split(", "));
        let of = |part: &str| -> Option<u64> {
            let (name, number) = part.rsplit_once(' ')?;
            let is_meant = name == what || name.ends_with(&format!(" {what}"));
            is_meant.then(|| number.parse().ok())?
        };
        let numbers: Vec<_> = parts.filter_map(of).collect();
        assert!(!numbers.is_empty(), "no client told of {what}");
        numbers.iter().sum()
    }
}

#[test]
fn numbers_of_all_clients_are_summed() {
    let words = "2026/01/02 03:04:05 calls 7, calls lost 0\nEOF\ncalls 5, calls lost 2\n".into();
    let told = Told { words };
    assert_eq!((told.number("calls"), told.number("calls lost")), (12, 2));
}
