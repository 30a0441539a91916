//! The examples' programs and images, as demo and tests run them: built by the machine's own Go and Rust,
//! without Docker.

use std::path::PathBuf;
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

/// Where the programs are, under their images' names.
pub(crate) fn programs() -> Result<PathBuf> {
    Ok(folders::target()?.join("example"))
}

/// Judges each program by its language's own tool, and builds it. Nothing is downloaded but what the
/// lock files of the examples name.
pub(crate) fn check() -> Result<()> {
    for name in ALL {
        if is_go(name)? {
            let mut vet = Command::new("go");
            vet.args(["vet", "-mod=readonly", "./..."]);
            vet.current_dir(source(name)?);
            transcript::run(&mut vet, &format!("go vet, {name}"))?;
        }
        build(name)?;
    }
    Ok(())
}

/// Builds a server and returns the program.
pub(crate) fn build(name: &str) -> Result<Vec<u8>> {
    let folder = programs()?;
    let program = folder.join(image_name(name));
    if is_go(name)? {
        let status = Command::new("go")
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"])
            .arg("-o")
            .arg(&program)
            .arg(".")
            .current_dir(source(name)?)
            .env("CGO_ENABLED", "0")
            .status()
            .context("run go: it builds the example")?;
        ensure!(status.success(), "go build, {name}: {status}");
    } else {
        let mut cargo = in_root("cargo")?;
        cargo.current_dir(source(name)?);
        // Beside the main build, which would wait for it otherwise.
        let target = folder.join("rust");
        cargo.args(["build", "--release", "--locked", "--quiet"]);
        cargo.arg("--target-dir").arg(&target);
        let tuple = image::make_static(&mut cargo)?;
        transcript::run(&mut cargo, &format!("cargo build, {name}"))?;
        let built = target.join(tuple).join("release").join(image_name(name));
        std::fs::copy(&built, &program).with_context(|| format!("copy {}", built.display()))?;
    }
    std::fs::read(&program).with_context(|| format!("read {}", program.display()))
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

fn source(name: &str) -> Result<PathBuf> {
    Ok(folders::workspace()?.join("examples").join(name))
}

fn is_go(name: &str) -> Result<bool> {
    Ok(source(name)?.join("go.mod").exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_folder_of_examples_is_built() {
        let folders = std::fs::read_dir(source("").unwrap()).unwrap();
        let found: BTreeSet<_> = folders
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, ALL.map(str::to_owned).into());
    }
}
