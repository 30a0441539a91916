//! Requests to the pod itself: the notice to the application, the questions of its confirmations and a
//! user's own httpGet hook. One second to connect, a bounded time in all, no redirects; the body of an
//! answer is read for a confirmation alone, piece by piece, and never kept.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::sockets::local;
use crate::api::v1alpha1::HttpPort;

const CONNECT: Duration = Duration::from_secs(1);

/// A request to the pod got no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Nobody accepted the connection.
    #[error("connect to port {port}")]
    Connect {
        /// The port.
        port: u16,
        /// Why, at the last address that was tried.
        source: std::io::Error,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("send the request")]
    Send(#[from] hyper::Error),
    /// Path or headers cannot be sent.
    #[error("build the request")]
    Build(#[from] hyper::http::Error),
    /// The other side does not speak TLS as we do.
    #[error("begin TLS")]
    Tls(#[source] std::io::Error),
    /// The answer says no.
    #[error("answered {0}")]
    Status(StatusCode),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Tells the application that a drain began (`POST`) or was cancelled (`DELETE`).
///
/// # Errors
/// When no answer came within two seconds.
pub async fn notify(to: &HttpPort, method: Method) -> Result<StatusCode, HttpError> {
    let limit = Duration::from_secs(2);
    let send = async {
        let (stream, address) = connect(to.port).await?;
        let request = Request::builder()
            .method(method)
            .uri(&to.path)
            .header("Host", address.to_string())
            .header("User-Agent", "graceful-agent")
            .header("Content-Length", "0")
            .body(Empty::<Bytes>::new())?;
        exchange(stream, request).await
    };
    timeout(limit, send)
        .await
        .map_err(|_| HttpError::Timeout(limit))?
}

/// Sends one request over a connection and takes the status of the answer.
///
/// # Errors
/// When the connection breaks or the answer is not HTTP.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<StatusCode, HttpError> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(8192)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        answer = &mut answer => Ok(answer?.status()),
        // An answer may be there though the connection broke right behind it.
        _ = &mut connection => Ok(answer.await?.status()),
    }
}

/// A part of an answer, as it comes in.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// Its status and headers.
    Head(StatusCode, &'a HeaderMap),
    /// The next piece of its body.
    Piece(&'a [u8]),
}

/// Sends a GET for a path, and hands over the answer part by part up to its end, or until `take` has
/// had enough of it.
///
/// # Errors
/// When the connection breaks or the answer is not HTTP. The inner one is that of `take`.
pub async fn get<E>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (path, address, accept): (&str, SocketAddr, (HeaderName, &str)),
    mut take: impl FnMut(Reply<'_>) -> Result<(), E>,
) -> Result<Result<(), E>, HttpError> {
    let request = Request::get(path)
        .header("Host", address.to_string())
        .header("User-Agent", "graceful-agent")
        .header("Connection", "close")
        .header(accept.0, accept.1)
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(8192)
        .handshake(TokioIo::new(stream))
        .await?;
    let talk = async {
        let mut answer = sender.send_request(request).await?;
        if let Err(enough) = take(Reply::Head(answer.status(), answer.headers())) {
            return Ok(Err(enough));
        }
        while let Some(frame) = answer.frame().await {
            if let Some(piece) = frame?.data_ref()
                && let Err(enough) = take(Reply::Piece(piece))
            {
                return Ok(Err(enough));
            }
        }
        Ok(Ok(()))
    };
    let (mut talk, mut connection) = (std::pin::pin!(talk), std::pin::pin!(connection));
    let mut is_open = true;
    loop {
        tokio::select! {
            said = &mut talk => return said,
            // What the connection has read may still be on its way to us.
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

/// Connects to a port of the pod: on loopback, else on its own addresses, for an application that
/// listens on one of those alone.
///
/// # Errors
/// When nobody listens on any of them.
pub async fn connect(port: u16) -> Result<(TcpStream, SocketAddr), HttpError> {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let own = local::addresses().into_iter().filter(|ip| *ip != loopback);
    let all = std::iter::once(loopback).chain(own);
    first_of(all.map(|ip| SocketAddr::new(ip, port)), port).await
}

/// Connects to a host by its name or address.
///
/// # Errors
/// When the name has no address, or nobody listens there.
pub async fn connect_to(host: &str, port: u16) -> Result<(TcpStream, SocketAddr), HttpError> {
    let all = tokio::net::lookup_host((host, port)).await;
    let all = all.map_err(|source| HttpError::Connect { port, source })?;
    first_of(all, port).await
}

async fn first_of(
    all: impl Iterator<Item = SocketAddr>,
    port: u16,
) -> Result<(TcpStream, SocketAddr), HttpError> {
    let mut last = std::io::Error::from(std::io::ErrorKind::TimedOut);
    for address in all {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
    Err(HttpError::Connect { port, source: last })
}
