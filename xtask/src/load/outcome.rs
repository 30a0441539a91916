//! The words of the report: which client, how far it came, what it saw, and so who broke it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Which client sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// A connection of its own for each request.
    New,
    /// One POST after another on a connection.
    KeepAlive,
    /// A POST whose answer takes its time.
    Slow,
    /// An answer that comes line by line.
    Stream,
}

/// Who broke a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Cause {
    /// Nobody listened.
    Refused,
    /// The connection was reset before an answer began.
    Reset,
    /// The connection was closed in order, but before an answer began.
    ClosedBeforeAnswer,
    /// The answer began and did not end.
    CutMidBody,
    /// Nothing came within the client's patience.
    Timeout,
    /// The server, or something before it, answered with a 5xx status.
    #[serde(rename = "5xx")]
    ServerError,
    /// Anything else: another status, or a body that is not the one to expect.
    Other,
}

/// How far a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Phase {
    /// Opening its connection.
    Connect,
    /// Waiting for the answer to begin.
    Answer,
    /// Reading the answer.
    Body,
}

/// What the client saw on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Refused,
    Reset,
    Closed,
    Silence,
    Status(u16),
    Wrong,
}

/// One failed request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    /// When it failed, in milliseconds since 1970.
    pub(crate) at_millis: u64,
    /// When it began.
    pub(crate) began_millis: u64,
    /// The arm.
    pub(crate) target: String,
    /// The client.
    pub(crate) kind: Kind,
    /// Who broke it.
    pub(crate) cause: Cause,
    /// How far it came.
    pub(crate) phase: Phase,
    /// The error in the words of who reported it.
    pub(crate) detail: String,
    /// The pod, where an answer on this connection named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
    /// Local address of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<SocketAddr>,
    /// Address that was connected to.
    pub(crate) peer: SocketAddr,
    /// Age of the connection.
    pub(crate) connection_millis: u64,
    /// Exchanges that went well on this connection before.
    pub(crate) exchanges: u64,
    /// Bytes of this request that were sent.
    pub(crate) sent: u64,
    /// Bytes that came back for it.
    pub(crate) received: u64,
}

/// Why an exchange did not come to its end.
#[derive(Clone, Debug)]
pub(super) struct Break {
    pub(super) phase: Phase,
    pub(super) sign: Sign,
    pub(super) detail: String,
    /// Bytes that were sent and received since the exchange began.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Break {
    /// Names who broke it. A break in the body is one thing, however it came: the answer was cut.
    pub(super) fn cause(&self) -> Cause {
        match (self.sign, self.phase) {
            (Sign::Silence, _) => Cause::Timeout,
            (Sign::Status(500..=599), _) => Cause::ServerError,
            (Sign::Status(_) | Sign::Wrong, _) => Cause::Other,
            (Sign::Refused, _) => Cause::Refused,
            (Sign::Reset | Sign::Closed, Phase::Body) => Cause::CutMidBody,
            (Sign::Reset, _) => Cause::Reset,
            (Sign::Closed, _) => Cause::ClosedBeforeAnswer,
        }
    }

    /// Whether the connection ended before a byte of the request left. Every HTTP client sends such
    /// a request again, so it is nobody's loss.
    pub(super) fn is_unsent(&self) -> bool {
        self.phase == Phase::Answer
            && matches!(self.sign, Sign::Closed | Sign::Reset)
            && self.sent == 0
    }
}
