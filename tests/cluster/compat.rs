//! What the tools that people deploy with make of a GracefulDeployment on a real API server: helm's --wait,
//! kustomize and kubectl's verbs. What their libraries say of stored objects is in tests/compat.

mod autoscale;
mod helm;
mod kubectl;
mod kustomize;

use std::path::Path;
use std::process::{Command, Output};

/// What a program said and whether it was content.
#[derive(Debug)]
struct Said {
    is_good: bool,
    out: String,
    error: String,
}

impl Said {
    /// What it printed; fails where it failed.
    fn good(self) -> String {
        assert!(self.is_good, "{self:?}");
        self.out
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            is_good: output.status.success(),
            out: text(&output.stdout),
            error: text(&output.stderr),
        }
    }
}

/// Runs a program to its end without holding up who watches meanwhile.
async fn run(program: &'static str, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.args(arguments);
    let ended = tokio::task::spawn_blocking(move || command.output()).await;
    let output = ended.expect("a thread");
    let output = output.unwrap_or_else(|error| panic!("start {program}: {error}"));
    output.into()
}

/// Writes a file below a folder.
fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("written");
    path.to_string_lossy().into_owned()
}
