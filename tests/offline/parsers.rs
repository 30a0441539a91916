//! Every input of the fuzzers' corpus, put to the properties that they look for breaches of. New inputs are
//! looked for by `cargo xtask test fuzz` alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fuzzed::TARGETS;

/// Of the whole corpus, in bytes: it is kept in the repository.
const LARGEST: u64 = 100_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// T12.
#[test]
fn every_input_of_the_corpus_keeps_its_property() {
    for (name, hold) in TARGETS {
        for file in files(&folder().join(name)) {
            // Where it does not hold, this is the last line.
            println!("{}", file.display());
            hold(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_has_inputs_and_the_corpus_stays_small() {
    let mut size = 0;
    for (name, _) in TARGETS {
        let files = files(&folder().join(name));
        assert!(files.len() > 3, "{name}: {}", files.len());
        size += files
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum::<u64>();
    }
    assert!(size < LARGEST, "{size} bytes");
    let folders = files(&folder()).len();
    assert_eq!(folders, TARGETS.len(), "a folder without its target");
}

#[test]
fn every_target_is_built_and_calls_its_property() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("\nname = \"{name}\"\n")),
            "{name}"
        );
        let source = fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(
            source.contains(&format!("graceful_fuzz::{name}::hold(data)")),
            "{name}"
        );
    }
}
