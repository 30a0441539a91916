//! The read-only HTTP port: `/readyz`, `/metrics`, `/drain`; anything else is 404 or 405. Nothing that
//! a request says changes what the agent does, but for one thing: the kubelet's probe being told that
//! the pod is withdrawn is when it is.
//!
//! Every pod's readiness hangs on this port, so slow clients get neither memory nor time: each
//! connection serves one request within five seconds, and of too many one of those is dropped whose
//! address has most, the kubelet's last.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
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
    /// Wakes the agent when a readiness probe has been told.
    pub woken: Rc<Notify>,
}

/// A connection that is served.
struct Guest {
    peer: IpAddr,
    task: AbortHandle,
}

/// Listens on both families where the node has both.
///
/// # Errors
/// When the port is taken.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let bind = |socket: io::Result<TcpSocket>, address: SocketAddr| {
        let socket = socket?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(128)
    };
    bind(TcpSocket::new_v6(), (Ipv6Addr::UNSPECIFIED, port).into())
        .or_else(|_| bind(TcpSocket::new_v4(), (Ipv4Addr::UNSPECIFIED, port).into()))
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, shared: Rc<RefCell<Shared>>) {
    let mut open: Vec<Guest> = Vec::with_capacity(MOST);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors or memory: what is open will end soon.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let peer = peer.ip().to_canonical();
        open.retain(|guest| !guest.task.is_finished());
        if open.len() >= MOST {
            let peers: Vec<_> = open.iter().map(|guest| guest.peer).collect();
            let kubelet = shared.borrow().kubelet;
            if let Some(at) = least_welcome(&peers, peer, kubelet) {
                open.remove(at).task.abort();
            }
        }
        let shared = Rc::clone(&shared);
        let task = spawn_local(connection(stream, peer, shared)).abort_handle();
        open.push(Guest { peer, task });
        // A request that has come is answered before the next flood of connections is let in.
        tokio::task::yield_now().await;
    }
}

/// Which connection, the oldest first, makes room for one from `newcomer`: the first of the address
/// that has most of them. The kubelet's is the last to go, but to another of its own.
fn least_welcome(open: &[IpAddr], newcomer: IpAddr, kubelet: Option<IpAddr>) -> Option<usize> {
    let rank = |peer: &IpAddr| {
        let kept = kubelet == Some(*peer) && kubelet != Some(newcomer);
        (!kept, open.iter().filter(|other| *other == peer).count())
    };
    let worst = open.iter().map(rank).max()?;
    open.iter().position(|peer| rank(peer) == worst)
}

async fn connection(stream: TcpStream, peer: IpAddr, shared: Rc<RefCell<Shared>>) {
    {
        let mut shared = shared.borrow_mut();
        shared.accepted = shared.accepted.wrapping_add(1);
    }
    let service = service_fn(|request| {
        let response = respond(&request, peer, &mut shared.borrow_mut());
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
        shared.kubelet = Some(peer);
        // Once for each drain: nobody can keep the agent awake by asking.
        if status == StatusCode::SERVICE_UNAVAILABLE && !shared.told {
            shared.told = true;
            shared.woken.notify_one();
        }
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

    fn peers(list: &[u8]) -> Vec<IpAddr> {
        list.iter().map(|last| peer(*last)).collect()
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// T14.
    #[test]
    fn crowd_makes_room_before_anybody_else() {
        let open = peers(&[1, 2, 3, 2, 1, 2]);
        assert_eq!(least_welcome(&open, peer(9), None), Some(1));
        assert_eq!(least_welcome(&peers(&[1, 2, 3]), peer(9), None), Some(0));
        assert_eq!(least_welcome(&[], peer(9), None), None);
    }

    /// T14.
    #[test]
    fn kubelet_makes_room_for_itself_alone() {
        let kubelet = Some(peer(1));
        let open = peers(&[1, 1, 2]);
        assert_eq!(least_welcome(&open, peer(9), kubelet), Some(2));
        assert_eq!(least_welcome(&open, peer(1), kubelet), Some(0));
        assert_eq!(least_welcome(&peers(&[1]), peer(9), kubelet), Some(0));
    }

    #[test]
    fn drain_withdraws_the_pod() {
        let mut shared = Shared::default();
        shared.view.drain = Some(DrainView::default());
        assert_eq!(status(&Method::GET, "/readyz", &mut shared), 503);
        assert_eq!(status(&Method::GET, "/drain", &mut shared), 200);
    }
}
