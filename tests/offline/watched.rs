//! Alerts and dashboards speak of metrics that there are, link to words that there are, and have the shape
//! that Grafana reads. That each expression is one, and fires in its case, is for Prometheus' own tool in the
//! cluster tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/graceful-deployment");

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboards() -> Vec<Value> {
    let folder = fs::read_dir(format!("{CHART}/dashboards")).expect("the dashboards");
    let read = |path: std::path::PathBuf| {
        let text = fs::read(&path).expect("a dashboard");
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    folder
        .map(|entry| read(entry.expect("an entry").path()))
        .collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Each alert's rule.
fn alerts() -> Vec<Value> {
    let rules = read("charts/graceful-deployment/files/alerts.yaml");
    let rules: Value = serde_yaml_ng::from_str(&rules).expect("YAML");
    let groups = list(&rules["groups"]);
    groups
        .iter()
        .flat_map(|group| list(&group["rules"]))
        .cloned()
        .collect()
}

/// Names in an expression that are ours.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_inner = |letter: char| letter.is_alphanumeric() || letter == '_';
    let names = expression.split(|letter| !is_inner(letter));
    names
        .filter(|name| name.starts_with("graceful_") || name.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// A name of the page of all metrics; a histogram has three.
fn is_known(name: &str, page: &str) -> bool {
    let ends = ["_bucket", "_count", "_sum"];
    let base = ends.iter().find_map(|end| name.strip_suffix(end));
    page.contains(&format!("| `{name}` |"))
        || base.is_some_and(|base| page.contains(&format!("| `{base}` | histogram")))
}

#[test]
fn every_metric_that_is_asked_for_is_one() {
    let page = read("docs/reference/metrics.md");
    let mut asked = BTreeSet::new();
    for alert in alerts() {
        asked.extend(metrics_in(text(&alert["expr"])));
    }
    for dashboard in dashboards() {
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                asked.extend(metrics_in(text(&target["expr"])));
            }
        }
        for variable in list(&dashboard["templating"]["list"]) {
            asked.extend(metrics_in(text(&variable["query"]["query"])));
        }
    }
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        assert!(is_known(&name, &page), "{name} is no metric of ours");
    }
}

#[test]
fn every_alert_has_its_runbook() {
    let page = read("docs/runbooks.md");
    let mut described: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## Graceful"))
        .map(|rest| format!("Graceful{rest}"))
        .collect();
    for alert in alerts() {
        let name = text(&alert["alert"]);
        let link = format!("docs/runbooks.md#{}", name.to_lowercase());
        assert_eq!(text(&alert["annotations"]["runbook_url"]), link);
        for said in ["summary", "description"] {
            assert!(
                text(&alert["annotations"][said]).ends_with('.'),
                "{name}: {said}"
            );
        }
        let severity = text(&alert["labels"]["severity"]);
        assert!(
            ["info", "warning", "critical"].contains(&severity),
            "{name}"
        );
        assert!(described.remove(name), "{name} has no runbook");
    }
    assert_eq!(described, BTreeSet::new(), "runbooks of no alert");
}

/// What Grafana needs of a panel, and what a person does.
#[test]
fn every_panel_is_whole() {
    for dashboard in dashboards() {
        let title = text(&dashboard["title"]);
        assert!(!title.is_empty() && !text(&dashboard["uid"]).is_empty());
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            let name = text(&panel["title"]);
            assert!(
                ids.insert(panel["id"].as_u64()) && titles.insert(name),
                "{title}: {name}"
            );
            assert!(
                text(&panel["description"]).ends_with('.'),
                "{title}: {name}"
            );
            assert!(["stat", "timeseries", "table"].contains(&text(&panel["type"])));
            assert_eq!(
                panel["datasource"]["uid"], "${datasource}",
                "{title}: {name}"
            );
            assert!(!list(&panel["targets"]).is_empty(), "{title}: {name}");
        }
        let variables = list(&dashboard["templating"]["list"]);
        assert_eq!(variables[0]["name"], "datasource", "{title}");
    }
}

#[test]
fn no_panel_lies_on_another() {
    for dashboard in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            let place = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(taken.insert((x, y)), "{}", panel["title"]);
                }
            }
        }
    }
}

/// A variable that is not declared is asked for as it stands.
#[test]
fn every_variable_is_declared() {
    for dashboard in dashboards() {
        let declared: BTreeSet<_> = list(&dashboard["templating"]["list"])
            .iter()
            .map(|variable| text(&variable["name"]).to_owned())
            .collect();
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                for used in text(&target["expr"]).split('$').skip(1) {
                    let end = used.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
                    let name = &used[..end.unwrap_or(used.len())];
                    let is_grafanas = ["__interval", "__rate_interval", "__range"].contains(&name);
                    assert!(is_grafanas || declared.contains(name), "{name}");
                }
            }
        }
    }
}
