//! helm, as a person runs it: for the tests that install, upgrade and uninstall the operator themselves.

use std::process::Command;

pub(crate) const RELEASE: &str = "graceful-deployment";

/// What helm is told for one side: the chart, and what names its images.
pub(crate) fn lines(side: &str) -> Vec<String> {
    let lines = std::env::var(side)
        .unwrap_or_else(|_| panic!("{side} is not set: run `cargo xtask test upgrade`"));
    lines.lines().map(str::to_owned).collect()
}

/// Installs the chart of one side, or upgrades to it.
pub(crate) fn install(side: &str) {
    let lines = lines(side);
    let begin = ["upgrade", "--install", RELEASE];
    let lines = lines.iter().map(String::as_str);
    let arguments: Vec<_> = begin.into_iter().chain(lines).collect();
    let arguments = [&arguments[..], &["--create-namespace", "--wait"]].concat();
    helm(&arguments).unwrap_or_else(|error| panic!("{side}: {error}"));
}

/// What helm says, in full where it fails.
pub(crate) fn helm(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("helm")
        .args(arguments)
        .args(["--namespace", "graceful-system", "--timeout", "3m"])
        .output()
        .expect("helm");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}
