//! One connection and the exchanges on it: a request goes out, the answer is read to its end and
//! checked byte by byte. Never retries and never reuses silently: what breaks is told as it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::outcome::{Break, Phase, Sign};
use super::source::{Port, Sources};
use super::wire::{self, Account, Wire};

/// Patience with a connection: the kernel sends a second SYN after one second, a third after three.
const CONNECT: Duration = Duration::from_secs(3);

/// A request, and how its answer must be.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    pub(super) expect: Expect,
    /// Patience until the answer begins.
    pub(super) answer: Duration,
    /// Patience between two pieces of the body.
    pub(super) piece: Duration,
}

/// What the body of the answer must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Anything, as long as it ends.
    Whole,
    /// The body of the request.
    Echo,
    /// Lines `0`, `1` … and a last line `end`.
    Lines,
}

/// One connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    account: Arc<Account>,
    open: Arc<AtomicI64>,
    peer: SocketAddr,
    /// Where it comes from. Given back after the socket is closed.
    port: Port,
    /// When it was opened, and how long that took.
    pub(super) since: Instant,
    pub(super) connect: Duration,
    /// The pod behind it, once an answer named it.
    pub(super) pod: Option<String>,
    /// Exchanges that went well.
    pub(super) exchanges: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Opens a connection. `open` counts those that are.
    pub(super) async fn open(
        peer: SocketAddr,
        sources: &Sources,
        open: &Arc<AtomicI64>,
    ) -> Result<Self, Break> {
        let began = Instant::now();
        let broke = |sign, detail| Break {
            phase: Phase::Connect,
            sign,
            detail,
            sent: 0,
            received: 0,
        };
        let (stream, port) = timeout(CONNECT, sources.connect(peer))
            .await
            .map_err(|_| broke(Sign::Silence, format!("no connection in {CONNECT:?}")))?
            .map_err(|error| broke(wire::sign(&error), error.to_string()))?;
        let connect = began.elapsed();
        let (wire, account) = Wire::new(stream);
        let (sender, connection) = http1::handshake(TokioIo::new(wire))
            .await
            .map_err(|error| broke(Sign::Wrong, error.to_string()))?;
        open.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            sender,
            // Its error is the sender's error too, and the account has the cause.
            driver: tokio::spawn(async move { drop(connection.await) }),
            account,
            open: Arc::clone(open),
            peer,
            port,
            since: Instant::now(),
            connect,
            pod: None,
            exchanges: 0,
        })
    }

    /// Local address.
    pub(super) fn source(&self) -> SocketAddr {
        self.port.address()
    }

    /// Whether another request may be sent: the server has not closed it, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed() && self.account.end().is_none()
    }

    /// One request and its answer, to the end.
    pub(super) async fn exchange(&mut self, call: &Call) -> Result<(), Break> {
        let (sent, received) = (self.account.sent(), self.account.received());
        self.try_exchange(call).await.map_err(|mut broke| {
            broke.sent = self.account.sent() - sent;
            broke.received = self.account.received() - received;
            broke
        })?;
        self.exchanges += 1;
        Ok(())
    }

    async fn try_exchange(&mut self, call: &Call) -> Result<(), Break> {
        let request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header("host", self.peer.to_string())
            .header("user-agent", "graceful-load")
            .body(Full::new(call.body.clone()))
            .map_err(|error| broke(Phase::Answer, Sign::Wrong, error.to_string()))?;
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answer = match timeout(call.answer, answer).await {
            Err(_) => {
                let detail = format!("no answer in {:?}", call.answer);
                return Err(broke(Phase::Answer, Sign::Silence, detail));
            }
            Ok(Err(error)) => return Err(self.broke(Phase::Answer, &error)),
            Ok(Ok(answer)) => answer,
        };
        if let Some(pod) = answer.headers().get("x-pod") {
            self.pod = pod.to_str().ok().map(str::to_owned);
        }
        let status = answer.status();
        if status != 200 {
            let detail = format!("status {status}");
            return Err(broke(Phase::Answer, Sign::Status(status.as_u16()), detail));
        }
        self.read(call, answer).await
    }

    async fn read(&self, call: &Call, mut answer: Response<Incoming>) -> Result<(), Break> {
        let mut check = Check::new(call);
        loop {
            match timeout(call.piece, answer.body_mut().frame()).await {
                Err(_) => {
                    let detail = format!("body silent for {:?}", call.piece);
                    return Err(broke(Phase::Body, Sign::Silence, detail));
                }
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(self.broke(Phase::Body, &error)),
                Ok(Some(Ok(frame))) => {
                    if let Some(piece) = frame.data_ref() {
                        check.take(piece);
                    }
                }
            }
        }
        check.verdict()
    }

    /// Names the break by the socket's account; the library's words are its detail.
    fn broke(&self, phase: Phase, error: &hyper::Error) -> Break {
        let mut detail = error.to_string();
        if let Some(source) = std::error::Error::source(error) {
            detail = format!("{detail}: {source}");
        }
        // Without a sign on the socket and without a complaint about its bytes, the connection was
        // given up before our request reached it.
        let unused = if error.is_closed() || error.is_canceled() {
            Sign::Closed
        } else {
            Sign::Wrong
        };
        broke(phase, self.account.end().unwrap_or(unused), detail)
    }
}

fn broke(phase: Phase, sign: Sign, detail: String) -> Break {
    Break {
        phase,
        sign,
        detail,
        sent: 0,
        received: 0,
    }
}

/// Follows a body and says in the end whether it was the right one.
struct Check<'a> {
    call: &'a Call,
    body: Vec<u8>,
    lines: u64,
    ended: bool,
    wrong: Option<String>,
}

impl<'a> Check<'a> {
    fn new(call: &'a Call) -> Self {
        Self {
            call,
            body: Vec::new(),
            lines: 0,
            ended: false,
            wrong: None,
        }
    }

    fn take(&mut self, piece: &[u8]) {
        match self.call.expect {
            Expect::Whole => {}
            Expect::Echo if self.body.len() <= self.call.body.len() => {
                self.body.extend_from_slice(piece);
            }
            Expect::Echo => self.wrong = Some("echo is too long".into()),
            Expect::Lines => {
                self.body.extend_from_slice(piece);
                while let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.body.drain(..=end).collect();
                    self.line(String::from_utf8_lossy(&line).trim_end());
                }
                if self.body.len() > 1024 {
                    self.body.clear();
                    self.wrong = Some("line is too long".into());
                }
            }
        }
    }

    fn line(&mut self, line: &str) {
        if self.ended {
            self.wrong = Some(format!("line {line:?} after the end"));
        } else if line == "end" {
            self.ended = true;
        } else if line == self.lines.to_string() {
            self.lines += 1;
        } else {
            self.wrong = Some(format!("line {line:?} instead of {}", self.lines));
        }
    }

    fn verdict(self) -> Result<(), Break> {
        if let Some(wrong) = self.wrong {
            return Err(broke(Phase::Body, Sign::Wrong, wrong));
        }
        match self.call.expect {
            Expect::Echo if self.body != self.call.body => Err(broke(
                Phase::Body,
                Sign::Wrong,
                format!(
                    "echo of {} bytes for {}",
                    self.body.len(),
                    self.call.body.len()
                ),
            )),
            // The body ended in good order but is not whole: the server stopped writing it.
            Expect::Lines if !self.ended => Err(broke(
                Phase::Body,
                Sign::Closed,
                format!("{} lines without an end", self.lines),
            )),
            _ => Ok(()),
        }
    }
}
