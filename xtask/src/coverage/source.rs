//! The tests of the source, with the rows that their doc comments name. It reads text as rustfmt and gofmt
//! write it; the compilers judge the rest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where tests are, and what a path in them begins with.
const FOLDERS: [(&str, &str); 3] = [("src", "graceful"), ("tests", ""), ("xtask/src", "xtask")];

/// Where the tests in Go are.
const GO: &str = "tests/compat";

/// This file: in its tests stand texts that look like tests.
const OWN: &str = "coverage/source.rs";

/// A test, and the rows that its doc comment names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) path: String,
    pub(crate) rows: Vec<String>,
}

/// All tests below the root.
pub(crate) fn tests(root: &Path) -> Result<Vec<Test>> {
    let mut found = in_go(&root.join(GO))?;
    for (folder, prefix) in FOLDERS {
        let folder = root.join(folder);
        for file in files(&folder, "rs")? {
            if file.ends_with(OWN) {
                continue;
            }
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let below = file
                .strip_prefix(&folder)
                .context("a file below its folder")?;
            found.extend(in_file(&text, &module(prefix, below))?);
        }
    }
    Ok(found)
}

/// Tests in Go, which name no rows.
fn in_go(folder: &Path) -> Result<Vec<Test>> {
    let mut found = Vec::new();
    for file in files(folder, "go")? {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("func ")?.split_once("(t *testing.T)"))
            .filter(|(name, _)| name.starts_with("Test"));
        found.extend(names.map(|(name, _)| Test {
            path: format!("compat::{name}"),
            rows: Vec::new(),
        }));
    }
    Ok(found)
}

fn files(folder: &Path, kind: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, kind)?);
        } else if path.extension().is_some_and(|end| end == kind) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The module of a file: `offline::rollout::pace` for tests/offline/rollout/pace.rs.
fn module(prefix: &str, below: &Path) -> String {
    let path = below.with_extension("");
    let mut parts: Vec<_> = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .filter(|part| part != "main" && part != "lib")
        .collect();
    if !prefix.is_empty() {
        parts.insert(0, prefix.to_owned());
    }
    parts.join("::")
}

/// What stands above a function.
#[derive(Default)]
struct Above {
    rows: Vec<String>,
    is_test: bool,
    /// An attribute over several lines.
    is_open: bool,
}

fn in_file(text: &str, module: &str) -> Result<Vec<Test>> {
    let mut found = Vec::new();
    let mut inner: Vec<(String, String)> = Vec::new();
    let mut above = Above::default();
    for line in text.lines() {
        let code = line.trim_start();
        let indent = line.get(..line.len() - code.len()).unwrap_or_default();
        if let Some(comment) = code.strip_prefix("///") {
            above.rows.extend(rows(comment));
        } else if above.is_open || code.starts_with("#[") {
            above.is_test |= code.starts_with("#[test]") || code.starts_with("#[tokio::test");
            above.is_open = !code.ends_with(']');
        } else {
            let above = std::mem::take(&mut above);
            if let Some(name) = code
                .strip_prefix("mod ")
                .and_then(|it| it.strip_suffix(" {"))
            {
                inner.push((indent.to_owned(), name.to_owned()));
            } else if code == "}" && inner.last().is_some_and(|(at, _)| at == indent) {
                inner.pop();
            } else if let Some(name) = function(code) {
                let mut path = module.to_owned();
                for (_, name) in &inner {
                    path = format!("{path}::{name}");
                }
                if !above.is_test {
                    match arm(text, name) {
                        Some(arm) => path = format!("{path}::{arm}"),
                        None if above.rows.is_empty() => continue,
                        None => bail!("{path}::{name} names rows and is no test"),
                    }
                }
                let path = format!("{path}::{name}");
                found.push(Test {
                    path,
                    rows: above.rows,
                });
            }
        }
    }
    Ok(found)
}

fn function(code: &str) -> Option<&str> {
    let code = code.strip_prefix("pub(crate) ").unwrap_or(code);
    let code = code.strip_prefix("async ").unwrap_or(code);
    let rest = code.strip_prefix("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// The module that `scenarios!` makes a test in, for a function that is listed there: ours where it runs
/// against both.
fn arm(text: &str, name: &str) -> Option<&'static str> {
    let lists = text.split("scenarios! {").skip(1);
    lists
        .filter_map(|rest| rest.split('}').next())
        .find_map(|list| {
            let mut arm = None;
            for word in list.split(|c: char| c.is_whitespace() || c == ',' || c == ';') {
                match word {
                    "both:" | "graceful:" => arm = Some("graceful"),
                    "deployment:" => arm = Some("deployment"),
                    word if word == name => return arm,
                    _ => {}
                }
            }
            None
        })
}

/// The rows that a comment names: a letter and a number.
fn rows(comment: &str) -> Vec<String> {
    let words = comment.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| is_row(word))
        .map(str::to_owned)
        .collect()
}

/// Whether it looks like a row; whether there is such a one is for others to say.
fn is_row(word: &str) -> bool {
    let Some((kind, number)) = word.split_at_checked(1) else {
        return false;
    };
    let digits = if kind == "T" { 1..=2 } else { 2..=2 };
    ["B", "R", "T"].contains(&kind)
        && digits.contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Vec<String>)> {
        let tests = in_file(text, "offline::a").unwrap();
        tests.into_iter().map(|it| (it.path, it.rows)).collect()
    }

    #[test]
    fn rows_of_a_doc_comment_belong_to_the_test_below() {
        let text = "
/// B16, R02: never T6.
/// And B03.
#[test]
#[expect(
    dead_code,
)]
fn one() {
}

#[test]
fn unnamed() {}

/// No row: B1, B123, X10, B1x, rows.
#[test]
fn none() {}
#[cfg(test)]
mod tests {
    mod inner {
        /// T12.
        #[tokio::test]
        async fn two() {
        }
    }
    /// R40
    #[test]
    fn three(seen in any()) {}
}";
        let named = |path: &str, rows: &[&str]| {
            let rows = rows.iter().map(|&row| row.to_owned()).collect();
            (format!("offline::a::{path}"), rows)
        };
        let expected = [
            named("one", &["B16", "R02", "T6", "B03"]),
            named("unnamed", &[]),
            named("none", &[]),
            named("tests::inner::two", &["T12"]),
            named("tests::three", &["R40"]),
        ];
        assert_eq!(found(text), expected);
    }

    #[test]
    fn scenario_is_the_test_of_its_arm() {
        let text = "
scenarios! { both:
    one,
    two; deployment: three,
}
/// B01.
async fn two<A: Arm>(world: World<A>) {}
/// B02.
async fn three(world: World) {}";
        let paths: Vec<_> = found(text).into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            ["offline::a::graceful::two", "offline::a::deployment::three"]
        );
    }

    #[test]
    fn row_above_what_is_no_test_is_an_error() {
        assert!(in_file("/// B01\nfn helper() {}", "offline").is_err());
        assert!(
            in_file("/// B01\nstruct Pod;\nfn helper() {}", "offline")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn file_is_a_module_of_its_target() {
        assert_eq!(module("", Path::new("offline/main.rs")), "offline");
        assert_eq!(module("", Path::new("e2e/exits.rs")), "e2e::exits");
        assert_eq!(
            module("graceful", Path::new("agent/tls.rs")),
            "graceful::agent::tls"
        );
    }
}
