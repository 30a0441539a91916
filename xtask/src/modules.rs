//! Files of public Go modules, as Go fetches, verifies and keeps them: for what others publish nowhere else in a
//! form that is pinned.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The prometheus-operator, for the definitions of its ServiceMonitor and PodMonitor.
pub(crate) const PROMETHEUS_OPERATOR: &str =
    "github.com/prometheus-operator/prometheus-operator@v0.85.0";

/// The folder of a module, written as `path@version`. Go verifies its checksum.
pub(crate) fn folder(module: &str) -> Result<PathBuf> {
    let output = Command::new("go")
        .args(["mod", "download", "-json", module])
        .current_dir(std::env::temp_dir())
        .output()
        .context("run go: install Go 1.26 or newer")?;
    let said: Value = serde_json::from_slice(&output.stdout).context("read what go said")?;
    let Some(folder) = said.get("Dir").and_then(Value::as_str) else {
        bail!("fetch {module}: {}", said.get("Error").unwrap_or(&said));
    };
    Ok(PathBuf::from(folder))
}
