//! Every link between pages, of docs/ and of the pages at the root, leads to a file and to a heading that are
//! there. Links to other sites are not asked: a test must not need them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{Page, ROOT, pages, read};

/// Pages beside docs/ that people come from.
const OTHERS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

/// Targets of `[…](…)` in a line, code left out.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once("](") {
        let Some((target, behind)) = after.split_once(')') else {
            break;
        };
        found.push(target);
        rest = behind;
    }
    found
}

/// A heading's anchor, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
        _ => None,
    });
    kept.collect()
}

pub(crate) fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose().filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len() && text.starts_with(' ')).then(|| anchor(text))
    });
    headings.collect()
}

/// `a/b/../c` is `a/c`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(tidy.pop()),
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

fn check(page: &Page, number: usize, target: &str) {
    let place = format!("{}:{}: {target}", page.path, number + 1);
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let full = if path.is_empty() {
        PathBuf::from(&page.path)
    } else {
        let folder = Path::new(&page.path).parent().expect("a folder");
        tidy(&folder.join(path))
    };
    let full = full.to_string_lossy().into_owned();
    assert!(
        fs::exists(Path::new(ROOT).join(&full)).is_ok_and(|is| is),
        "{place}"
    );
    if !heading.is_empty() {
        let text = read(&full);
        let linked = Page { path: full, text };
        assert!(
            anchors(&linked).contains(heading),
            "{place}: no such heading"
        );
    }
}

#[test]
fn every_link_leads_somewhere() {
    let others = OTHERS.iter().map(|path| Page {
        path: (*path).to_owned(),
        text: read(path),
    });
    for page in pages().into_iter().chain(others) {
        for (number, line) in page.prose() {
            for target in targets(line) {
                if !target.contains("://") && !target.starts_with("mailto:") {
                    check(&page, number, target);
                }
            }
        }
    }
}

#[test]
fn anchors_are_those_of_the_web() {
    assert_eq!(
        anchor(" Why is a pod *still* there?"),
        "why-is-a-pod-still-there"
    );
    assert_eq!(anchor(" GracefulRolloutStuck"), "gracefulrolloutstuck");
    assert_eq!(anchor(" `drain.onTimeout`"), "drainontimeout");
}
