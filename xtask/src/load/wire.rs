//! A socket that keeps account: bytes both ways, and the first sign of its end as the kernel gave
//! it. The causes in the report come from here, not from the words of an HTTP library.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::outcome::Sign;

/// A connection's account, kept while the HTTP library holds the socket.
#[derive(Default)]
pub(super) struct Account {
    sent: AtomicU64,
    received: AtomicU64,
    end: OnceLock<Sign>,
}

impl Account {
    /// Bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// How the other side ended the connection, if it did. The first sign counts: a reset that
    /// answers our write after an orderly close is only its echo.
    pub(super) fn end(&self) -> Option<Sign> {
        self.end.get().copied()
    }

    fn note(&self, error: &io::Error) {
        // Later signs are dropped on purpose.
        let _ = self.end.set(sign(error));
    }
}

/// What an I/O error says about the other side.
pub(super) fn sign(error: &io::Error) -> Sign {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Sign::Refused,
        // A write after the reset was read gives a broken pipe.
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Sign::Reset,
        io::ErrorKind::TimedOut => Sign::Silence,
        io::ErrorKind::UnexpectedEof => Sign::Closed,
        _ => Sign::Wrong,
    }
}

/// The socket.
pub(super) struct Wire {
    stream: TcpStream,
    account: Arc<Account>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> (Self, Arc<Account>) {
        let account = Arc::new(Account::default());
        let wire = Self {
            stream,
            account: Arc::clone(&account),
        };
        (wire, account)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        match &result {
            Poll::Ready(Ok(())) if buffer.filled().len() == before && buffer.remaining() > 0 => {
                let _ = self.account.end.set(Sign::Closed);
            }
            Poll::Ready(Ok(())) => {
                let read = (buffer.filled().len() - before) as u64;
                self.account.received.fetch_add(read, Ordering::AcqRel);
            }
            Poll::Ready(Err(error)) => self.account.note(error),
            Poll::Pending => {}
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        match &result {
            Poll::Ready(Ok(written)) => {
                self.account
                    .sent
                    .fetch_add(*written as u64, Ordering::AcqRel);
            }
            Poll::Ready(Err(error)) => self.account.note(error),
            Poll::Pending => {}
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
