//! docs/measurements: what `bench` and `test --full` measured, when, of which commit and on what machine,
//! as JSON and as the page that is generated from it. It takes no measurement, and names no host.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::stage::in_root;
use crate::{folders, process, tools};

/// Where the page is, from the root, beside the JSON files.
pub(crate) const PAGE: &str = "docs/measurements/README.md";
const FOLDER: &str = "docs/measurements";

const HEAD: &str = "\
<!-- Written by `cargo xtask generate` from the JSON files of this folder. -->
# Measurements

What `cargo xtask bench --record` and `cargo xtask test --full` measured when they were last run, each figure
next to its limit where it has one.
";

/// What the cells of the table of the stage `matrix` say.
const MATRIX: (&str, &str) = (
    "matrix",
    "
One app of each kind, four pods, the same in all columns; three image changes under HTTP, two under the others. *Lost* is
what did not come to its end: a request without its whole answer, a socket that could not be opened or ended without a
goodbye, a call or a stream with an error, a job that was not finished. *Cut* are those of them that a pod had begun: all
calls, streams and jobs, for these wait until a pod takes them. A drain has a minute. `notify` comes with what the
manifest of its [example](../../examples) has beside it.
",
);

/// One figure, as `tests/e2e/figure.rs` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    #[serde(rename = "figure")]
    pub(crate) name: String,
    /// Absent where nothing was measured.
    pub(crate) value: Option<f64>,
    pub(crate) limit: Option<f64>,
    pub(crate) unit: String,
}

/// One file of the folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    date: Date,
    commit: String,
    machine: Machine,
    figures: Vec<Figure>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    cores: usize,
    memory_gib: u64,
    kernel: String,
    kubernetes: String,
}

/// Writes a run's figures into the folder, and the page anew.
pub(crate) fn record(name: &str, figures: Vec<Figure>) -> Result<()> {
    let record = Record {
        date: jiff::Zoned::now().date(),
        commit: commit()?,
        machine: Machine::here()?,
        figures,
    };
    let root = folders::workspace()?;
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let text = serde_json::to_string_pretty(&record).context("write the figures")? + "\n";
    let file = folder.join(name).with_extension("json");
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    println!("recorded in {FOLDER}/{name}.json");
    fs::write(root.join(PAGE), page(&root)?).with_context(|| format!("write {PAGE}"))
}

/// The page as it is to be.
pub(crate) fn page(root: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    let mut files: Vec<_> = fs::read_dir(root.join(FOLDER))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    for file in &files {
        let text = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let record: Record =
            serde_json::from_slice(&text).with_context(|| format!("parse {}", file.display()))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        write!(page, "\n## {name}\n\n{}", record.section(&name))?;
    }
    if files.is_empty() {
        page.push_str("\nNothing is recorded yet.\n");
    }
    Ok(page)
}

impl Figure {
    /// Reads a line of the tests. The first of a test stands behind the test's name.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let begin = line.find(r#"{"figure":"#)?;
        serde_json::from_str(line.get(begin..)?).ok()
    }

    /// A figure of our own, without a limit.
    pub(crate) fn of(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value: Some(value),
            limit: None,
            unit: unit.to_owned(),
        }
    }

    /// Row and column, where its name says that it belongs into a table of its own.
    fn cell(&self) -> Option<(&str, &str)> {
        self.name.split_once(" | ")
    }

    pub(crate) fn shown(number: Option<f64>) -> String {
        match number {
            None => "-".to_owned(),
            Some(whole) if whole.fract() == 0.0 => format!("{whole:.0}"),
            Some(number) => format!("{number:.2}"),
        }
    }
}

impl Record {
    fn section(&self, name: &str) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{}, commit `{}`; {} cores, {} GiB, Linux {}, Kubernetes {}.\n",
            self.date,
            self.commit,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.kubernetes
        );
        let (cells, rows): (Vec<_>, Vec<_>) = self
            .figures
            .iter()
            .partition(|figure| figure.cell().is_some());
        if !rows.is_empty() {
            text.push_str("\n| | value | limit | unit |\n|---|--:|--:|---|\n");
        }
        for figure in rows {
            let (value, limit) = (Figure::shown(figure.value), Figure::shown(figure.limit));
            let (name, unit) = (&figure.name, &figure.unit);
            let _ = writeln!(text, "| {name} | {value} | {limit} | {unit} |");
        }
        if name == MATRIX.0 {
            text.push_str(MATRIX.1);
        }
        text + &cross_table(&cells)
    }
}

/// Figures that are told in rows and columns, in the order in which they came.
fn cross_table(cells: &[&Figure]) -> String {
    let mut columns = Vec::new();
    let mut rows: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    for figure in cells {
        let Some((row, column)) = figure.cell() else {
            continue;
        };
        if !columns.contains(&column) {
            columns.push(column);
        }
        let cell = (column, Figure::shown(figure.value));
        match rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, cells)) => cells.push(cell),
            None => rows.push((row, vec![cell])),
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n| | {} |\n|---|{}\n",
        columns.join(" | "),
        "--:|".repeat(columns.len())
    );
    for (row, cells) in rows {
        let _ = write!(text, "| {row} |");
        for column in &columns {
            let cell = cells.iter().find(|(known, _)| known == column);
            let _ = write!(text, " {} |", cell.map_or("-", |(_, value)| value));
        }
        text.push('\n');
    }
    text
}

impl Machine {
    fn here() -> Result<Self> {
        let memory = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("read osrelease")?;
        Ok(Self {
            cores: available_parallelism().context("count the cores")?.get(),
            memory_gib: memory_gib(&memory).context("find MemTotal")?,
            kernel: kernel_version(&kernel).to_owned(),
            kubernetes: tools::kubernetes_version()?,
        })
    }
}

fn memory_gib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib + (1 << 19)) >> 20)
}

/// Without what a builder of kernels adds, which may name a place.
fn kernel_version(release: &str) -> &str {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.');
    release
        .get(..end.unwrap_or(release.len()))
        .unwrap_or_default()
}

/// The commit that is measured, marked where the tree is not it.
fn commit() -> Result<String> {
    let said = |line: &str| {
        let mut command = in_root("git")?;
        command.args(line.split_whitespace());
        let output = process::output(&mut command)?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = said("rev-parse --short=10 HEAD")?;
    // Recording changes the tree itself.
    let is_clean = said("status --porcelain -- . :!docs/measurements")?.is_empty();
    Ok(if is_clean { commit } else { commit + "+" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        Figure {
            name: "old pod gone".into(),
            value: Some(7.5),
            limit: Some(8.0),
            unit: "s".into(),
        }
    }

    #[test]
    fn figure_is_found_behind_a_tests_name() {
        let line = r#"test a::b ... {"figure":"old pod gone","limit":8.0,"unit":"s","value":7.5}"#;
        assert_eq!(Figure::parse(line), Some(figure()));
        assert_eq!(Figure::parse("test a::b ... ok"), None);
    }

    #[test]
    fn section_tells_date_commit_machine_and_figures() {
        let record = Record {
            date: Date::constant(2026, 11, 22),
            commit: "0123456789".into(),
            machine: Machine {
                cores: 4,
                memory_gib: 16,
                kernel: "6.1.2".into(),
                kubernetes: "v1.36.3".into(),
            },
            figures: vec![figure(), Figure::of("pods", 12.0, "pods")],
        };
        let expected = "\
2026-11-22, commit `0123456789`; 4 cores, 16 GiB, Linux 6.1.2, Kubernetes v1.36.3.

| | value | limit | unit |
|---|--:|--:|---|
| old pod gone | 7.50 | 8 | s |
| pods | 12 | - | pods |
";
        assert_eq!(record.section("bench"), expected);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn figures_of_rows_and_columns_are_a_table_of_their_own() {
        let of = |name: &str, value| Figure::of(name, value, "requests");
        let cells = [
            of("streams | ours", 0.0),
            of("streams | theirs", 3.0),
            of("all | ours", 9.0),
        ];
        let expected =
            "\n| | ours | theirs |\n|---|--:|--:|\n| streams | 0 | 3 |\n| all | 9 | - |\n";
        assert_eq!(cross_table(&cells.iter().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn machine_is_told_without_the_name_of_a_place() {
        assert_eq!(kernel_version("6.1.2-7-somewhere\n"), "6.1.2");
        assert_eq!(
            memory_gib("MemFree: 1 kB\nMemTotal:   16301234 kB\n"),
            Some(16)
        );
        assert!(Machine::here().unwrap().kubernetes.starts_with("v1."));
    }

    #[test]
    fn page_is_as_the_records_say() {
        let root = folders::workspace().unwrap();
        let written = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
        assert!(
            page(&root).unwrap() == written,
            "stale: run cargo xtask generate"
        );
    }
}
