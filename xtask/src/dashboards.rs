//! The chart's Grafana dashboards, written from a table of panels: a title, what it says, and the expressions
//! that it draws. Knows of Grafana's format only what a panel needs; that each expression is one for
//! Prometheus, and that its metrics exist, is for the tests.

mod panels;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use panels::{DASHBOARDS, Dashboard, Form, Panel};

/// Where they are, from the root.
const FOLDER: &str = "charts/graceful-deployment/dashboards";

/// Grafana's grid.
const WIDTH: u64 = 24;

/// Grafana 10.4: the oldest that is looked after, and newer ones read it.
const SCHEMA: u64 = 39;

/// Every dashboard with its place.
pub(crate) fn files(root: &Path) -> Vec<(PathBuf, String)> {
    let file = |dashboard: &Dashboard| {
        let path = root.join(FOLDER).join(format!("{}.json", dashboard.uid));
        (path, format!("{:#}\n", written(dashboard)))
    };
    DASHBOARDS.iter().map(file).collect()
}

fn written(dashboard: &Dashboard) -> Value {
    let mut panels = Vec::new();
    let (mut x, mut y, mut row) = (0, 0, 0);
    for panel in dashboard.panels {
        let (width, height) = panel.form.size();
        if x + width > WIDTH {
            (x, y, row) = (0, y + row, 0);
        }
        let place = json!({"x": x, "y": y, "w": width, "h": height});
        panels.push(written_panel(panel, panels.len() + 1, &place));
        x += width;
        row = row.max(height);
    }
    let variables: Vec<_> = dashboard.variables.iter().map(variable).collect();
    let source = json!({"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"});
    let variables: Vec<_> = std::iter::once(source).chain(variables).collect();
    json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.says,
        "tags": ["graceful-deployment"],
        "schemaVersion": SCHEMA,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": panels,
    })
}

/// A variable whose values are a label's.
fn variable((name, query): &(&str, &str)) -> Value {
    json!({
        "name": name,
        "label": name,
        "type": "query",
        "datasource": source(),
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": true,
        "includeAll": true,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn written_panel(panel: &Panel, id: usize, place: &Value) -> Value {
    let is_instant = panel.form.kind() != "timeseries";
    let targets: Vec<_> = panel
        .draws
        .iter()
        .zip('A'..='Z')
        .map(|((expression, legend), letter)| {
            json!({
                "refId": letter.to_string(),
                "datasource": source(),
                "expr": expression,
                "legendFormat": legend,
                "instant": is_instant,
                "range": !is_instant,
                "format": if panel.form == Form::Table { "table" } else { "time_series" },
            })
        })
        .collect();
    let mut written = json!({
        "id": id,
        "type": panel.form.kind(),
        "title": panel.title,
        "description": panel.says,
        "datasource": source(),
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": defaults(panel), "overrides": []},
        "options": options(panel.form),
    });
    if panel.form == Form::Table
        && let Some(panel) = written.as_object_mut()
    {
        panel.insert("transformations".into(), columns());
    }
    written
}

fn defaults(panel: &Panel) -> Value {
    let mut defaults = json!({"unit": panel.unit, "min": 0, "noValue": "nothing"});
    let stacking = json!({"mode": "normal", "group": "A"});
    let more = match panel.form {
        Form::Alarm => colored("green", Some("red")),
        Form::Wanted => colored("red", Some("green")),
        // Without a word of it Grafana shows whatever is 80 or more in red.
        Form::Number => colored("text", None),
        // Only fills: a line of a zero would lie on top of the others.
        Form::Areas => {
            json!({"custom": {"fillOpacity": 60, "lineWidth": 0, "stacking": stacking}})
        }
        Form::Bars => json!({"custom": {
            "drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "stacking": stacking,
        }}),
        Form::Dots => json!({"custom": {"drawStyle": "points", "pointSize": 6}}),
        Form::Lines => json!({"custom": {"fillOpacity": 0, "lineWidth": 2}}),
        Form::Table => json!({}),
    };
    if let (Some(defaults), Value::Object(more)) = (defaults.as_object_mut(), more) {
        defaults.extend(more);
        // Of connections and pods there are whole ones.
        if panel.form == Form::Alarm {
            defaults.insert("decimals".into(), json!(0));
        }
    }
    defaults
}

/// A number in one colour, and from 1 on in another.
fn colored(base: &str, from_one: Option<&str>) -> Value {
    let more = from_one.map(|color| json!({"color": color, "value": 1}));
    let base = json!({"color": base, "value": null});
    let steps: Vec<_> = std::iter::once(base).chain(more).collect();
    json!({
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    })
}

fn options(form: Form) -> Value {
    match form {
        Form::Alarm | Form::Wanted | Form::Number => {
            let reduced = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
            json!({"reduceOptions": reduced, "colorMode": "value", "graphMode": "none"})
        }
        Form::Lines | Form::Dots | Form::Areas | Form::Bars => json!({
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Form::Table => json!({"showHeader": true}),
    }
}

/// The time of a sample, and the labels of who was scraped, say nothing in a table. An object's name comes first,
/// then what is said of it.
fn columns() -> Value {
    let hidden = json!({"Time": true, "Value": true});
    let order = json!({"namespace": 0, "name": 1, "reason": 2, "hold": 2});
    json!([{"id": "organize", "options": {"excludeByName": hidden, "indexByName": order}}])
}
