//! docs/works-with.md: what other tools make of a GracefulDeployment, written from tests/works-with.txt. Each row
//! names the tests that hold it, and a version is read from the module that is tested. It tests nothing itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::coverage::source;
use crate::tools::required_version;

/// Where the page is, from the root.
pub(crate) const PAGE: &str = "docs/works-with.md";
const ROWS: &str = "tests/works-with.txt";

const HEAD: &str = "\
<!-- Written by `cargo xtask generate` from tests/works-with.txt. -->
# Works with

What other tools make of a `GracefulDeployment`. Each row is held by tests, on the versions that it names.

| tool | what | how it is | held by |
|---|---|---|---|
";

/// The page as it is to be.
pub(crate) fn page(root: &Path) -> Result<String> {
    let rows = fs::read_to_string(root.join(ROWS)).with_context(|| format!("read {ROWS}"))?;
    let tests: BTreeSet<_> = source::tests(root)?.into_iter().map(|it| it.path).collect();
    let version = |module: &str| version(root, module);
    render(&rows, &tests, version)
}

fn render(
    rows: &str,
    tests: &BTreeSet<String>,
    version: impl Fn(&str) -> Result<String>,
) -> Result<String> {
    let mut page = HEAD.to_owned();
    for line in rows.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<_> = line.split(" | ").map(str::trim).collect();
        let [tool, what, how, held] = cells.as_slice() else {
            anyhow::bail!("{ROWS}: not `tool | what | how | tests`: {line}");
        };
        let tool = with_versions(tool, &version)?;
        let held: Vec<_> = held.split(", ").collect();
        let strays: Vec<_> = held.iter().filter(|test| !tests.contains(**test)).collect();
        ensure!(strays.is_empty(), "{ROWS}: no tests: {strays:?}");
        let held: Vec<_> = held.iter().map(|test| format!("`{test}`")).collect();
        let _ = writeln!(page, "| {tool} | {what} | {how} | {} |", held.join("<br>"));
    }
    Ok(page)
}

/// Puts the version of a module where `{folder module}` stands.
fn with_versions(text: &str, version: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut rest = text;
    let mut done = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (module, after) = after.split_once('}').context("a { without its }")?;
        done.push_str(before);
        done.push_str(&version(module)?);
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// The version that the go.mod of a folder requires of a module: `folder module`.
fn version(root: &Path, place: &str) -> Result<String> {
    let (folder, module) = place.split_once(' ').context("not `folder module`")?;
    let path = root.join(folder).join("go.mod");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let version = required_version(&text, module);
    let version = version.with_context(|| format!("{folder} requires no {module}"))?;
    Ok(version.trim_start_matches('v').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "Tool {a b} and {c d} | what | how | x::one, x::two";

    fn tests(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn row_names_versions_and_tests() {
        let version = |module: &str| Ok(module.replace(' ', "-"));
        let page = render(ROW, &tests(&["x::one", "x::two"]), version).unwrap();
        let row = "\n| Tool a-b and c-d | what | how | `x::one`<br>`x::two` |\n";
        assert!(page.ends_with(row), "{page}");
    }

    #[test]
    fn test_that_is_none_is_refused() {
        let error = render(ROW, &tests(&["x::one"]), |_| Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("x::two"), "{error}");
    }

    #[test]
    fn page_is_as_the_rows_say() {
        let root = crate::folders::workspace().unwrap();
        let written = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
        assert!(
            page(&root).unwrap() == written,
            "stale: run cargo xtask generate"
        );
    }
}
