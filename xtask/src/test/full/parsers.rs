//! The agent's parsers, fuzzed: each target of fuzz/ for a minute, by cargo-fuzz and the nightly toolchain. What
//! must hold stands beside the targets; the corpus in the repository is where a run begins, and what it finds
//! on top is kept below target/.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::stage::{in_root, sh};
use crate::{check, folders, transcript};

/// The one version that is used: another builds with other options.
const CARGO_FUZZ: &str = "0.13.2";

const NIGHTLY: &str = "nightly";

/// Only these sources are compiled by no other stage.
const CLIPPY: &str =
    "cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --quiet -- -D warnings";

/// No sanitizer: the agent has no unsafe code for one to watch, and a limit of memory means something without
/// a sanitizer's own.
const BUILT: [&str; 2] = ["--sanitizer", "none"];

/// A minute of looking. An input that takes ten seconds or half a gigabyte is a finding too: the longest is
/// 16 KiB, twice what is kept of a line.
const LIMITS: [&str; 5] = [
    "-max_total_time=60",
    "-rss_limit_mb=512",
    "-timeout=10",
    "-max_len=16384",
    "-print_final_stats=1",
];

/// Looks for inputs that break a property, parser by parser. One that is found does not keep the others
/// from being looked at.
pub(super) fn fuzz() -> Result<()> {
    ensure_nightly()?;
    sh(CLIPPY, &[])?;
    let program = check::installed("cargo-fuzz", CARGO_FUZZ, "")?;
    let mut broken = Vec::new();
    for target in targets()? {
        if let Err(error) = look(&program, &target) {
            broken.push(format!("{error:#}"));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

fn ensure_nightly() -> Result<()> {
    let said = in_root("cargo")?
        .args([&format!("+{NIGHTLY}"), "--version"])
        .output();
    ensure!(
        said.is_ok_and(|said| said.status.success()),
        "the fuzzers need Rust's nightly toolchain: rustup toolchain install {NIGHTLY} --profile minimal"
    );
    Ok(())
}

/// Each has a folder in the corpus, by its name.
fn targets() -> Result<BTreeSet<String>> {
    let corpus = folders::workspace()?.join("fuzz/corpus");
    let names = files(&corpus).context("read fuzz/corpus")?;
    let names = names
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    Ok(names.collect())
}

fn look(program: &Path, target: &str) -> Result<()> {
    let workspace = folders::workspace()?;
    let found = folders::target()?.join("fuzz-corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("create {}", found.display()))?;
    let artifacts = workspace.join("fuzz/artifacts").join(target);
    let before = files(&artifacts).unwrap_or_default();
    let mut command = in_root(&program.to_string_lossy())?;
    command
        .args(["fuzz", "run"])
        .args(BUILT)
        .arg(target)
        .arg(&found)
        .arg(workspace.join("fuzz/corpus").join(target))
        .arg("--")
        .args(LIMITS)
        // The cargo that runs us is another one.
        .env_remove("CARGO")
        .env("RUSTUP_TOOLCHAIN", NIGHTLY);
    let Err(error) = transcript::run(&mut command, &format!("cargo fuzz run {target}")) else {
        return Ok(());
    };
    let after = files(&artifacts).unwrap_or_default();
    match after.difference(&before).next() {
        Some(input) => bail!("{}", broken(&workspace, target, input)),
        None => Err(error),
    }
}

/// What a person does with an input that breaks a property: in the corpus it is the regression, too.
fn broken(workspace: &Path, target: &str, input: &Path) -> String {
    let input = input.strip_prefix(workspace).unwrap_or(input).display();
    format!(
        "{target} is broken by {input}; replay it with\n  \
         cp {input} fuzz/corpus/{target}/ && cargo test --test offline parsers::"
    )
}

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        files.insert(entry?.path());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_of_the_corpus_is_a_target() {
        let workspace = folders::workspace().unwrap();
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            let source = workspace.join(format!("fuzz/fuzz_targets/{target}.rs"));
            assert!(source.is_file(), "{target}");
        }
    }

    #[test]
    fn an_input_that_breaks_a_property_is_told_with_what_to_do() {
        let input = Path::new("/w/fuzz/artifacts/answer/crash-1");
        let told = broken(Path::new("/w"), "answer", input);
        assert!(
            told.contains("cp fuzz/artifacts/answer/crash-1 fuzz/corpus/answer/"),
            "{told}"
        );
    }
}
