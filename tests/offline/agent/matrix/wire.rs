//! The two ends of a connection in the hands of one script, and the script's clock: it keeps its pattern
//! up until its row is judged.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How far a script is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connection is not yet what its row says.
    Preparing,
    /// From here on it is.
    Judged,
    Over,
}

/// A listener and the progress of the script that connects to it.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) listener: Arc<TcpListener>,
    phase: Arc<(Mutex<Phase>, Condvar)>,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self {
            listener: Arc::new(TcpListener::bind("127.0.0.1:0").unwrap()),
            phase: Arc::new((Mutex::new(Phase::Preparing), Condvar::new())),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// A new connection, as a client of HTTP and a server of it make one.
    pub(super) fn connect(&self) -> Pair {
        let client = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        client.set_nodelay(true).unwrap();
        let (server, _) = self.listener.accept().unwrap();
        server.set_nodelay(true).unwrap();
        Pair { client, server }
    }

    /// Nothing more happens.
    pub(super) fn rest(&self) {
        self.advance(Phase::Judged);
        self.pause(Duration::from_secs(60));
    }

    /// This happens again and again, with a pause after each.
    pub(super) fn every(&self, millis: u64, mut turn: impl FnMut()) {
        while !self.is_over() {
            turn();
            self.advance(Phase::Judged);
            self.pause(Duration::from_millis(millis));
        }
    }

    /// Time passes, unless the row has been judged.
    pub(super) fn pause(&self, time: Duration) {
        let (phase, changed) = &*self.phase;
        let until = Instant::now() + time;
        let mut phase = phase.lock().unwrap();
        while *phase != Phase::Over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            phase = changed.wait_timeout(phase, left).unwrap().0;
        }
    }

    pub(super) fn is_over(&self) -> bool {
        *self.phase.0.lock().unwrap() == Phase::Over
    }

    pub(super) fn is_judged(&self) -> bool {
        *self.phase.0.lock().unwrap() == Phase::Judged
    }

    pub(super) fn advance(&self, to: Phase) {
        let (phase, changed) = &*self.phase;
        let mut phase = phase.lock().unwrap();
        if *phase != Phase::Over {
            *phase = to;
        }
        changed.notify_all();
    }
}

/// Both ends of a connection.
pub(super) struct Pair<Client = TcpStream, Server = TcpStream> {
    pub(super) client: Client,
    pub(super) server: Server,
}

impl<Client: Read + Write, Server: Read + Write> Pair<Client, Server> {
    /// The client says so many bytes, and the server reads them.
    pub(super) fn ask(&mut self, bytes: usize) {
        carry(&mut self.client, &mut self.server, bytes);
    }

    /// The server says so many bytes, and the client reads them.
    pub(super) fn answer(&mut self, bytes: usize) {
        carry(&mut self.server, &mut self.client, bytes);
    }

    /// A request and its answer.
    pub(super) fn turn(&mut self, request: usize, answer: usize) {
        self.ask(request);
        self.answer(answer);
    }
}

/// No more at a time than any socket buffer holds, so that one thread can do both.
fn carry(from: &mut impl Write, to: &mut impl Read, bytes: usize) {
    assert!(bytes <= 32 * 1024, "{bytes} bytes may not fit at once");
    from.write_all(&vec![b'x'; bytes]).unwrap();
    from.flush().unwrap();
    to.read_exact(&mut vec![0; bytes]).unwrap();
}
