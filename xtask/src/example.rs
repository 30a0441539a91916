//! The examples' programs and images, as demo and tests run them: built by the machine's own Go and Rust,
//! without Docker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::{self, ImageFile, Written};
use crate::stage::in_root;
use crate::{folders, transcript};

/// What the demo shows, and what most tests run.
pub(crate) const FIRST: &str = "go-net-http";

/// All examples, by their folders.
pub(crate) const ALL: [&str; 8] = [
    FIRST,
    "go-deregister",
    "go-gin",
    "go-echo",
    "go-grpc",
    "go-postgres",
    "go-worker-redis",
    "rust-axum-websocket",
];

/// Added to an example's name: what is left of it without its drain code. The tests roll that too, by the same
/// manifest, and have to see it lose.
const WITHOUT_DRAIN: &str = "-without-drain";

/// What takes the drain code out. A patch, and no switch in the program, for people copy the program.
const PATCH: &str = "without-drain.patch";

/// The names of all programs: the examples, and what is left of each without its drain code.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let left = ALL.iter().map(|name| format!("{name}{WITHOUT_DRAIN}"));
    ALL.iter().map(|name| (*name).to_owned()).chain(left)
}

/// Where the programs are, under their images' names.
pub(crate) fn programs() -> Result<PathBuf> {
    Ok(folders::target()?.join("example"))
}

/// Judges each program by its language's own tool, and builds it. Nothing is downloaded but what the
/// lock files of the examples name.
pub(crate) fn check() -> Result<()> {
    for name in names() {
        let source = source(&name)?;
        if is_go(&source) {
            let mut vet = Command::new("go");
            vet.args(["vet", "-mod=readonly", "./..."]);
            vet.current_dir(&source);
            transcript::run(&mut vet, &format!("go vet, {name}"))?;
        }
        build_from(&source, &name)?;
    }
    Ok(())
}

/// Builds a server and returns the program.
pub(crate) fn build(name: &str) -> Result<Vec<u8>> {
    build_from(&source(name)?, name)?;
    program(name)
}

/// A program that was built.
pub(crate) fn program(name: &str) -> Result<Vec<u8>> {
    let program = programs()?.join(image_name(name));
    fs::read(&program).with_context(|| format!("read {}", program.display()))
}

fn build_from(source: &Path, name: &str) -> Result<()> {
    let folder = programs()?;
    let program = folder.join(image_name(name));
    if is_go(source) {
        let status = Command::new("go")
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"])
            .arg("-o")
            .arg(&program)
            .arg(".")
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .status()
            .context("run go: it builds the example")?;
        ensure!(status.success(), "go build, {name}: {status}");
    } else {
        let mut cargo = in_root("cargo")?;
        cargo.current_dir(source);
        // Beside the main build, which would wait for it otherwise. One for each: cargo takes two folders that are their
        // own workspaces for the same package, and the older of them for built.
        let target = folder.join("rust").join(name);
        cargo.args(["build", "--release", "--locked", "--quiet"]);
        cargo.arg("--target-dir").arg(&target);
        let tuple = image::make_static(&mut cargo)?;
        transcript::run(&mut cargo, &format!("cargo build, {name}"))?;
        let built = target.join(tuple).join("release");
        let built = built.join(image_name(example_of(name)));
        fs::copy(&built, &program).with_context(|| format!("copy {}", built.display()))?;
    }
    Ok(())
}

/// Writes the image. Two versions are the same but for a file that names them: an image change that
/// changes nothing else.
pub(crate) fn image(name: &str, program: &[u8], version: &str) -> Result<Written> {
    image_as(&image_name(name), name, program, version)
}

/// The same in another's name, where the pages of docs/ speak of an image that is not to be had here.
pub(crate) fn image_as(image: &str, name: &str, program: &[u8], version: &str) -> Result<Written> {
    let file = |path: &str, content: &[u8], executable| ImageFile {
        path: path.to_owned(),
        content: content.to_vec(),
        executable,
    };
    let path = format!("/{}", image_name(name));
    let files = [
        file(&path, program, true),
        file("/version", version.as_bytes(), false),
    ];
    image::write(image, version, &files, &[&path], image::NON_ROOT)
}

fn image_name(name: &str) -> String {
    format!("example-{name}")
}

/// The example that a program is, or is what is left of.
fn example_of(name: &str) -> &str {
    name.strip_suffix(WITHOUT_DRAIN).unwrap_or(name)
}

/// A program's source: the example, or a copy of it without its drain code, made anew.
fn source(name: &str) -> Result<PathBuf> {
    let example = folders::workspace()?
        .join("examples")
        .join(example_of(name));
    if name == example_of(name) {
        return Ok(example);
    }
    let folder = programs()?.join("source");
    let copy = folder.join(name);
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("remove {}", copy.display()))?;
    }
    copy_source(&example, &copy)?;
    let mut patch = Command::new("git");
    patch.args(["apply", PATCH]).current_dir(&copy);
    // Not as a part of this repository: there it would change nothing, and not say so.
    patch.env("GIT_CEILING_DIRECTORIES", &folder);
    transcript::run(&mut patch, &format!("git apply {PATCH}, {name}"))?;
    Ok(copy)
}

/// Copies a folder, without what cargo built there.
fn copy_source(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), &to).with_context(|| format!("write {}", to.display()))?;
        } else if entry.file_name() != "target" {
            copy_source(&entry.path(), &to)?;
        }
    }
    Ok(())
}

fn is_go(source: &Path) -> bool {
    source.join("go.mod").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_folder_of_examples_is_built() {
        let folders = fs::read_dir(source("").unwrap()).unwrap();
        let found: BTreeSet<_> = folders
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, ALL.map(str::to_owned).into());
    }

    /// Only once it is tried is it known that a patch still fits its example: compiling it is left to the tests that
    /// roll it.
    #[test]
    fn drain_code_of_every_example_can_be_taken_out() {
        for name in ALL {
            let whole = source(name).unwrap();
            let left = source(&format!("{name}{WITHOUT_DRAIN}")).unwrap();
            let changed = ["main.go", "register.go", "src/main.rs"]
                .iter()
                .any(|file| {
                    let read = |folder: &Path| fs::read(folder.join(file)).unwrap_or_default();
                    read(&whole) != read(&left)
                });
            assert!(changed, "{name}: the patch changes nothing");
        }
    }
}
