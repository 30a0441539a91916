//! `/livez` (the event loop turns), `/readyz` (the caches are complete) and `/metrics`, read-only and
//! without secrets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tracing::debug;

use super::metrics::Metrics;
use super::watch::Sync;

/// A request whose head is not complete by then is a connection that nobody uses.
const HEAD: std::time::Duration = std::time::Duration::from_secs(10);

/// Listens, so that a port that is taken is an error at the start and not a line in a log.
///
/// # Errors
///
/// Where the address cannot be had.
pub(super) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, sync: Sync) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: the next turn of the loop must not be at once.
                debug!(%error, "accepting a connection failed");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (metrics, sync) = (metrics.clone(), sync.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &metrics, &sync);
                async { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                debug!(%error, "a connection ended early");
            }
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, sync: &Sync) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => {
            let awaits = sync.awaits();
            if awaits.is_empty() {
                return text(StatusCode::OK, "ok\n".into());
            }
            let awaits = awaits.join("\n");
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("waiting for\n{awaits}\n"),
            )
        }
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.text());
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response.headers_mut().insert(
                hyper::header::CONTENT_TYPE,
                hyper::header::HeaderValue::from_static(kind),
            );
            response
        }
        _ => text(StatusCode::NOT_FOUND, "/livez, /readyz, /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
