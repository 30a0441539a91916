//! SECURITY.md against the tests: it names those that hold a control, and a name that is none would be a promise
//! that nobody keeps. Tests alone.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;

use crate::coverage::source;
use crate::folders;

const PAGE: &str = "SECURITY.md";

/// How many threats tests/rows.txt has.
const THREATS: usize = 17;

fn page() -> String {
    fs::read_to_string(folders::workspace().unwrap().join(PAGE)).unwrap()
}

/// What stands between backticks and reads like the path of a test.
fn named(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.contains("::")).collect()
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let tests = source::tests(&folders::workspace().unwrap()).unwrap();
    let tests: BTreeSet<_> = tests.iter().map(|test| test.path.as_str()).collect();
    let page = page();
    let named = named(&page);
    let strays: Vec<_> = named.difference(&tests).collect();
    assert!(
        strays.is_empty(),
        "{PAGE} names what is no test: {strays:?}"
    );
    assert!(named.len() > THREATS, "{named:?}");
}

/// And where none is held by a test, the page says so.
#[test]
fn every_threat_has_its_row() {
    let page = page();
    for number in 1..=THREATS {
        let begin = format!("| T{number} | ");
        let row = page.lines().find(|line| line.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("no row of T{number}"));
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, threat, control, held, open] = cells.as_slice() else {
            panic!("T{number} has {} cells", cells.len());
        };
        assert!(!threat.is_empty() && !control.is_empty(), "T{number}");
        let is_told = !named(held).is_empty() || open.starts_with("No test");
        assert!(is_told, "T{number} is held by nothing, and does not say so");
    }
}

#[test]
fn path_of_a_test_is_what_has_colons_between_backticks() {
    let text = "a `graceful.dev/*` and `offline::a::b`, offline::c";
    assert_eq!(named(text), BTreeSet::from(["offline::a::b"]));
}
