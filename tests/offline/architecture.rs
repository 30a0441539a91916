//! The source keeps to the house: which module may know which, what a pure module must not touch,
//! and how a file looks. Reads the text of the source; the compiler and clippy judge the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may name. A new arrow is a decision: write it into ARCHITECTURE.md too.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("rollout", &["api"]),
    ("observe", &["api", "rollout"]),
    ("inject", &["api"]),
    ("agent", &["api"]),
    ("operator", &["api", "rollout", "observe", "inject"]),
    ("plugin", &["api", "rollout", "observe"]),
];

/// What a binary may name: one of these.
const ROOTS: &[&str] = &["api", "agent", "operator", "plugin"];

/// Modules that decide. The time is one of their inputs, everything else they need is plain data.
const PURE: &[&str] = &["rollout", "observe", "inject"];

/// A clock, a client, randomness, the log, or anything outside the process.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "kube::Client",
    "kube::Api",
    "rand::",
    "tokio::",
    "tracing::",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
];

const LONGEST: usize = 400;

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The top-level module that a file below src/ belongs to: `rollout` for `src/rollout/drain.rs`.
    fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src").ok()?;
        let first = below.components().next()?.as_os_str().to_str()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// The text without comments, and without the blanks that formatting may put into a path.
    fn code(&self) -> String {
        let lines = self.text.lines().map(|line| match line.find("//") {
            Some(start) => &line[..start],
            None => line,
        });
        lines
            .flat_map(str::split_whitespace)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("read a folder of the source") {
            let path = entry.expect("read an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(Source {
                    text: fs::read_to_string(&path).expect("read a source file"),
                    path: path.strip_prefix(root).expect("below the root").into(),
                });
            }
        }
    }
    assert!(!found.is_empty(), "no source in {folder}");
    found
}

fn all_sources() -> Vec<Source> {
    ["src", "xtask/src", "tests"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

/// The first names after each `prefix::`, whether alone or in a group: `crate::{api, rollout::Plan}`
/// names `api` and `rollout`.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let prefix = format!("{prefix}::");
    let mut names = BTreeSet::new();
    for (start, _) in code.match_indices(&prefix) {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = &code[start + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(members(group)),
            None => names.extend(identifier(rest)),
        }
    }
    names
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// The first name of each member of a group, up to its closing brace.
fn members(group: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = identifier(group).into_iter().collect();
    let mut depth = 0;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(identifier(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

/// The arrows that a file of `module` draws although it may not.
fn forbidden(module: &str, code: &str) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{module} is not in the list of modules")];
    };
    named_after(code, "crate")
        .into_iter()
        .filter(|target| ARROWS.iter().any(|(name, _)| name == target))
        .filter(|target| target != module && !allowed.contains(&target.as_str()))
        .map(|target| format!("{module} → {target}"))
        .collect()
}

#[test]
fn modules_name_only_what_they_may_know() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        let module = source.module().expect("a file below src/");
        if module == "lib" || module == "bin" {
            continue;
        }
        let arrows = forbidden(module, &source.code());
        wrong.extend(
            arrows
                .iter()
                .map(|arrow| format!("{}: {arrow}", source.path.display())),
        );
    }
    assert!(wrong.is_empty(), "arrows that are not allowed: {wrong:#?}");
}

#[test]
fn binaries_start_one_module() {
    for source in sources("src/bin") {
        let named = named_after(&source.code(), "graceful");
        let strange: Vec<_> = named
            .iter()
            .filter(|name| !ROOTS.contains(&name.as_str()))
            .collect();
        assert!(strange.is_empty(), "{}: {strange:?}", source.path.display());
        assert!(named.len() <= 2, "{}: {named:?}", source.path.display());
    }
}

#[test]
fn deciding_modules_touch_nothing_outside() {
    let mut wrong = Vec::new();
    for source in sources("src") {
        if !source.module().is_some_and(|module| PURE.contains(&module)) {
            continue;
        }
        let code = source.code();
        let touched = IMPURE.iter().filter(|word| code.contains(**word));
        wrong.extend(touched.map(|word| format!("{}: {word}", source.path.display())));
    }
    assert!(wrong.is_empty(), "decisions must be pure: {wrong:#?}");
}

#[test]
fn files_fit_into_a_head() {
    let mut wrong = Vec::new();
    for source in all_sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{}: {lines} lines", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "longer than {LONGEST} lines: {wrong:#?}");
}

#[test]
fn files_open_with_what_they_are_for() {
    let mut wrong = Vec::new();
    for source in all_sources() {
        if !source.text.starts_with("//! ") {
            wrong.push(source.path);
        }
    }
    assert!(wrong.is_empty(), "no opening sentence: {wrong:#?}");
}

#[test]
fn modules_are_named_by_their_file() {
    let named_mod = |source: &Source| source.path.file_name().is_some_and(|name| name == "mod.rs");
    let wrong: Vec<_> = all_sources()
        .into_iter()
        .filter(named_mod)
        .map(|s| s.path)
        .collect();
    assert!(
        wrong.is_empty(),
        "foo.rs and foo/ instead of foo/mod.rs: {wrong:#?}"
    );
}

#[test]
fn forbidden_arrow_is_seen_in_every_spelling() {
    let spellings = [
        "use crate::operator::act;",
        "use crate::{api::GROUP, operator};",
        "use crate::{ api::{self, v1alpha1}, operator::{act, report}, };",
        "fn f() { crate::operator::run() }",
    ];
    for code in spellings {
        assert_eq!(forbidden("rollout", code), ["rollout → operator"], "{code}");
    }
    assert!(forbidden("operator", "use crate::{api, rollout::plan};").is_empty());
    assert!(forbidden("helpers", "").len() == 1);
    assert!(forbidden("rollout", "use kube::operator; my_crate::operator").is_empty());
}
