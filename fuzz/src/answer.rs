//! The application's answer to `httpGet` and `metric`, from the bytes on the wire to the verdict. Done is only
//! what says so in whole: an answer cut off anywhere is not, and neither are other statuses and redirects.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use graceful::agent::ask::answer;
use graceful::agent::question::{Answer, Question, Why};
use graceful::api::v1alpha1::HttpPort;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::cuts::Numbers;
use super::exposition::metric;

/// More than this of a head is refused, at which of its bytes is hyper's to say.
const HEAD: usize = 8000;

/// Holds for any answer: the question and how it comes stand in the first four bytes.
pub fn hold(data: &[u8]) {
    let mut numbers = Numbers(data);
    let (how, piece, cut) = (numbers.u8(), numbers.u8(), numbers.u16());
    let (rest, piece) = (numbers.0, usize::from(piece) + 1);
    if how & 2 == 0 {
        any_answer_holds(&question(how), rest, piece);
    } else {
        framed_answer_holds(&question(how), rest, how & 4 == 0, (piece, cut));
    }
}

fn question(how: u8) -> Question {
    if how & 1 == 0 {
        Question::HttpGet(HttpPort {
            port: 9000,
            path: "/idle".into(),
        })
    } else {
        Question::Metric(metric("jobs", &[]))
    }
}

/// Bytes as they may come from anybody.
fn any_answer_holds(question: &Question, wire: &[u8], piece: usize) {
    let said = put(question, wire, piece);
    if wire.len() < HEAD {
        assert_eq!(
            said,
            put(question, wire, wire.len().max(1)),
            "pieces matter"
        );
    }
    if said != Answer::Done {
        return;
    }
    let text = String::from_utf8_lossy(wire);
    let mut statuses = text.lines().filter(|line| line.starts_with("HTTP/1."));
    assert!(
        statuses.any(|line| line.contains(" 2")),
        "done without success"
    );
    if matches!(question, Question::Metric(_)) {
        assert!(text.contains("jobs"), "done without the metric");
    }
}

/// A body in an answer of ours: whole, it is judged as the page is; cut off, it is never done.
fn framed_answer_holds(question: &Question, body: &[u8], is_chunked: bool, how: (usize, u16)) {
    let (piece, cut) = how;
    let wire = if is_chunked {
        chunked(body, piece)
    } else {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let whole = put(question, &wire, piece);
    assert!(
        !matches!(whole, Answer::Error(Why::Broken | Why::CutOff)),
        "our own answer is {whole:?}"
    );
    if matches!(question, Question::HttpGet(_)) && body.len() <= 64 * 1024 {
        assert_eq!(whole, Answer::Done);
    }
    let cut = usize::from(cut) % wire.len();
    let said = put(question, wire.get(..cut).unwrap_or_default(), piece);
    assert_eq!(said, Answer::Error(Why::Broken), "cut at {cut}");
}

fn chunked(body: &[u8], piece: usize) -> Vec<u8> {
    let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(piece) {
        wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
        wire.extend(chunk);
        wire.extend(b"\r\n");
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = RefCell::new(Builder::new_current_thread().build().ok());
}

/// Puts the question to an application that answers these bytes, so many at a time, and closes.
fn put(question: &Question, wire: &[u8], piece: usize) -> Answer {
    let application = Application {
        left: wire.to_vec(),
        piece,
        is_asked: false,
        waits: None,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000));
    RUNTIME.with_borrow(|runtime| {
        let runtime = runtime.as_ref().expect("a runtime without IO");
        runtime.block_on(answer(question, application, address))
    })
}

/// The other end of a connection: it answers once it was asked.
struct Application {
    left: Vec<u8>,
    piece: usize,
    is_asked: bool,
    waits: Option<Waker>,
}

impl AsyncRead for Application {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            self.waits = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = self.piece.min(self.left.len()).min(into.remaining());
        let rest = self.left.split_off(length);
        into.put_slice(&self.left);
        self.left = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Application {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_asked |= bytes.ends_with(b"\r\n\r\n");
        if let Some(waits) = self.waits.take() {
            waits.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
