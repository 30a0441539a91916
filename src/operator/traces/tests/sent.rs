//! What a collector gets: a real HTTP server on loopback reads it with OpenTelemetry's own messages.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Known;
use opentelemetry_proto::tonic::trace::v1::Span as Read;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::export::{To, Traces};
use super::super::otlp::{encode, refused};
use super::{Span, story};

/// Far longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector, and what it was sent.
struct Collector {
    address: String,
    requests: mpsc::UnboundedReceiver<(String, ExportTraceServiceRequest)>,
}

impl Collector {
    /// One that answers with these statuses, and from then on with 200.
    async fn begin(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Arc::new(Mutex::new(answers.to_vec()));
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, sender) = (answers.clone(), sender.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answers, sender) = (answers.clone(), sender.clone());
                    async move {
                        let path = request.uri().path().to_owned();
                        let kind = request.headers()["content-type"].clone();
                        assert_eq!(kind, "application/x-protobuf");
                        let body = request.into_body().collect().await.expect("a body");
                        let body = ExportTraceServiceRequest::decode(body.to_bytes());
                        let _ = sender.send((path, body.expect("OTLP")));
                        let mut answers = answers.lock().unwrap();
                        let status = if answers.is_empty() {
                            200
                        } else {
                            answers.remove(0)
                        };
                        let answer = Response::builder().status(status);
                        Ok::<_, Infallible>(answer.body(Full::new(Bytes::new())).unwrap())
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, requests }
    }

    fn traces(&self) -> Traces {
        begin(&self.address)
    }

    async fn request(&mut self) -> (String, Vec<Read>) {
        let request = timeout(PATIENCE, self.requests.recv()).await;
        let (path, request) = request.expect("in time").expect("a request");
        let resources = request.resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        (path, scopes.flat_map(|scope| scope.spans).collect())
    }
}

fn begin(address: &str) -> Traces {
    let to = To {
        otlp_endpoint: address.parse().expect("an address"),
    };
    Traces::begin(&to, "operator-1".into()).expect("a client")
}

fn text(span: &Read, key: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|known| known.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Known::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

/// As deep as it is in its tree, which is walked by ids alone.
fn depth(span: &Read, all: &[Read]) -> usize {
    let parent = all
        .iter()
        .find(|other| other.span_id == span.parent_span_id);
    parent.map_or(0, |parent| 1 + depth(parent, all))
}

#[tokio::test]
async fn collector_gets_one_tree_from_two_operators() {
    let mut collector = Collector::begin(&[]).await;
    let mut all = Vec::new();
    for told in story() {
        let traces = collector.traces();
        traces.add(told);
        traces.finish().await;
        let (path, spans) = collector.request().await;
        assert_eq!(path, "/v1/traces");
        all.extend(spans);
    }
    let lines = all.iter().map(|span| {
        let pod = text(span, "k8s.pod.name").unwrap_or_default();
        let line = format!("{}{} {pod}", "  ".repeat(depth(span, &all)), span.name);
        line.trim_end().to_owned()
    });
    let lines: Vec<_> = lines.collect();
    let steps = [
        "    withdraw",
        "    confirm",
        "    give up",
        "    terminate",
    ];
    let expected: Vec<_> = std::iter::once("  drain a")
        .chain(steps)
        .chain(["  drain b"])
        .chain(steps)
        .chain(["rollout"])
        .collect();
    assert_eq!(lines, expected);
    let root = all.last().unwrap();
    assert!(all.iter().all(|span| span.trace_id == root.trace_id));
    assert!(
        all.iter()
            .all(|span| span.trace_id.len() == 16 && span.span_id.len() == 8)
    );
    assert_eq!(text(root, "graceful.object.name").as_deref(), Some("chat"));
    assert_eq!(
        root.end_time_unix_nano - root.start_time_unix_nano,
        20_000_000_000
    );
}

#[tokio::test]
async fn spans_are_sent_again_where_the_collector_was_busy() {
    let mut collector = Collector::begin(&[503]).await;
    let traces = collector.traces();
    let [told, _] = story();
    let count = told.len();
    traces.add(told);
    assert_eq!(collector.request().await.1.len(), count);
    assert_eq!(collector.request().await.1.len(), count, "once more");
    traces.finish().await;
}

#[tokio::test]
async fn spans_that_the_collector_does_not_want_are_not_sent_again() {
    let mut collector = Collector::begin(&[400]).await;
    let traces = collector.traces();
    let [first, second] = story();
    let count = second.len();
    traces.add(first);
    collector.request().await;
    traces.add(second);
    assert_eq!(collector.request().await.1.len(), count);
    traces.finish().await;
}

/// It takes connections and never answers.
#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_no_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let traces = begin(&format!("http://{}", listener.local_addr().unwrap()));
    let [told, _] = story();
    traces.add(told.clone());
    let _under_way = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let many: Vec<Span> = told.into_iter().cycle().take(3000).collect();
    // Nothing is awaited here, so nothing can have waited.
    traces.add(many);
    assert_eq!(traces.lost(), 3000 - 2048);
}

#[tokio::test]
async fn nothing_is_sent_where_no_collector_is_named() {
    let traces = begin("");
    let [told, _] = story();
    traces.add(told);
    traces.finish().await;
}

#[test]
fn an_address_is_one_of_http() {
    use super::super::export::Endpoint;

    for wrong in ["collector:4317", "grpc://collector:4317", "http://", "/v1"] {
        assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
    }
    for right in ["http://collector:4318", "https://otlp.example.com/path/"] {
        let endpoint: Endpoint = right.parse().unwrap();
        assert_eq!(
            endpoint.to_string().trim_end_matches('/'),
            right.trim_end_matches('/')
        );
    }
}

#[test]
fn what_is_sent_names_the_operator() {
    let [told, _] = story();
    let request = ExportTraceServiceRequest::decode(encode("operator-1", &told).as_slice());
    let resource = request.unwrap().resource_spans.remove(0).resource.unwrap();
    let names = resource.attributes.iter().map(|known| {
        let value = known.value.clone().unwrap().value;
        (known.key.clone(), value)
    });
    let text = |text: &str| Some(Known::StringValue(text.into()));
    let names: Vec<_> = names.collect();
    assert!(names.contains(&("service.name".into(), text("graceful-operator"))));
    assert!(names.contains(&("service.instance.id".into(), text("operator-1"))));
}

#[test]
fn a_collector_may_refuse_some_spans() {
    let answer = |rejected_spans| ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: "too old".into(),
        }),
    };
    let bytes = |answer: ExportTraceServiceResponse| answer.encode_to_vec();
    assert_eq!(refused(&bytes(answer(3))), Some((3, "too old".into())));
    assert_eq!(refused(&bytes(answer(0))), None);
    assert_eq!(refused(b"<html>"), None);
    assert_eq!(refused(b""), None);
}
