//! Where things are kept: the workspace, the user's cache of built tools, the state of clusters.
//! Paths only; making and removing them is left to their owners.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const PROJECT: &str = "graceful-deployment";

/// The root of the workspace that this program was built from.
pub(crate) fn workspace() -> Result<PathBuf> {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .map(Path::to_path_buf)
        .context("find the workspace above xtask")
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> Result<PathBuf> {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(workspace()?.join(folder)),
        None => Ok(workspace()?.join("target")),
    }
}

/// Built tools: they depend on their versions alone, so every checkout shares them.
pub(crate) fn tools() -> Result<PathBuf> {
    Ok(user_folder("XDG_CACHE_HOME", ".cache")?.join("tools"))
}

/// The folders of running clusters: not below target/, where `cargo clean` would take them away.
pub(crate) fn clusters() -> Result<PathBuf> {
    Ok(user_folder("XDG_STATE_HOME", ".local/state")?.join("clusters"))
}

fn user_folder(variable: &str, below_home: &str) -> Result<PathBuf> {
    let set = env::var_os(variable)
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute());
    let folder = match set {
        Some(folder) => folder,
        None => env::home_dir()
            .filter(|home| home.is_absolute())
            .with_context(|| format!("neither {variable} nor HOME is set"))?
            .join(below_home),
    };
    Ok(folder.join(PROJECT))
}
