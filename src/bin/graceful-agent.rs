//! `graceful-agent`: the sidecar and preStop hook of an injected pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    graceful::agent::run()
}
