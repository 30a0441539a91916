//! The read-only HTTP port: `/readyz`, `/metrics`, `/drain`; anything else is 404 or 405. Nothing that
//! a request says changes what the agent does, but for one thing: the kubelet's probe being told that
//! the pod is withdrawn is when it is.
//!
//! Every pod's readiness hangs on this port, so slow clients get neither memory nor time: each
//! connection serves one request within five seconds, and of too many the oldest is dropped.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::view::{View, metrics, page};

/// Connections at a time: 16 KiB each at most, so half a megabyte in all.
const MOST: usize = 32;

/// How long a connection may take: half of what the kubelet's probe waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server and the agent share. One thread, so no lock.
#[derive(Debug, Default)]
pub struct Shared {
    /// What is shown.
    pub view: View,
    /// Whether a readiness probe has been told that the pod is withdrawn.
    pub told: bool,
    /// Where the last readiness probe came from.
    pub kubelet: Option<IpAddr>,
    /// Connections accepted.
    pub accepted: u32,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, shared: Rc<RefCell<Shared>>) {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(MOST);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors or memory: what is open will end soon.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        open.retain(|task| !task.is_finished());
        if open.len() >= MOST
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let shared = Rc::clone(&shared);
        open.push_back(spawn_local(connection(stream, peer, shared)).abort_handle());
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Rc<RefCell<Shared>>) {
    {
        let mut shared = shared.borrow_mut();
        shared.accepted = shared.accepted.wrapping_add(1);
    }
    let service = service_fn(|request| {
        let response = respond(&request, peer.ip(), &mut shared.borrow_mut());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(8192)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks the connection harms nobody but itself.
    let _ = timeout(PATIENCE, connection).await;
}

fn respond(
    request: &Request<Incoming>,
    peer: IpAddr,
    shared: &mut Shared,
) -> Response<Full<Bytes>> {
    let agent = request.headers().get(USER_AGENT);
    let is_probe = agent.is_some_and(|name| name.as_bytes().starts_with(b"kube-probe/"));
    let (status, kind, body) = answer(request.method(), request.uri().path(), shared);
    if is_probe && request.uri().path() == "/readyz" {
        shared.kubelet = Some(peer.to_canonical());
        shared.told |= status == StatusCode::SERVICE_UNAVAILABLE;
    }
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn answer(method: &Method, path: &str, shared: &mut Shared) -> (StatusCode, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    let requests = &mut shared.view.requests;
    let counter = match path {
        "/readyz" => &mut requests.readyz,
        "/metrics" => &mut requests.metrics,
        "/drain" => &mut requests.drain,
        _ => {
            requests.refused += 1;
            return (StatusCode::NOT_FOUND, TEXT, "not found\n".into());
        }
    };
    if method != Method::GET && method != Method::HEAD {
        requests.refused += 1;
        return (StatusCode::METHOD_NOT_ALLOWED, TEXT, "read-only\n".into());
    }
    *counter += 1;
    match path {
        "/readyz" if shared.view.drain.is_some() => {
            (StatusCode::SERVICE_UNAVAILABLE, TEXT, "withdrawn\n".into())
        }
        "/readyz" => (StatusCode::OK, TEXT, "in service\n".into()),
        "/metrics" => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            (StatusCode::OK, kind, metrics(&shared.view))
        }
        _ => (StatusCode::OK, "application/json", page(&shared.view)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::view::DrainView;

    fn status(method: &Method, path: &str, shared: &mut Shared) -> u16 {
        answer(method, path, shared).0.as_u16()
    }

    /// T1.
    #[test]
    fn three_pages_can_be_read_and_nothing_else() {
        let mut shared = Shared::default();
        for path in ["/readyz", "/metrics", "/drain"] {
            assert_eq!(status(&Method::GET, path, &mut shared), 200);
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(status(&method, path, &mut shared), 405);
            }
        }
        for path in ["/", "/readyz/", "/drain/../readyz", "/quitquitquit"] {
            assert_eq!(status(&Method::GET, path, &mut shared), 404);
        }
    }

    #[test]
    fn drain_withdraws_the_pod() {
        let mut shared = Shared::default();
        shared.view.drain = Some(DrainView::default());
        assert_eq!(status(&Method::GET, "/readyz", &mut shared), 503);
        assert_eq!(status(&Method::GET, "/drain", &mut shared), 200);
    }
}
