//! What Prometheus' own tool says to the chart's alerts and to the expressions of its dashboards. The cases that
//! the alerts are put to are in `alerts.yaml`, beside this file.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::dashboards::panels;

use super::{CHART, one, run, template, text};

const CASES: &str = include_str!("alerts.yaml");

fn rules_file() -> String {
    format!("{CHART}/files/alerts.yaml")
}

/// Has promtool read a file of YAML.
fn promtool(arguments: &[&str], file: &str, content: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(file);
    std::fs::write(&path, content).expect("written");
    let path = path.to_string_lossy().into_owned();
    let mut all = arguments.to_vec();
    all.push(&path);
    let output = run("promtool", &all);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
}

const CHECK: [&str; 4] = ["check", "rules", "--lint=all", "--lint-fatal"];

#[test]
fn alerts_are_rules() {
    let rules = std::fs::read_to_string(rules_file()).expect("the rules");
    promtool(&CHECK, "alerts.yaml", &rules);
}

/// What the chart makes of them is the same, but for where the runbooks are.
#[test]
fn alerts_of_the_chart_are_those_of_the_file() {
    let objects = template(&[
        "metrics.prometheusRule.enabled=true",
        "metrics.prometheusRule.runbooks=https://docs.example.com/runbooks",
    ]);
    let rule = one(&objects, "PrometheusRule").expect("a PrometheusRule");
    let of_chart = serde_json::to_string(&rule["spec"]).expect("JSON");
    promtool(&CHECK, "alerts.json", &of_chart);
    let of_chart = of_chart.replace("https://docs.example.com/runbooks", "docs/runbooks.md");
    let of_chart: Value = serde_json::from_str(&of_chart).expect("JSON");
    let rules = std::fs::read(rules_file()).expect("the rules");
    let rules: Value = serde_yaml_ng::from_slice(&rules).expect("YAML");
    assert_eq!(of_chart, rules);
}

#[test]
fn each_alert_fires_in_its_case_and_not_in_a_healthy_rollout() {
    let cases = CASES.replace("RULES", &rules_file());
    promtool(&["test", "rules"], "cases.yaml", &cases);
}

/// Of each alert there is a case in which it fires and one in which it does not.
#[test]
fn each_alert_has_its_cases() {
    let rules = std::fs::read(rules_file()).expect("the rules");
    let rules: Value = serde_yaml_ng::from_slice(&rules).expect("YAML");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let groups = list(&rules["groups"]).into_iter();
    let alerts: BTreeSet<_> = groups
        .flat_map(|group| list(&group["rules"]))
        .map(|rule| rule["alert"].to_string())
        .collect();
    let cases: Value = serde_yaml_ng::from_str(CASES).expect("YAML");
    let mut found = BTreeMap::<bool, BTreeSet<String>>::new();
    for case in list(&cases["tests"]) {
        for tried in list(&case["alert_rule_test"]) {
            let fires = !list(&tried["exp_alerts"]).is_empty();
            let name = tried["alertname"].to_string();
            found.entry(fires).or_default().insert(name);
        }
    }
    for fires in [true, false] {
        assert_eq!(found.get(&fires), Some(&alerts), "fires: {fires}");
    }
}

/// As recording rules, because the tool reads those.
#[test]
fn each_panel_asks_what_prometheus_understands() {
    let all = panels(["15s", "1m", "1h"]).into_iter();
    let rules: Vec<_> = all
        .flat_map(|(place, all)| all.into_iter().map(move |one| (place.clone(), one)))
        .enumerate()
        .map(|(number, (place, expression))| {
            assert!(!expression.contains('$'), "{place}: {expression}");
            json!({"record": format!("panel:{number}"), "expr": expression})
        })
        .collect();
    assert!(rules.len() > 20, "{}", rules.len());
    let group = json!({"groups": [{"name": "panels", "rules": rules}]});
    promtool(&["check", "rules"], "panels.json", &group.to_string());
}

/// Dashboards reach Grafana as they are in the repository.
#[test]
fn dashboards_of_the_chart_are_those_of_the_folder() {
    let objects = template(&["metrics.dashboards.enabled=true"]);
    let found = objects.iter().find(|object| {
        object["kind"] == "ConfigMap" && object["metadata"]["name"] == "graceful-dashboards"
    });
    let data = found.expect("the ConfigMap")["data"]
        .as_object()
        .expect("data");
    assert_eq!(data.len(), 2);
    for (file, text) in data {
        let own = std::fs::read_to_string(format!("{CHART}/dashboards/{file}"));
        assert_eq!(own.expect("the dashboard"), text.as_str().expect("text"));
    }
}
