//! `cargo xtask bench` and the stages matrix, nodes, soak and scale: the tests that measure, held to their limits themselves,
//! one at a time on a cluster of their own. It judges nothing: the tests do, and this collects the figures they print.

use std::time::Duration;

use anyhow::Result;

use crate::image;
use crate::measurements::{self, Figure};
use crate::process::Progress;
use crate::stage::{Outcome, conclude};
use crate::test::{Stage, Tests, in_cluster, set_up};

/// Tells the tests to take no slack.
const BENCH: (&str, &str) = ("GRACEFUL_BENCH", "1");

/// The tests that measure. The one left out does once and without load what a test in bench does
/// three times under it.
const MEASURE: &str =
    "bench:: bounds:: exits:: operator::leader rollout:: --skip rollout::new_pods_are_ready";

/// Each kind of work under each kind of rollout. They assert what is lost, and no times.
const MATRIX: &str = "matrix::";

/// Those that need two nodes.
const NODES: &str = "nodes::";

/// The tests of tests/cluster that measure, and what they find the operator by that is shipped.
pub(crate) const SOAK: &str = "scale::soak";
pub(crate) const SCALE: &str = "scale::operator_of";
const SHIPPED: &str = "GRACEFUL_OPERATOR";

/// One at a time, and shown while they run.
const HOW: &str = "--test-threads 1 --nocapture";

/// About three times what they need.
const LIMIT: Duration = Duration::from_mins(60);

/// Measure the times and sizes that are promised, and print them next to their limits
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the figures to docs/measurements, where all were measured and within their limits
    #[arg(long, conflicts_with = "tests")]
    record: bool,

    /// Parts of the names of the tests to run, in place of all that measure
    #[arg(last = true)]
    tests: Vec<String>,
}

/// Runs the tests, and ends with a table that is there when they fail, too.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut interrupted = false;
    let mut tests = args.tests.join(" ");
    if tests.is_empty() {
        MEASURE.clone_into(&mut tests);
    }
    let name = args.record.then_some("bench");
    conclude(&[measure(Stage::Bench, &tests, name, &mut interrupted).await])
}

/// The stage `bench` of the long run.
pub(crate) async fn stage(interrupted: &mut bool) -> Outcome {
    measure(Stage::Bench, MEASURE, Some("bench"), interrupted).await
}

/// The stage `matrix` of the long run.
pub(crate) async fn matrix(interrupted: &mut bool) -> Outcome {
    measure(Stage::Matrix, MATRIX, Some("matrix"), interrupted).await
}

/// The stage `nodes` of the long run.
pub(crate) async fn nodes(interrupted: &mut bool) -> Outcome {
    measure(Stage::Nodes, NODES, Some("nodes"), interrupted).await
}

/// The stage `soak` of the long run.
pub(crate) async fn soak(interrupted: &mut bool) -> Outcome {
    measure(Stage::Soak, SOAK, Some("soak"), interrupted).await
}

/// The stage `scale` of the long run.
pub(crate) async fn scale(interrupted: &mut bool) -> Outcome {
    measure(Stage::Scale, SCALE, Some("scale"), interrupted).await
}

/// Runs tests on a quiet cluster, prints their figures, and records them under the name.
async fn measure(stage: Stage, tests: &str, name: Option<&str>, interrupted: &mut bool) -> Outcome {
    let mut figures = Vec::new();
    let is_of_one_operator = matches!(stage, Stage::Soak | Stage::Scale);
    let work = async {
        // The compiler first: what it takes is not there to be measured.
        let programs = is_of_one_operator.then(|| image::programs(Progress::start()));
        let operator = programs
            .transpose()?
            .map(|folder| folder.join("graceful-operator"));
        let operator = operator.map(|path| path.display().to_string());
        let result = in_cluster(stage.name(), interrupted, async |rig| {
            let binary = set_up(rig, stage).await?;
            let arguments = tests.split_whitespace().chain(HOW.split_whitespace());
            let mut env = vec![BENCH];
            env.extend(operator.as_deref().map(|path| (SHIPPED, path)));
            let tests = Tests {
                binary: &binary,
                arguments: arguments.map(str::to_owned).collect(),
                env,
                limit: LIMIT,
            };
            rig.watch(&tests, |line| figures.extend(Figure::parse(line)))
                .await
        });
        let result = result.await;
        println!("\n{}", table(&figures));
        result?;
        name.map_or(Ok(()), |name| measurements::record(name, figures))
    };
    let again = if stage == Stage::Bench {
        "cargo xtask bench".to_owned()
    } else {
        format!("cargo xtask test {}", stage.name())
    };
    Outcome::of_async(stage.name(), &again, work).await
}

/// A figure without a value is not within its limit.
fn verdict(figure: &Figure) -> &'static str {
    match (figure.value, figure.limit) {
        (Some(value), Some(limit)) if value <= limit => "ok",
        (Some(_), None) => "",
        _ => "ABOVE",
    }
}

fn row(figure: &Figure, width: usize) -> String {
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |n| format!("{n:.2}"));
    let row = format!(
        "{:<width$} {:>9} {:>9} {:<12} {}",
        figure.name,
        number(figure.value),
        number(figure.limit),
        figure.unit,
        verdict(figure),
    );
    row.trim_end().to_owned()
}

fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|one| one.name.len()).max();
    let width = width.unwrap_or_default();
    let head = format!(
        "{:<width$} {:>9} {:>9} {}",
        "figure", "value", "limit", "unit"
    );
    let rows = figures.iter().map(|figure| row(figure, width));
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
    fn figure_that_was_not_measured_is_not_within_its_limit() {
        let line = r#"{"figure":"old pod gone","limit":8.0,"unit":"s","value":null}"#;
        let unmeasured = Figure::parse(line).unwrap();
        assert_eq!(verdict(&unmeasured), "ABOVE");
        assert_eq!(verdict(&figure(Some(8.5), Some(8.0))), "ABOVE");
        assert_eq!(verdict(&figure(Some(8.0), Some(8.0))), "ok");
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
