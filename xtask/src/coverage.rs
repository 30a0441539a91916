//! tests/COVERAGE.md: which test holds which behaviour, fault or threat, written from tests/rows.txt and
//! the doc comments of the tests. A row without a test has a reason; a test names only rows that are.

pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use source::Test;

/// Where the page is, from the root.
pub(crate) const PAGE: &str = "tests/COVERAGE.md";
const ROWS: &str = "tests/rows.txt";

/// How many rows there are of each kind, what a row's number looks like, and what they are.
const KINDS: [(char, usize, usize, &str); 3] = [
    ('B', 72, 2, "Behaviours"),
    ('R', 40, 2, "Faults"),
    ('T', 17, 1, "Threats"),
];

const HEAD: &str = "\
<!-- Written by `cargo xtask generate` from tests/rows.txt and the doc comments of the tests. -->
# What is held by which test

Behaviours, faults and threats, each with the public test, issue or paper that it comes from. A test names the
rows that it holds in its doc comment. *later* is a capability to come, *not ours* one that there is not to be,
*partly* what of a row is not held, and *gap* a row that should have a test and has none.
";

/// One row of tests/rows.txt.
#[derive(Debug)]
struct Row<'a> {
    id: &'a str,
    says: &'a str,
    from: &'a str,
    note: &'a str,
}

/// The page as it is to be.
pub(crate) fn page(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join(ROWS)).with_context(|| format!("read {ROWS}"))?;
    render(&rows(&text)?, &source::tests(root)?)
}

fn rows(text: &str) -> Result<Vec<Row<'_>>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<_> = lines
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            let mut cell = || cells.next().unwrap_or_default();
            let row = Row {
                id: cell(),
                says: cell(),
                from: cell(),
                note: cell(),
            };
            ensure!(
                cells.next().is_none() && !row.says.is_empty() && !row.from.is_empty(),
                "{ROWS}: not `row | statement | source | note`: {line}"
            );
            ensure!(
                row.note.is_empty() || row.is_excused() || row.is_part(),
                "{ROWS}: {}: a note begins with `later: `, `not ours: `, `gap: ` or `partly: `",
                row.id
            );
            Ok(row)
        })
        .collect::<Result<_>>()?;
    let expected: Vec<_> = KINDS
        .iter()
        .flat_map(|(kind, count, width, _)| {
            (1..=*count).map(move |number| format!("{kind}{number:0width$}"))
        })
        .collect();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    ensure!(ids == expected, "{ROWS}: rows are missing or out of order");
    Ok(rows)
}

fn render(rows: &[Row<'_>], tests: &[Test]) -> Result<String> {
    let mut held: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for test in tests {
        for id in &test.rows {
            let is_row = rows.iter().any(|row| row.id == id);
            ensure!(is_row, "{} names {id}, which is no row", test.path);
            held.entry(id).or_default().push(&test.path);
        }
    }
    let bare = |row: &&Row<'_>| !held.contains_key(row.id) && !row.is_excused();
    let bare: Vec<_> = rows.iter().filter(bare).map(|row| row.id).collect();
    ensure!(
        bare.is_empty(),
        "no test names {bare:?}, and {ROWS} says no reason"
    );
    let mut page = HEAD.to_owned();
    for (kind, _, _, name) in KINDS {
        write!(
            page,
            "\n## {name}\n\n| | what is wanted | from | held by |\n|---|---|---|---|\n"
        )?;
        for row in rows.iter().filter(|row| row.id.starts_with(kind)) {
            let held = row.held_by(held.get(row.id).map_or(&[], Vec::as_slice));
            let (id, says, from) = (row.id, row.says, row.from);
            writeln!(page, "| {id} | {says} | {from} | {held} |")?;
        }
    }
    Ok(page)
}

impl Row<'_> {
    /// Whether it may be without a test.
    fn is_excused(&self) -> bool {
        ["later: ", "not ours: ", "gap: "]
            .iter()
            .any(|kind| self.note.starts_with(kind))
    }

    fn is_part(&self) -> bool {
        self.note.starts_with("partly: ")
    }

    /// The tests, or why there are none. A reason for having none is out of date once there is one.
    fn held_by(&self, tests: &[&str]) -> String {
        if tests.is_empty() {
            return self.note.to_owned();
        }
        let tests: BTreeSet<_> = tests.iter().collect();
        let paths = tests.iter().map(|path| format!("`{path}`"));
        let rest = self.is_part().then(|| self.note.to_owned());
        paths.chain(rest).collect::<Vec<_>>().join("<br>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(note: &'static str) -> Row<'static> {
        Row {
            id: "B01",
            says: "a behaviour",
            from: "a test of others",
            note,
        }
    }

    fn test(rows: &[&str]) -> Test {
        Test {
            path: "offline::a".into(),
            rows: rows.iter().map(|&row| row.to_owned()).collect(),
        }
    }

    #[test]
    fn page_is_as_the_tests_say() {
        let root = crate::folders::workspace().unwrap();
        let page = page(&root).unwrap();
        let written = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
        assert!(page == written, "stale: run cargo xtask generate");
    }

    #[test]
    fn row_has_tests_or_a_reason() {
        let page = render(&[row("")], &[test(&["B01"])]).unwrap();
        assert!(page.contains("| B01 | a behaviour | a test of others | `offline::a` |"));
        let page = render(&[row("later: a rig")], &[]).unwrap();
        assert!(page.contains("| later: a rig |"));
        assert!(render(&[row("")], &[]).is_err());
        assert!(render(&[row("partly: most of it")], &[]).is_err());
    }

    #[test]
    fn reason_is_gone_once_there_is_a_test_but_what_is_not_held_stays() {
        let page = render(&[row("gap: none")], &[test(&["B01"])]).unwrap();
        assert!(!page.contains("gap: none"));
        let page = render(&[row("partly: most")], &[test(&["B01"])]).unwrap();
        assert!(page.contains("`offline::a`<br>partly: most"));
    }

    #[test]
    fn row_that_is_none_is_refused() {
        assert!(render(&[row("later: a rig")], &[test(&["B99"])]).is_err());
        assert!(rows("B01 | only | one").is_err());
    }
}
