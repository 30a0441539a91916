//! The four clients. Each begins at a random phase and pauses for a random time, so that they do not
//! march in step; each stops between two requests, never within one.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use hyper::Method;
use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;

use super::exchange::{Call, Connection, Expect};
use super::outcome::{Break, Kind};
use super::source::Sources;
use super::spec::Target;
use super::tally::{Entry, Place, Tally};

/// A client's patience with a short request.
const SHORT: Duration = Duration::from_secs(5);

/// What a server may take over a slow request beyond the time that it is asked to.
const SLACK: Duration = Duration::from_secs(7);

/// Short requests under way at once for each target: beyond that the client would measure itself.
const UNDER_WAY: usize = 2000;

/// Everything the clients of one target share.
pub(super) struct Arm {
    pub(super) target: Target,
    pub(super) sources: Sources,
    pub(super) tally: Tally,
    pub(super) failures: Arc<Option<Mutex<std::fs::File>>>,
}

/// Turns true when no further request is to begin.
pub(super) type Stop = watch::Receiver<bool>;

/// Held by everybody who may have a request under way; the run ends when all are dropped.
pub(super) type Busy = mpsc::Sender<()>;

/// Starts all clients of an arm.
pub(super) fn start(arm: &Arc<Arm>, stop: &Stop, busy: &Busy, random: &mut Rng) {
    let clients = &arm.target.clients;
    let go = |client: Client| {
        tokio::spawn(client.run());
    };
    let mut client = |kind| Client {
        kind,
        arm: Arc::clone(arm),
        stop: stop.clone(),
        busy: busy.clone(),
        random: random.fork(),
    };
    if clients.new_per_second > 0.0 {
        go(client(Kind::New));
    }
    for (kind, count) in [
        (Kind::KeepAlive, clients.keep_alive),
        (Kind::Slow, clients.slow),
        (Kind::Stream, clients.streams),
    ] {
        for _ in 0..count {
            go(client(kind));
        }
    }
}

struct Client {
    kind: Kind,
    arm: Arc<Arm>,
    stop: Stop,
    busy: Busy,
    random: Rng,
}

impl Client {
    async fn run(mut self) {
        match self.kind {
            Kind::New => self.arrive().await,
            Kind::KeepAlive => self.keep_alive().await,
            Kind::Slow | Kind::Stream => self.repeat().await,
        }
    }

    /// Requests that arrive at random, whether or not earlier ones were answered.
    async fn arrive(&mut self) {
        let gap = 1.0 / self.arm.target.clients.new_per_second;
        let room = Arc::new(Semaphore::new(UNDER_WAY));
        let mut due = Instant::now();
        loop {
            // Exponential gaps make a Poisson process: the number in any interval is random too.
            due += Duration::from_secs_f64(-gap * (1.0 - self.random.f64()).ln());
            if !self
                .pause(due.saturating_duration_since(Instant::now()))
                .await
            {
                return;
            }
            // What was missed in a stall of the machine is not made up for in one burst.
            due = due.max(
                Instant::now()
                    .checked_sub(Duration::from_millis(500))
                    .unwrap_or(due),
            );
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                self.arm.tally.skipped();
                continue;
            };
            let Some(entry) = self.arm.tally.begin(self.kind) else {
                return;
            };
            let (arm, busy) = (Arc::clone(&self.arm), self.busy.clone());
            tokio::spawn(async move {
                arm.once(&entry, &short(Method::GET, Bytes::new(), Expect::Whole))
                    .await;
                drop((place, busy));
            });
        }
    }

    /// One POST after another on a connection, and a new connection when the server closed it.
    async fn keep_alive(&mut self) {
        let mean = Duration::from_millis(self.arm.target.clients.pause_millis);
        let mut connection = None;
        let first = mean.mul_f64(self.random.f64());
        let mut wait = first;
        while self.pause(wait).await {
            let Some(entry) = self.arm.tally.begin(self.kind) else {
                return;
            };
            let call = self.kept();
            connection = self.arm.again(&entry, &call, connection).await;
            wait = mean.mul_f64(0.5 + self.random.f64());
        }
    }

    /// One long request after another, each on a connection of its own.
    async fn repeat(&mut self) {
        let clients = &self.arm.target.clients;
        let whole = Duration::from_secs(match self.kind {
            Kind::Stream => clients.stream_seconds(),
            _ => clients.slow_seconds(),
        });
        // The first one is the rest of one that began before us, so that from the first second on
        // they are as evenly spread as later.
        let mut length = whole.mul_f64(self.random.f64());
        let mut wait = Duration::from_millis(self.random.u64(0..500));
        while self.pause(wait).await {
            let Some(entry) = self.arm.tally.begin(self.kind) else {
                return;
            };
            let call = self.long(length);
            self.arm.once(&entry, &call).await;
            length = whole;
            wait = Duration::from_millis(self.random.u64(0..500));
        }
    }

    /// A POST of a connection that is kept, answered at once or a little later.
    fn kept(&mut self) -> Call {
        let millis = self.arm.target.clients.kept_millis;
        let mut call = short(Method::POST, self.words(), Expect::Echo);
        if millis > 0 {
            let length = Duration::from_millis(millis);
            call.path = format!("/slow?seconds={:.3}", length.as_secs_f64());
            call.answer += length;
        }
        call
    }

    /// A slow POST or a stream of that length.
    fn long(&mut self, length: Duration) -> Call {
        let seconds = length.as_secs_f64();
        if self.kind == Kind::Stream {
            return Call {
                path: format!("/stream?seconds={seconds:.1}"),
                ..short(Method::GET, Bytes::new(), Expect::Lines)
            };
        }
        Call {
            path: format!("/slow?seconds={seconds:.1}"),
            answer: length + SLACK,
            ..short(Method::POST, self.words(), Expect::Echo)
        }
    }

    /// A body that no other request has.
    fn words(&mut self) -> Bytes {
        let length = self.random.usize(16..512);
        let words: Vec<u8> = (0..length)
            .map(|_| self.random.alphanumeric() as u8)
            .collect();
        Bytes::from(words)
    }

    /// Waits; false when no further request is to begin.
    async fn pause(&mut self, time: Duration) -> bool {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => false,
            () = sleep(time) => true,
        }
    }
}

impl Arm {
    /// One request on a connection of its own.
    async fn once(&self, entry: &Entry, call: &Call) {
        let mut connection = match self.open().await {
            Ok(connection) => connection,
            Err(broke) => return self.lost(entry, &broke, None),
        };
        match connection.exchange(call).await {
            Ok(()) => self.tally.good(entry, connection.pod.as_deref()),
            Err(broke) => self.lost(entry, &broke, Some(&connection)),
        }
    }

    /// One request on the connection given, or on a new one where the server closed it in between.
    async fn again(
        &self,
        entry: &Entry,
        call: &Call,
        given: Option<Connection>,
    ) -> Option<Connection> {
        let mut given = given.filter(|connection| {
            let open = connection.is_open();
            if !open {
                self.tally.closed_idle();
            }
            open
        });
        loop {
            let used = given.is_some();
            let mut connection = match given.take() {
                Some(connection) => connection,
                None => match self.open().await {
                    Ok(connection) => connection,
                    Err(broke) => {
                        self.lost(entry, &broke, None);
                        return None;
                    }
                },
            };
            match connection.exchange(call).await {
                Ok(()) => {
                    self.tally.good(entry, connection.pod.as_deref());
                    return Some(connection);
                }
                Err(broke) if used && broke.is_unsent() => self.tally.closed_idle(),
                Err(broke) => {
                    self.lost(entry, &broke, Some(&connection));
                    return None;
                }
            }
        }
    }

    async fn open(&self) -> Result<Connection, Break> {
        let connection =
            Connection::open(self.target.address, &self.sources, &self.tally.open).await?;
        self.tally.connected(connection.connect);
        Ok(connection)
    }

    fn lost(&self, entry: &Entry, broke: &Break, connection: Option<&Connection>) {
        let place = connection.map_or_else(Place::default, |connection| Place {
            pod: connection.pod.clone(),
            source: Some(connection.source()),
            age: connection.since.elapsed(),
            exchanges: connection.exchanges,
        });
        let Some(failure) = self.tally.lost(entry, broke, place) else {
            return;
        };
        if let Some(file) = self.failures.as_ref()
            && let (Ok(mut file), Ok(line)) = (file.lock(), serde_json::to_string(&failure))
        {
            // The report has the failure too; a full disk must not stop the load.
            let _ = writeln!(file, "{line}");
        }
    }
}

fn short(method: Method, body: Bytes, expect: Expect) -> Call {
    Call {
        method,
        path: "/".into(),
        body,
        expect,
        answer: SHORT,
        piece: SHORT,
    }
}
