//! The reference pages, written from the code: fields from the CRD, reasons from their enum, metrics from
//! what operator and agent print, flags from what the programs say of themselves. Each page is compared with
//! what it would be now; `cargo xtask generate` (UPDATE_GOLDEN=1) writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use graceful::agent::view::{DrainView, View, metrics};
use graceful::api::crd;
use graceful::api::reason::Reason;
use graceful::operator::{HOLDS, sample_of_metrics};
use serde_json::Value;

use super::reasons::advice;
use super::{ROOT, read};

const NOTE: &str = "<!-- Written by `cargo xtask generate` from the code. -->\n";

fn settle(name: &str, body: &str) {
    let path = format!("docs/reference/{name}.md");
    let page = format!("{NOTE}{body}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(format!("{ROOT}/docs/reference")).expect("the folder");
        std::fs::write(format!("{ROOT}/{path}"), &page).expect("written");
    }
    assert!(
        read(&path) == page,
        "{path} is stale: run cargo xtask generate"
    );
}

/// A text as it may stand in a cell of a table.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[test]
fn every_field_is_on_its_page() {
    let schema = crd::definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let mut page = "# Every field\n\nOf `GracefulDeployment`, `graceful.dev/v1alpha1`. `kubectl explain \
         gracefuldeployment.spec` says the same in a terminal. What is inside of `template`, of a probe and of \
         `selector` is Kubernetes' own.\n"
        .to_owned();
    for part in ["spec", "status"] {
        let _ = write!(
            page,
            "\n## {part}\n\n| field | type | default | meaning |\n|---|---|---|---|\n"
        );
        rows(&schema["properties"][part], part, &mut page);
    }
    settle("fields", &page);
}

/// Kubernetes' own, with words of its own.
const THEIRS: &[&str] = &[
    "spec.template",
    "spec.selector",
    "spec.probes.readiness",
    "spec.probes.startup",
    "spec.probes.liveness",
];

fn rows(schema: &Value, path: &str, page: &mut String) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let default = field.get("default").filter(|default| !default.is_object());
        let default = default.map(|default| format!("`{default}`"));
        let _ = writeln!(
            page,
            "| `{path}` | {} | {} | {} |",
            kind(field),
            default.unwrap_or_default(),
            cell(field["description"].as_str().unwrap_or_default()),
        );
        if !THEIRS.contains(&path.as_str()) {
            rows(field, &path, page);
            rows(&field["items"], &format!("{path}[]"), page);
        }
    }
}

fn kind(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
        return values.join(", ");
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") if field.get("additionalProperties").is_some() => "map".into(),
        Some(kind) => kind.into(),
        None if field.get("x-kubernetes-int-or-string").is_some() => "integer or percentage".into(),
        None => "any".into(),
    }
}

#[test]
fn every_reason_is_on_its_page() {
    let mut page = "# Every reason\n\nA closed list, of conditions (`kubectl describe gd NAME`, `status.conditions`) \
         and of Events. The message beside a reason names the pods and the times.\n\n| reason | where | meaning | \
         what to do |\n|---|---|---|---|\n"
        .to_owned();
    for (reason, meaning) in Reason::ALL {
        let (place, advice) = advice(*reason);
        let _ = writeln!(
            page,
            "| `{reason}` | {place} | {} | {advice} |",
            cell(meaning)
        );
    }
    settle("reasons", &page);
}

/// One family of metrics.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: Vec<String>,
    has_series: bool,
}

/// What a page of metrics says of each family.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut all = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            let mut words = words.splitn(3, ' ');
            let (what, name) = (words.next(), words.next().unwrap_or_default());
            let rest = words.next().unwrap_or_default().to_owned();
            match what {
                Some("HELP") => all.entry(name.to_owned()).or_default().help = rest,
                Some("TYPE") => all.entry(name.to_owned()).or_default().kind = rest,
                _ => {}
            }
            continue;
        }
        let series = line.split([' ', '{']).next().unwrap_or_default();
        let family = all.iter_mut().filter(|(name, _)| series.starts_with(*name));
        let Some((_, family)) = family.max_by_key(|(name, _)| name.len()) else {
            panic!("{line} belongs to no family");
        };
        family.has_series = true;
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        for label in labels.map_or("", |(labels, _)| labels).split("\",") {
            let name = label.split('=').next().unwrap_or_default();
            let is_new =
                !name.is_empty() && name != "le" && !family.labels.iter().any(|it| it == name);
            if is_new {
                family.labels.push(name.to_owned());
            }
        }
    }
    all
}

fn of_agent() -> String {
    metrics(&View {
        drain: Some(DrainView::default()),
        ..View::default()
    })
}

#[test]
fn every_metric_is_on_its_page() {
    let mut page = "# Every metric\n\nThe operator's are at `/metrics` of its port 8080, an agent's at `/metrics` of \
         the agent's port (15990, or the next that the template does not declare). Labels that name an object are \
         there as long as the object is. The chart scrapes both for the Prometheus operator \
         (`metrics.podMonitor`, `metrics.agentMonitor`), and has [alerts](../runbooks.md) and Grafana dashboards.\n"
        .to_owned();
    for (of, text) in [("operator", sample_of_metrics()), ("agent", of_agent())] {
        let _ = write!(
            page,
            "\n## Of the {of}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
        );
        for (name, family) in families(&text) {
            assert!(family.has_series, "the sample has no series of {name}");
            let suffix = if family.kind == "counter" && !name.ends_with("_total") {
                "_total"
            } else {
                ""
            };
            let labels = family.labels.join("`, `");
            let labels = if labels.is_empty() {
                labels
            } else {
                format!("`{labels}`")
            };
            let _ = writeln!(
                page,
                "| `{name}{suffix}` | {} | {labels} | {} |",
                family.kind,
                cell(&family.help)
            );
        }
    }
    page.push_str(
        "\n## Holds\n\nThe values of the label `hold`: why no more is done now.\n\n| hold | meaning |\n|---|---|\n",
    );
    for (hold, meaning) in HOLDS {
        let _ = writeln!(page, "| `{hold}` | {} |", cell(meaning));
    }
    settle("metrics", &page);
}

/// What a program says when it is asked for help on a subcommand.
fn help(program: &str, subcommand: Option<&str>) -> String {
    let mut command = Command::new(program);
    command.args(subcommand).arg("--help");
    // The help shows what is set.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GRACEFUL_") {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("started");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The subcommands that a program's help lists.
fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

#[test]
fn every_flag_is_on_its_page() {
    let mut page = "# Every flag\n\nWhat each program says with `--help`. The chart sets the operator's; the agent's \
         are set by the operator in each pod.\n"
        .to_owned();
    for (name, program) in [
        ("graceful-operator", env!("CARGO_BIN_EXE_graceful-operator")),
        ("graceful-agent", env!("CARGO_BIN_EXE_graceful-agent")),
    ] {
        let whole = help(program, None);
        let all = subcommands(&whole);
        assert!(all.len() > 2, "{whole}");
        let _ = write!(page, "\n## {name}\n\n```text\n{whole}\n```\n");
        for subcommand in all {
            let text = help(program, Some(subcommand));
            let _ = write!(page, "\n### {name} {subcommand}\n\n```text\n{text}\n```\n");
        }
    }
    settle("flags", &page);
}
