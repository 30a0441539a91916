//! The rules about confirmations.

use super::{Problems, say};
use crate::api::v1alpha1::{Confirmation, Connections, Drain};

/// Says what is wrong with each confirmation.
pub(super) fn check(drain: &Drain, problems: &mut Problems) {
    for (at, one) in drain.confirm.iter().flatten().enumerate() {
        confirmation(one, &format!("spec.drain.confirm[{at}]"), problems);
    }
}

fn confirmation(one: &Confirmation, field: &str, problems: &mut Problems) {
    let kinds = [
        one.connections.is_some(),
        one.http_get.is_some(),
        one.metric.is_some(),
        one.condition.is_some(),
    ];
    let number = kinds.iter().filter(|is_there| **is_there).count();
    problems.refuse_if(number != 1, field, say::ONE_KIND);
    if let Some(seconds) = one.timeout_seconds {
        problems.seconds(&format!("{field}.timeoutSeconds"), seconds);
    }
    if let Some(connections) = &one.connections {
        of_connections(connections, field, problems);
    }
    if let Some(page) = &one.http_get {
        problems.port_and_path(&format!("{field}.httpGet"), page.port, &page.path);
    }
    if let Some(metric) = &one.metric {
        problems.port_and_path(&format!("{field}.metric"), metric.port, &metric.path);
        problems.refuse_if(
            metric.name.is_empty() || metric.name.contains(['{', ' ']),
            format!("{field}.metric.name"),
            say::METRIC_NAME,
        );
    }
    if let Some(condition) = &one.condition {
        problems.refuse_if(
            matches!(condition.kind.as_str(), "" | "Ready" | "ContainersReady"),
            format!("{field}.condition.type"),
            say::CONDITION,
        );
    }
}

fn of_connections(connections: &Connections, field: &str, problems: &mut Problems) {
    for (name, ports) in [
        (".connections.ports", &connections.ports),
        (".connections.exceptPorts", &connections.except_ports),
    ] {
        problems.refuse_if(ports.contains(&0), format!("{field}{name}"), say::PORT);
    }
    problems.seconds(
        &format!("{field}.connections.unresponsiveSeconds"),
        connections.unresponsive_seconds,
    );
}
