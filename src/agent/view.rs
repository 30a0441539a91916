//! What the agent shows of itself: the answers of `/readyz`, `/metrics` and `/drain` as pure functions
//! of one [`View`]. No request changes anything.

use std::fmt::Write;

use serde::Serialize;

use super::activity::Millis;
use super::activity::census::Counts;
use super::drain::standing::Standing;

/// The state of the agent, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The drain that the pod is in; none in service.
    pub drain: Option<DrainView>,
    /// Why the annotation is not followed.
    pub complaint: Option<String>,
    /// Requests answered, by path.
    pub requests: Requests,
    /// Drains begun by this process.
    pub drains: u64,
}

/// Requests that the agent has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// `/readyz`.
    pub readyz: u64,
    /// `/metrics`.
    pub metrics: u64,
    /// `/drain`.
    pub drain: u64,
    /// Anything else.
    pub refused: u64,
}

/// One drain.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainView {
    /// Its epoch.
    pub epoch: String,
    /// `Draining`, or its outcome.
    pub state: String,
    /// What it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Seconds since it was heard of.
    pub seconds: f64,
    /// Seconds until its deadline.
    pub seconds_left: f64,
    /// Whether a readiness probe was told.
    pub withdrawn: bool,
    /// Where each confirmation stands.
    pub confirmations: Vec<Standing>,
    /// Connections by class.
    pub connections: Classes,
    /// New connections that probes do not explain.
    pub arrivals: u64,
    /// Those that came more than `arrivalsSeconds` after the pod was withdrawn: they hold nothing.
    pub late_arrivals: u64,
    /// How the notice to the application went.
    pub notice: String,
    /// Where the numbers come from.
    pub measured_by: String,
    /// What a sample costs, in seconds.
    pub sample_seconds: f64,
}

/// Connections by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Classes {
    /// A request, an answer or a stream is under way.
    pub busy: u32,
    /// Nothing for the quiet time.
    pub idle: u32,
    /// Short requests keep being answered.
    pub cycling: u32,
    /// A request is unanswered for too long.
    pub unresponsive: u32,
    /// Those that hold the drain now.
    pub holding: u32,
}

impl From<Counts> for Classes {
    fn from(counts: Counts) -> Self {
        Self {
            busy: counts.busy,
            idle: counts.idle,
            cycling: counts.cycling,
            unresponsive: counts.unresponsive,
            holding: counts.holding,
        }
    }
}

/// Milliseconds as seconds.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a drain is shorter than 2^52 ms"
)]
pub fn seconds(millis: Millis) -> f64 {
    millis as f64 / 1000.0
}

/// `/drain`.
#[must_use]
pub fn page(view: &View) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Page<'a> {
        in_service: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        drain: Option<&'a DrainView>,
        #[serde(skip_serializing_if = "Option::is_none")]
        complaint: Option<&'a str>,
    }
    let page = Page {
        in_service: view.drain.is_none(),
        drain: view.drain.as_ref(),
        complaint: view.complaint.as_deref(),
    };
    let mut text = serde_json::to_string(&page).unwrap_or_default();
    text.push('\n');
    text
}

/// `/metrics`, in the text format of Prometheus.
#[must_use]
pub fn metrics(view: &View) -> String {
    let mut text = String::with_capacity(2048);
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, f64)]| {
        let _ = writeln!(text, "# HELP graceful_agent_{name} {help}.");
        let _ = writeln!(text, "# TYPE graceful_agent_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "graceful_agent_{name}{labels} {value}");
        }
    };
    let flag = |yes: bool| f64::from(u8::from(yes));
    #[expect(clippy::cast_precision_loss, reason = "counters stay below 2^52")]
    let count = |number: u64| number as f64;
    family(
        "in_service",
        "gauge",
        "Whether the pod is in service",
        &[("", flag(view.drain.is_none()))],
    );
    family(
        "request_unclear",
        "gauge",
        "Whether the drain annotation cannot be followed",
        &[("", flag(view.complaint.is_some()))],
    );
    family(
        "drains_total",
        "counter",
        "Drains begun",
        &[("", count(view.drains))],
    );
    let requests = &view.requests;
    family(
        "requests_total",
        "counter",
        "Requests to the agent",
        &[
            ("{path=\"/readyz\"}", count(requests.readyz)),
            ("{path=\"/metrics\"}", count(requests.metrics)),
            ("{path=\"/drain\"}", count(requests.drain)),
            ("{path=\"other\"}", count(requests.refused)),
        ],
    );
    if let Some(drain) = &view.drain {
        let classes = &drain.connections;
        family(
            "connections",
            "gauge",
            "Inbound connections by class, while draining",
            &[
                ("{class=\"busy\"}", f64::from(classes.busy)),
                ("{class=\"idle\"}", f64::from(classes.idle)),
                ("{class=\"cycling\"}", f64::from(classes.cycling)),
                ("{class=\"unresponsive\"}", f64::from(classes.unresponsive)),
            ],
        );
        family(
            "drain_seconds",
            "gauge",
            "Seconds since the drain was heard of",
            &[("", drain.seconds)],
        );
        family(
            "sample_seconds",
            "gauge",
            "What a look at the connections costs",
            &[("", drain.sample_seconds)],
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draining() -> View {
        View {
            drain: Some(DrainView {
                epoch: "a".into(),
                state: "Draining".into(),
                waits_for: Some("2 connections with work".into()),
                seconds: 1.5,
                connections: Classes {
                    busy: 2,
                    idle: 7,
                    ..Classes::default()
                },
                ..DrainView::default()
            }),
            ..View::default()
        }
    }

    #[test]
    fn page_tells_what_a_drain_waits_for() {
        let page: serde_json::Value = serde_json::from_str(&page(&draining())).unwrap();
        assert_eq!(page["inService"], false);
        assert_eq!(page["drain"]["waitsFor"], "2 connections with work");
        assert_eq!(page["drain"]["connections"]["idle"], 7);
    }

    #[test]
    fn page_in_service_is_short() {
        assert_eq!(page(&View::default()), "{\"inService\":true}\n");
    }

    #[test]
    fn metrics_name_every_class() {
        let text = metrics(&draining());
        assert!(
            text.contains("\ngraceful_agent_connections{class=\"busy\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("\ngraceful_agent_drain_seconds 1.5\n"),
            "{text}"
        );
        assert!(text.contains("graceful_agent_in_service 0\n"), "{text}");
    }

    #[test]
    fn metrics_in_service_show_no_drain() {
        assert!(!metrics(&View::default()).contains("connections"));
    }
}
