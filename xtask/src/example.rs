//! The example's image, as demo and tests run it: built by the machine's own Go, without Docker.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::folders;
use crate::image::{self, ImageFile, Written};

const NAME: &str = "example-go-net-http";

/// Builds the server and returns the program.
pub(crate) fn build() -> Result<Vec<u8>> {
    let binary = folders::target()?.join("example").join(NAME);
    let status = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(folders::workspace()?.join("examples/go-net-http"))
        .env("CGO_ENABLED", "0")
        .status()
        .context("run go: it builds the example")?;
    ensure!(status.success(), "go build: {status}");
    std::fs::read(&binary).with_context(|| format!("read {}", binary.display()))
}

/// Writes the image. Two versions are the same but for a file that names them: an image change that
/// changes nothing else.
pub(crate) fn image(program: &[u8], version: &str) -> Result<Written> {
    let file = |path: &str, content: &[u8], executable| ImageFile {
        path: path.to_owned(),
        content: content.to_vec(),
        executable,
    };
    let path = format!("/{NAME}");
    let files = [
        file(&path, program, true),
        file("/version", version.as_bytes(), false),
    ];
    image::write(NAME, version, &files, &[&path], image::NON_ROOT)
}
