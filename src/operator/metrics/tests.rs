//! What is printed of objects, and that nothing of it is left when they are gone.

use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;

use super::Metrics;
use super::sample::{ended, object, sample};
use crate::operator::traces::Traces;
use crate::rollout::Hold;

fn series(metrics: &Metrics) -> usize {
    let text = metrics.text();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn object_is_told_by_its_status() {
    let metrics = Metrics::new();
    let (store, mut writer) = reflector::store();
    metrics.tell_of(store);
    writer.apply_watcher_event(&Event::Apply(object("chat-7")));
    metrics.held(&ObjectRef::from_obj(&object("chat-7")), &[Hold::Paused]);
    let text = metrics.text();
    let chat = "namespace=\"shop\",name=\"chat-7\"";
    for line in [
        format!("graceful_replicas{{{chat},state=\"desired\"}} 4.0"),
        format!("graceful_replicas{{{chat},state=\"available\"}} 3.0"),
        format!("graceful_replicas{{{chat},state=\"draining\"}} 1.0"),
        format!(
            "graceful_condition{{{chat},condition=\"Progressing\",reason=\"ProgressDeadlineExceeded\"}} 0.0"
        ),
        format!("graceful_rollout_in_flight{{{chat}}} 1.0"),
        format!("graceful_drain_since_timestamp_seconds{{{chat}}} 1767225600.0"),
        format!("graceful_drain_deadline_timestamp_seconds{{{chat}}} 1767225900.0"),
        format!("graceful_held{{{chat},hold=\"Paused\"}} 1.0"),
        "graceful_held_seconds_total{hold=\"Draining\"} 0.0".into(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    assert!(!text.contains("theirs"), "{text}");
    assert_eq!(text.matches("# EOF").count(), 1, "{text}");
}

/// B43.
#[test]
fn a_thousand_objects_leave_no_series_behind() {
    let metrics = Metrics::new();
    let (store, mut writer) = reflector::store();
    metrics.tell_of(store);
    let base = series(&metrics);
    for number in 0..1000 {
        let object = object(&format!("chat-{number}"));
        let reference = ObjectRef::from_obj(&object);
        metrics.held(&reference, &[Hold::Paused]);
        metrics.sees(&reference);
        metrics.ended(&reference, &[ended()]);
        writer.apply_watcher_event(&Event::Apply(object));
    }
    assert!(series(&metrics) >= base + 10_000);
    for number in 0..1000 {
        let object = object(&format!("chat-{number}"));
        metrics.forget(&ObjectRef::from_obj(&object));
        writer.apply_watcher_event(&Event::Delete(object));
    }
    assert_eq!(series(&metrics), base);
}

/// Two operators, one of which stands by: each object is told of once.
#[test]
fn operator_that_stands_by_tells_of_no_object() {
    assert!(!Metrics::new().text().contains("graceful_replicas{"));
}

/// The page of all metrics is written from it.
#[test]
fn sample_has_every_family() {
    let metrics = Metrics::new().with(&Traces::default());
    let registered = format!("{metrics:?}").matches("Descriptor {").count();
    let text = sample();
    let of_registry = text.lines().filter(|line| {
        let name = line.strip_prefix("# TYPE graceful_");
        name.is_some_and(|name| !STANDING.iter().any(|own| name.starts_with(own)))
    });
    assert_eq!(of_registry.count(), registered, "{text}");
    for own in STANDING {
        assert!(text.contains(&format!("# TYPE graceful_{own}")), "{own}");
    }
    let typed = text.matches("# TYPE").count();
    let families = text.matches("\ngraceful_").count() + text.matches("\nprocess_").count();
    assert!(families >= typed, "a family without a series: {text}");
}

/// Families that are told by the collector, which has no descriptors to be counted.
const STANDING: [&str; 7] = [
    "replicas ",
    "condition ",
    "rollout_in_flight ",
    "drain_since_timestamp_seconds ",
    "drain_deadline_timestamp_seconds ",
    "held ",
    "held_seconds ",
];
