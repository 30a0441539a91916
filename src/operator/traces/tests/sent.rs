//! What a collector gets, over a real connection.

#[path = "../../../../tests/fixtures/collector.rs"]
mod collector;

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Known;
use prometheus_client::registry::Registry;
use prost::Message;
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::collector::{Collector, Span as Read, text};
use super::super::export::{Endpoint, To, Traces};
use super::super::otlp::{encode, refused};
use super::{Span, story};

/// Far longer than a connection takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn begin(address: &str) -> Traces {
    let to = To {
        otlp_endpoint: address.parse().expect("an address"),
    };
    Traces::begin(&to, "operator-1".into()).expect("a client")
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
        let traces = begin(&collector.address);
        traces.add(told);
        traces.finish().await;
        all.extend(collector.request().await);
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
    let traces = begin(&collector.address);
    let [told, _] = story();
    let count = told.len();
    traces.add(told);
    assert_eq!(collector.request().await.len(), count);
    assert_eq!(collector.request().await.len(), count, "once more");
    traces.finish().await;
}

#[tokio::test]
async fn spans_that_the_collector_does_not_want_are_not_sent_again() {
    let mut collector = Collector::begin(&[400]).await;
    let traces = begin(&collector.address);
    let [first, second] = story();
    let (lost, count) = (first.len(), second.len());
    traces.add(first);
    collector.request().await;
    traces.add(second);
    assert_eq!(collector.request().await.len(), count);
    traces.finish().await;
    assert_eq!(traces.counts(), (count as u64, lost as u64));
    let mut registry = Registry::default();
    traces.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(
        page.contains(&format!("spans_sent_total {count}\n")),
        "{page}"
    );
    assert!(
        page.contains(&format!("spans_lost_total {lost}\n")),
        "{page}"
    );
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
    assert_eq!(traces.counts(), (0, 3000 - 2048));
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
