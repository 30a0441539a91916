//! Traces of rollouts, as a collector gets them from real operators.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::collector::{Collector, Span, text};
use crate::standin::orders::Manner;
use crate::world::{Graceful, Operator, WEB, World, run};

/// What is sent until there is a span of this name.
async fn until(collector: &mut Collector, name: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    while !spans.iter().any(|span: &Span| span.name == name) {
        spans.extend(collector.request().await);
    }
    spans
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// Those that are told to have left.
fn pods(spans: &[Span]) -> BTreeSet<String> {
    let drains = named(spans, "drain").into_iter();
    drains
        .filter_map(|drain| text(drain, "k8s.pod.name"))
        .collect()
}

/// Three pods, of which the first to leave is told of by an operator that is killed then.
#[test]
fn rollout_is_one_trace_though_its_operator_is_killed() {
    run::<Graceful, _>("traces", async |mut world: World<Graceful>| {
        drop(world.operator.take());
        let mut collector = Collector::begin(&[]).await;
        let mut first = Operator::start_traced(&world.namespace, &collector.address);
        let bounds = json!({"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}});
        world.create_complete(3, json!({"strategy": bounds})).await;
        until(&mut collector, "rollout").await;
        let old = world.api::<Pod>().list(&ListParams::default()).await;
        let old: BTreeSet<_> = old.expect("pods").iter().map(Pod::name_any).collect();
        for busy in old.iter().skip(1) {
            world.order(busy, Manner::busy());
        }
        world.set_image(&format!("{WEB}:2")).await;
        let mut spans = until(&mut collector, "drain").await;
        first.kill();
        assert_eq!(pods(&spans).len(), 1, "{spans:?}");
        for busy in &old {
            world.order(busy, Manner::default());
        }
        let _second = Operator::start_traced(&world.namespace, &collector.address);
        world.complete().await;
        spans.extend(until(&mut collector, "rollout").await);

        let [root] = named(&spans, "rollout")[..] else {
            panic!("one root: {spans:?}");
        };
        assert_eq!(pods(&spans), old);
        assert_eq!(named(&spans, "drain").len(), old.len());
        assert_eq!(text(root, "graceful.outcome").as_deref(), Some("Completed"));
        for span in &spans {
            assert_eq!(span.trace_id, root.trace_id, "{span:?}");
            assert!(
                span.start_time_unix_nano >= root.start_time_unix_nano,
                "{span:?}"
            );
            assert!(
                span.end_time_unix_nano <= root.end_time_unix_nano,
                "{span:?}"
            );
        }
        for drain in named(&spans, "drain") {
            assert_eq!(drain.parent_span_id, root.span_id);
            let steps = spans
                .iter()
                .filter(|span| span.parent_span_id == drain.span_id);
            let steps: Vec<_> = steps.map(|span| span.name.as_str()).collect();
            assert_eq!(steps, ["withdraw", "confirm", "give up", "terminate"]);
            assert_eq!(text(drain, "graceful.outcome").as_deref(), Some("Drained"));
        }
    });
}
