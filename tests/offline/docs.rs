//! The pages of docs/: each is in the book's table of contents, every link in them leads somewhere, what they
//! show as YAML is what the API takes, and the reference pages say what the code says. After a change that is
//! meant, `cargo xtask generate` writes the reference pages anew.

mod links;
mod reasons;
mod reference;
mod snippets;

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Written from something else, and as long as that is.
const GENERATED: &[&str] = &[
    "docs/reference/",
    "docs/connections.md",
    "docs/measurements/",
];

/// A page is read in one go.
const LONGEST: usize = 130;

/// One page of Markdown.
struct Page {
    /// From the root.
    path: String,
    text: String,
}

impl Page {
    fn is_generated(&self) -> bool {
        GENERATED.iter().any(|path| self.path.starts_with(path))
    }

    /// Lines that are not in a fenced block, with their numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_fenced = false;
        let numbered = self.text.lines().enumerate();
        numbered.filter(move |(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_fenced ^= is_fence;
            !is_fenced && !is_fence
        })
    }

    /// The fenced blocks of a language.
    fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut block: Option<(bool, String)> = None;
        for line in self.text.lines() {
            match (&mut block, line.strip_prefix("```")) {
                (None, Some(said)) => block = Some((said == language, String::new())),
                (Some((is_wanted, text)), Some(_)) => {
                    blocks.extend(is_wanted.then(|| std::mem::take(text)));
                    block = None;
                }
                (Some((_, text)), None) => {
                    text.push_str(line);
                    text.push('\n');
                }
                (None, None) => {}
            }
        }
        blocks
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
}

/// Every page of docs/.
fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    find(&Path::new(ROOT).join("docs"), &mut paths);
    paths.sort();
    let page = |path: PathBuf| {
        let path = path.strip_prefix(ROOT).expect("below the root");
        let path = path.to_string_lossy().into_owned();
        let text = read(&path);
        Page { path, text }
    };
    paths.into_iter().map(page).collect()
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let contents = read("docs/SUMMARY.md");
    for page in pages() {
        let path = page.path.strip_prefix("docs/").expect("below docs");
        let is_listed = contents.contains(&format!("]({path})"));
        assert!(is_listed || path == "SUMMARY.md", "{path}");
    }
}

#[test]
fn pages_are_short() {
    for page in pages().iter().filter(|page| !page.is_generated()) {
        let lines = page.text.lines().count();
        assert!(lines <= LONGEST, "{}: {lines} lines", page.path);
    }
}

#[test]
fn every_page_begins_with_its_title() {
    for page in pages() {
        let mut lines = page.text.lines().filter(|line| !line.starts_with("<!--"));
        let title = lines.next().unwrap_or_default();
        assert!(title.starts_with("# "), "{}: {title}", page.path);
    }
}

/// The first column of the table for 3 a.m. is what the operator writes.
#[test]
fn what_is_said_of_messages_is_what_they_say() {
    let page = read("docs/troubleshooting.md");
    let (_, table) = page.split_once("| it says |").expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let code = read("src/rollout/hold.rs");
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut count = 0;
    for row in rows {
        let said = row.split('`').nth(1).expect("a message");
        for part in said
            .split('…')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            assert!(code.contains(part), "no message says {part:?}");
        }
        count += 1;
    }
    assert!(count > 10, "{count}");
}
