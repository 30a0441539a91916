//! OTLP's messages, as far as they are used (opentelemetry-proto 1.x: trace/v1, common/v1, resource/v1 and
//! collector/trace/v1; the numbers of fields are stable). Knows nothing of rollouts.

use jiff::Timestamp;
use prost::{Message, Oneof};

use super::span::{self, Span};

/// The trace was sampled: it is to be kept.
const SAMPLED: u32 = 1;

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: i32 = 1;

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Encoded>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The body of a request, from the operator of this name.
pub(super) fn encode(instance: &str, spans: &[Span]) -> Vec<u8> {
    let resource = [
        ("service.name", "graceful-operator"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
    ];
    let resource = resource.map(|(key, value)| of(key, &span::Value::from(value)));
    let scope = Scope {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let request = Request {
        resources: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource.into(),
            }),
            scopes: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.iter().map(encoded).collect(),
            }],
        }],
    };
    request.encode_to_vec()
}

/// How many spans an answer refuses, and why. None where there is nothing to be read.
pub(super) fn refused(answer: &[u8]) -> Option<(i64, String)> {
    let answer = Response::decode(answer).ok()?;
    let partial = answer.partial_success?;
    (partial.rejected_spans > 0).then_some((partial.rejected_spans, partial.error_message))
}

fn encoded(span: &Span) -> Encoded {
    Encoded {
        trace_id: span.trace.into(),
        span_id: span.id.into(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        name: span.name.into(),
        kind: INTERNAL,
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes: span
            .attributes
            .iter()
            .map(|(key, value)| of(key, value))
            .collect(),
        status: span.failure.clone().map(|message| Status {
            message,
            code: ERROR,
        }),
        flags: SAMPLED,
    }
}

fn of(key: &str, value: &span::Value) -> KeyValue {
    let kind = match value {
        span::Value::Text(text) => Kind::Text(text.clone()),
        span::Value::Number(number) => Kind::Number(*number),
        span::Value::Bool(is_so) => Kind::Bool(*is_so),
    };
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { kind: Some(kind) }),
    }
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}
