//! What becomes a span, from statuses as an operator writes them one after the other.

mod sent;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::span::{Span, Value};
use super::tree::spans;
use crate::api::v1alpha1::{DrainWay, GracefulDeploymentStatus};
use crate::rollout::{Claims, ContainerEnd, Counted, End, Invalid, NewRevision, Observation};

/// Of a minute at which everything here happens.
fn at(second: &str) -> Timestamp {
    format!("2026-01-01T00:00:{second}Z").parse().unwrap()
}

fn object() -> ObjectMeta {
    ObjectMeta {
        name: Some("chat".into()),
        namespace: Some("web".into()),
        uid: Some("object".into()),
        ..ObjectMeta::default()
    }
}

/// A drain by readiness that was given up in its ninth second.
fn drain(pod: &str) -> Json {
    json!({
        "pod": pod, "uid": pod, "epoch": format!("epoch of {pod}"), "cause": "Rollout", "way": "Readiness",
        "since": at("05"), "withdrawn": at("06.5"), "deadline": at("59"),
        "outcome": "Drained", "retired": at("14"),
    })
}

/// The same with something else said of it.
fn but(mut drain: Json, other: &Json) -> Json {
    let fields = drain.as_object_mut().unwrap();
    fields.extend(other.as_object().unwrap().clone());
    drain
}

fn rollout(revision: &str, started: &str, completed: Option<&str>) -> Json {
    json!({
        "revision": revision, "started": at(started), "progressed": at(started),
        "completed": completed.map(at), "drained": 2,
    })
}

fn status(rollout: &Json, drains: &[Json]) -> GracefulDeploymentStatus {
    let status = json!({"currentRevision": "chat-1", "lastRollout": rollout, "drains": drains});
    serde_json::from_value(status).unwrap()
}

/// The end of a pod, with the receipt of a drain of eight seconds.
fn end(pod: &str) -> End {
    let receipt = json!({
        "epoch": format!("epoch of {pod}"), "uid": pod, "outcome": "Drained", "milliseconds": 8000,
        "connectionsAtStart": 9, "connectionsAtEnd": 1, "busy": 0, "last": "httpGet :9000/idle",
        "measuredBy": "SockDiag",
    });
    End {
        pod: pod.into(),
        uid: pod.into(),
        node: Some("node-1".into()),
        finished: Some(at("16")),
        has_begun: true,
        containers: vec![ContainerEnd {
            name: "app".into(),
            code: 0,
            is_late: false,
        }],
        receipts: vec![serde_json::from_value(receipt).unwrap()],
        ..End::default()
    }
}

fn seen(previous: GracefulDeploymentStatus, ends: Vec<End>, now: &str) -> Observation {
    Observation {
        now: at(now),
        entropy: 0,
        name: "chat".into(),
        generation: 1,
        deleting: false,
        target: Err(Invalid(Vec::new())),
        wanted: NewRevision::default(),
        revisions: Vec::new(),
        claims: Claims::default(),
        pods: Vec::new(),
        services: Vec::new(),
        ends,
        previous,
    }
}

/// What is told when this status follows upon what was seen.
fn told(seen: &Observation, next: &GracefulDeploymentStatus) -> Vec<Span> {
    spans(&object(), seen, (next, &[]))
}

/// A rollout of which two pods leave, and a moment later it is complete: what an operator tells at the first
/// of the writes, and what one tells at the second.
fn story() -> [Vec<Span>; 2] {
    let under_way = rollout("chat-2", "01", None);
    let both = status(&under_way, &[drain("a"), drain("b")]);
    let one = status(&under_way, &[drain("b")]);
    let none = status(&rollout("chat-2", "01", Some("21")), &[]);
    [
        told(&seen(both, vec![end("a")], "20"), &one),
        told(&seen(one, vec![end("b")], "21"), &none),
    ]
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut named = spans.iter().filter(|span| span.name == name);
    let span = named
        .next()
        .unwrap_or_else(|| panic!("no {name}: {spans:?}"));
    assert!(named.next().is_none(), "{name} twice: {spans:?}");
    span
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    let mut attributes = span.attributes.iter();
    attributes
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[test]
fn a_pod_that_left_is_a_span_with_one_for_each_step() {
    let [spans, _] = story();
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    assert_eq!(
        names,
        ["drain", "withdraw", "confirm", "give up", "terminate"]
    );
    let times = |name| {
        let span = named(&spans, name);
        (span.start, span.end)
    };
    assert_eq!(times("drain"), (at("05"), at("17")));
    assert_eq!(times("withdraw"), (at("05"), at("06.5")));
    assert_eq!(times("confirm"), (at("06.5"), at("13")));
    assert_eq!(times("give up"), (at("13"), at("14")));
    assert_eq!(times("terminate"), (at("14"), at("17")));
    let whole = named(&spans, "drain");
    assert!(spans[1..].iter().all(|step| step.parent == Some(whole.id)));
    for (name, value) in [
        ("k8s.namespace.name", "web"),
        ("graceful.object.name", "chat"),
        ("k8s.pod.name", "a"),
        ("k8s.node.name", "node-1"),
        ("graceful.way", "Readiness"),
        ("graceful.cause", "Rollout"),
        ("graceful.outcome", "Drained"),
        ("graceful.confirmation.last", "httpGet :9000/idle"),
    ] {
        assert_eq!(attribute(whole, name), Some(&value.into()), "{name}");
    }
    let exit = attribute(named(&spans, "terminate"), "graceful.exit_codes");
    assert_eq!(exit, Some(&"0".into()));
}

#[test]
fn a_rollout_that_another_operator_ends_is_one_trace() {
    let [first, second] = story();
    let root = named(&second, "rollout");
    assert_eq!((root.start, root.end), (at("01"), at("21")));
    assert_eq!(root.parent, None);
    assert_eq!(
        attribute(root, "graceful.outcome"),
        Some(&"Completed".into())
    );
    assert_eq!(attribute(root, "graceful.revision"), Some(&"chat-2".into()));
    let all: Vec<_> = first.iter().chain(&second).collect();
    assert!(all.iter().all(|span| span.trace == root.trace), "{all:?}");
    for spans in [&first, &second] {
        assert_eq!(named(spans, "drain").parent, Some(root.id));
    }
    let ids: std::collections::BTreeSet<_> = all.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), all.len(), "{all:?}");
    assert_eq!(story(), [first, second], "the same again after a crash");
}

#[test]
fn what_goes_on_is_not_told() {
    let before = status(&rollout("chat-2", "01", None), &[drain("a")]);
    assert_eq!(told(&seen(before.clone(), Vec::new(), "20"), &before), []);
    let over = status(&rollout("chat-2", "01", Some("21")), &[]);
    assert_eq!(told(&seen(over.clone(), Vec::new(), "30"), &over), []);
}

#[test]
fn a_rollout_ends_where_another_takes_its_place() {
    let before = status(&rollout("chat-2", "01", None), &[drain("a")]);
    let next = status(&rollout("chat-3", "18", None), &[]);
    let spans = told(&seen(before, vec![end("a")], "18"), &next);
    let root = named(&spans, "rollout");
    assert_eq!((root.start, root.end), (at("01"), at("18")));
    assert_eq!(
        attribute(root, "graceful.outcome"),
        Some(&"Superseded".into())
    );
    // The pod's drain was begun for the one that is no more.
    assert_eq!(named(&spans, "drain").parent, Some(root.id));
}

#[test]
fn a_pod_that_leaves_for_a_smaller_size_has_a_trace_of_its_own() {
    let surplus = but(drain("a"), &json!({"cause": "ScaleDown"}));
    let last = rollout("chat-2", "01", Some("04"));
    let seen = seen(status(&last, &[surplus]), vec![end("a")], "20");
    let spans = told(&seen, &status(&last, &[]));
    assert_eq!(named(&spans, "drain").parent, None);
    let rollout: crate::api::v1alpha1::RolloutRecord = serde_json::from_value(last).unwrap();
    let trace = super::span::of_rollout("object", &rollout);
    assert!(spans.iter().all(|span| span.trace != trace), "{spans:?}");
}

#[test]
fn a_pod_that_drains_in_its_hook_has_no_step_before_it_is_given_up() {
    let hook = json!({"way": "Termination", "withdrawn": null, "deadline": null, "outcome": null});
    let last = rollout("chat-2", "01", None);
    let before = status(&last, &[but(drain("a"), &hook)]);
    let spans = told(&seen(before, vec![end("a")], "20"), &status(&last, &[]));
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["drain", "give up", "terminate"]);
    let outcome = attribute(&spans[0], "graceful.outcome");
    assert_eq!(outcome, Some(&"Terminated".into()));
}

#[test]
fn a_drain_that_is_begun_anew_ends_at_the_step_that_it_had_come_to() {
    let open = json!({"outcome": null, "retired": null});
    let anew = json!({"epoch": "another", "since": at("20"), "outcome": null, "retired": null});
    let last = rollout("chat-2", "01", None);
    let before = status(&last, &[but(drain("a"), &open)]);
    let mut seen = seen(before, Vec::new(), "20");
    seen.pods = vec![pod("a")];
    let spans = told(&seen, &status(&last, &[but(drain("a"), &anew)]));
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    assert_eq!(names, ["drain", "withdraw", "confirm"]);
    assert_eq!((spans[2].start, spans[2].end), (at("06.5"), at("20")));
    let outcome = attribute(&spans[0], "graceful.outcome");
    assert_eq!(outcome, Some(&"BegunAnew".into()));
    let spans = told(&seen, &status(&last, &[]));
    let outcome = attribute(&spans[0], "graceful.outcome");
    assert_eq!(outcome, Some(&"Cancelled".into()));
}

#[test]
fn a_pod_that_somebody_else_deleted_vanished() {
    let open = json!({"outcome": null, "retired": null});
    let last = rollout("chat-2", "01", None);
    let before = status(&last, &[but(drain("a"), &open)]);
    let spans = told(&seen(before, Vec::new(), "20"), &status(&last, &[]));
    let outcome = attribute(&spans[0], "graceful.outcome");
    assert_eq!(outcome, Some(&"Vanished".into()));
    assert_eq!(spans.last().unwrap().end, at("20"));
}

#[test]
fn work_that_was_cut_is_an_error() {
    let last = rollout("chat-2", "01", None);
    let seen = seen(status(&last, &[drain("a")]), vec![end("a")], "20");
    let next = status(&last, &[]);
    let failure = |cut, is_killed| {
        let counted = Counted {
            uid: "a".into(),
            connections_cut: cut,
            is_killed,
            ..Counted::default()
        };
        let spans = spans(&object(), &seen, (&next, &[counted]));
        named(&spans, "drain").failure.clone()
    };
    assert_eq!(failure(0, false), None);
    let expected = "a left with work; connections cut: 3";
    assert_eq!(failure(3, false).as_deref(), Some(expected));
    let expected = "a was killed; connections cut: 0";
    assert_eq!(failure(0, true).as_deref(), Some(expected));
}

/// T13.
#[test]
fn words_of_a_receipt_are_one_short_line() {
    let last = rollout("chat-2", "01", None);
    let mut ended = end("a");
    ended.receipts[0].last = Some(format!("two\nlines{}", "x".repeat(300)));
    ended.receipts[0].why = Some("\u{1b}[31mred".into());
    let seen = seen(status(&last, &[drain("a")]), vec![ended], "20");
    let spans = told(&seen, &status(&last, &[]));
    let texts = spans.iter().flat_map(|span| &span.attributes);
    for (name, value) in texts {
        if let Value::Text(text) = value {
            let is_plain = text.len() <= 100 && !text.contains(char::is_control);
            assert!(is_plain, "{name}: {text:?}");
        }
    }
}

/// A pod that goes on running, of which nothing else matters.
fn pod(name: &str) -> crate::rollout::Pod {
    crate::rollout::Pod {
        name: name.into(),
        uid: name.into(),
        resource_version: "1".into(),
        owner: "chat-1".into(),
        node: None,
        phase: crate::rollout::Phase::Running,
        readiness: crate::rollout::Readiness::NotReady,
        terminating: false,
        node_lost: false,
        deletion_cost: 0,
        agent: crate::rollout::Agent::default(),
        request: None,
        is_labelled: true,
        is_marked: false,
        config: String::new(),
        injected: String::new(),
        trouble: String::new(),
        conditions: std::collections::BTreeMap::new(),
        is_released: false,
        cancelled: None,
    }
}

fn time() -> impl Strategy<Value = Option<MicroTime>> {
    let second = prop_oneof![Just(None), (0..100_u64).prop_map(Some)];
    second.prop_map(|second| second.map(|second| MicroTime(at("00") + Duration::from_secs(second))))
}

proptest! {
    /// Clocks are set, and records lack what nobody saw.
    #[test]
    fn steps_follow_each_other_within_their_drain(
        (withdrawn, deadline, overdue, retired) in (time(), time(), time(), time()),
        (is_over, is_seen, by_hook, stays) in any::<(bool, bool, bool, bool)>(),
        took in 0..200_000_u64,
    ) {
        let mut before = status(&rollout("chat-2", "01", None), &[drain("a")]);
        let record = &mut before.drains[0];
        (record.withdrawn, record.deadline) = (withdrawn, deadline);
        (record.overdue, record.retired) = (overdue, retired);
        record.outcome = record.outcome.filter(|_| is_over);
        if by_hook {
            record.way = DrainWay::Termination;
        }
        let mut last = end("a");
        last.receipts[0].milliseconds = took;
        let mut seen = seen(before.clone(), vec![last], "50");
        if !is_seen {
            seen.ends.clear();
        }
        if stays {
            seen.pods = vec![pod("a")];
        }
        before.drains.clear();
        let spans = told(&seen, &before);
        let (whole, steps) = spans.split_first().expect("a drain");
        let mut from = whole.start;
        for step in steps {
            prop_assert_eq!(step.start, from);
            prop_assert!(step.end >= step.start, "{:?}", step);
            from = step.end;
        }
        prop_assert_eq!(from, whole.end);
    }
}
