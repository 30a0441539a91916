//! The dashboards' pictures in the docs: what every panel's expression gave on a real Prometheus, kept as a file,
//! drawn as SVG after the dashboards' own JSON. Grafana has no part in it, and each picture says so. Drawing takes
//! nothing but the two files: it is the same on every machine.

mod dashboard;
mod plot;
mod recording;
mod scale;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::stage::{Outcome, conclude};
use crate::test::{Stage, Tests, in_cluster, set_up};
use crate::{dashboards, folders};
use recording::Recording;

/// What was recorded, from the root, and where the pictures are.
const RECORDING: &str = "docs/pictures/recording.json";
const FOLDER: &str = "docs/pictures";

/// The test that records, and how it hears where to.
const TEST: &str = "recording::";
const FILE: &str = "GRACEFUL_RECORDING";

/// About three times what it needs.
const LIMIT: Duration = Duration::from_mins(30);

/// Record on a cluster what the dashboards show of some busy minutes, and draw their pictures for the docs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Draw again what was recorded last
    #[arg(long)]
    draw: bool,
}

/// Rolls out on a cluster of its own, and draws.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let root = folders::workspace()?;
    if args.draw {
        return draw(&root);
    }
    let file = root.join(RECORDING).display().to_string();
    let mut interrupted = false;
    let record = in_cluster("pictures", &mut interrupted, async |rig| {
        let binary = set_up(rig, Stage::E2e).await?;
        let tests = Tests {
            binary: &binary,
            arguments: [TEST, "--nocapture"].map(str::to_owned).into(),
            env: vec![(FILE, &file)],
            limit: LIMIT,
        };
        rig.test(&tests).await
    });
    let work = async {
        record.await?;
        draw(&root)
    };
    conclude(&[Outcome::of_async("pictures", "cargo xtask pictures", work).await])
}

fn draw(root: &Path) -> Result<()> {
    for (path, picture) in files(root)? {
        fs::write(&path, picture).with_context(|| format!("write {}", path.display()))?;
        println!("drawn: {}", path.display());
    }
    Ok(())
}

/// Every dashboard's picture with its place, of what was recorded last.
pub(crate) fn files(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let text = fs::read(root.join(RECORDING)).with_context(|| format!("read {RECORDING}"))?;
    let recording: Recording =
        serde_json::from_slice(&text).with_context(|| format!("parse {RECORDING}"))?;
    let draw = |(path, text): (PathBuf, String)| {
        let dashboard: Value = serde_json::from_str(&text).context("parse a dashboard")?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let path = root.join(FOLDER).join(format!("{name}.svg"));
        Ok((path, dashboard::drawn(&dashboard, &recording)))
    };
    dashboards::files(root).into_iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a page can carry.
    const MOST: usize = 200_000;

    #[test]
    fn pictures_are_small_and_the_same_each_time() {
        let root = folders::workspace().unwrap();
        let pictures = files(&root).unwrap();
        assert!(!pictures.is_empty());
        for (path, picture) in &pictures {
            assert!(
                picture.len() < MOST,
                "{}: {}",
                path.display(),
                picture.len()
            );
        }
        assert_eq!(pictures, files(&root).unwrap());
    }
}
