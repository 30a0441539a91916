//! `cargo xtask bench`: the e2e tests that measure, held to their limits themselves, one at a time on
//! a cluster of their own. It judges nothing: the tests do, and this collects the figures they print.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::folders;
use crate::stage::{Outcome, conclude};
use crate::test::{Stage, Tests, in_cluster, set_up};

/// Tells the tests to take no slack.
const BENCH: (&str, &str) = ("GRACEFUL_BENCH", "1");

/// The tests that measure. The one left out does once and without load what a test in bench does
/// three times under it.
const MEASURE: &str = "bench:: bounds:: exits:: rollout:: --skip rollout::new_pods_are_ready";

/// One at a time, and shown while they run.
const HOW: &str = "--test-threads 1 --nocapture";

/// About three times what they need.
const LIMIT: Duration = Duration::from_mins(60);

/// Measure the times and sizes that are promised, and print them next to their limits
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parts of the names of the tests to run, in place of all that measure
    #[arg(last = true)]
    tests: Vec<String>,
}

/// One figure, as `tests/e2e/figure.rs` prints it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Figure {
    #[serde(rename = "figure")]
    name: String,
    /// Absent where nothing was measured.
    value: Option<f64>,
    limit: Option<f64>,
    unit: String,
}

/// Runs the tests, and ends with a table that is there when they fail, too.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut figures = Vec::new();
    let mut interrupted = false;
    let work = in_cluster("bench", &mut interrupted, async |rig| {
        let binary = set_up(rig, Stage::E2e).await?;
        let tests = Tests {
            binary: &binary,
            arguments: arguments(args),
            env: vec![BENCH],
            limit: LIMIT,
        };
        let see = |line: &str| figures.extend(Figure::parse(line));
        rig.watch(&tests, see).await
    });
    let outcome = Outcome::of_async("bench", "cargo xtask bench", work).await;
    println!("\n{}", table(&figures));
    let file = folders::target()?.join("bench.json");
    let text = serde_json::to_string_pretty(&figures).context("write the figures")?;
    std::fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    conclude(&[outcome])
}

fn arguments(args: &Args) -> Vec<String> {
    let all = MEASURE.split_whitespace().map(str::to_owned);
    let how = HOW.split_whitespace().map(str::to_owned);
    if args.tests.is_empty() {
        all.chain(how).collect()
    } else {
        args.tests.iter().cloned().chain(how).collect()
    }
}

impl Figure {
    /// Reads a line of the tests. The first of a test stands behind the test's name.
    fn parse(line: &str) -> Option<Self> {
        let begin = line.find(r#"{"figure":"#)?;
        serde_json::from_str(line.get(begin..)?).ok()
    }

    /// A figure without a value is not within its limit.
    fn verdict(&self) -> &'static str {
        match (self.value, self.limit) {
            (Some(value), Some(limit)) if value <= limit => "ok",
            (Some(_), None) => "",
            _ => "ABOVE",
        }
    }

    fn row(&self, width: usize) -> String {
        let number =
            |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |n| format!("{n:.2}"));
        let row = format!(
            "{:<width$} {:>9} {:>9} {:<12} {}",
            self.name,
            number(self.value),
            number(self.limit),
            self.unit,
            self.verdict(),
        );
        row.trim_end().to_owned()
    }
}

fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|one| one.name.len()).max();
    let width = width.unwrap_or_default();
    let head = format!(
        "{:<width$} {:>9} {:>9} {}",
        "figure", "value", "limit", "unit"
    );
    let rows = figures.iter().map(|figure| figure.row(width));
    std::iter::once(head)
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: Option<f64>, limit: Option<f64>) -> Figure {
        Figure {
            name: "old pod gone".into(),
            value,
            limit,
            unit: "s".into(),
        }
    }

    #[test]
    fn figure_is_found_behind_a_tests_name() {
        let line = r#"test a::b ... {"figure":"old pod gone","limit":8.0,"unit":"s","value":7.5}"#;
        assert_eq!(Figure::parse(line), Some(figure(Some(7.5), Some(8.0))));
        assert_eq!(Figure::parse("test a::b ... ok"), None);
    }

    #[test]
    fn figure_that_was_not_measured_is_not_within_its_limit() {
        let line = r#"{"figure":"old pod gone","limit":8.0,"unit":"s","value":null}"#;
        let unmeasured = Figure::parse(line).unwrap();
        assert_eq!(unmeasured.verdict(), "ABOVE");
        assert_eq!(figure(Some(8.5), Some(8.0)).verdict(), "ABOVE");
        assert_eq!(figure(Some(8.0), Some(8.0)).verdict(), "ok");
    }

    #[test]
    fn table_shows_each_figure_next_to_its_limit() {
        let figures = [figure(Some(7.5), Some(8.0)), figure(Some(9.25), None)];
        assert_eq!(
            table(&figures),
            "figure           value     limit unit\n\
             old pod gone      7.50      8.00 s            ok\n\
             old pod gone      9.25         - s"
        );
    }
}
