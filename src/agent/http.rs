//! Requests to the pod itself: the notice to the application and a user's own httpGet hook. One
//! second to connect, a bounded time in all, no redirects, and the body of an answer is not read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
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
        closed = &mut connection => {
            closed?;
            Ok(answer.await?.status())
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
