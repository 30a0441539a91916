//! The stage `upgrade`: the operator as it was before its last change, upgraded to the one of the working
//! tree, and taken away; and before that, what a new user pastes on an empty cluster. What the tests need
//! for it is made here: both charts, both pairs of images, and the images that the first page names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Stage, Tests, in_cluster, test_binary};
use crate::cluster::settings;
use crate::image::Written;
use crate::process::{self, Progress};
use crate::stage::{Outcome, in_root};
use crate::{example, folders, image};

/// What an installed operator is made of; another commit of these is another operator.
const MADE_OF: &str = "src charts crds Cargo.lock";

/// Where the tests find what helm is to be told: lines, the first of which is the chart.
const LINES: [&str; 2] = ["GRACEFUL_PREVIOUS", "GRACEFUL_PRESENT"];

/// One after the other, and shown while they run.
const ARGUMENTS: &str = "first:: upgrade:: --test-threads 1 --nocapture";

/// Images of the first page; an example is in their place.
const NAMED: (&str, [&str; 2]) = ("nginx", ["1.28", "1.29"]);

const CHART: &str = "charts/graceful-deployment";

/// A chart, and the images of operator and agent that it is to install.
struct Version {
    chart: PathBuf,
    images: [Written; 2],
}

/// Upgrade and uninstall under load.
pub(super) async fn stage(interrupted: &mut bool) -> Outcome {
    let work = in_cluster("upgrade", interrupted, async |rig| {
        let binary = test_binary("e2e", Stage::Upgrade.profile()).await?;
        let versions = tokio::task::spawn_blocking(|| anyhow::Ok([previous()?, present()?]));
        let versions = versions.await??;
        rig.up(1).await?;
        let program = example::build(example::FIRST)?;
        rig.load(example::FIRST).await?;
        for tag in NAMED.1 {
            let image = example::image_as(NAMED.0, example::FIRST, &program, tag)?;
            rig.load_archive(&image.archive).await?;
        }
        for image in versions.iter().flat_map(|version| &version.images) {
            rig.load_archive(&image.archive).await?;
        }
        let lines = versions.map(|version| version.lines());
        rig.test(&Tests {
            binary: &binary,
            arguments: ARGUMENTS.split_whitespace().map(str::to_owned).collect(),
            env: LINES
                .into_iter()
                .zip(lines.iter().map(String::as_str))
                .collect(),
            limit: Stage::Upgrade.limit(),
        })
        .await
    });
    Outcome::of_async("upgrade", "cargo xtask test upgrade", work).await
}

impl Version {
    fn of(root: &Path, images: [Written; 2]) -> Self {
        let chart = root.join(CHART);
        Self { chart, images }
    }

    /// What helm is told.
    fn lines(&self) -> String {
        let [operator, agent] = &self.images;
        let chart = self.chart.display().to_string();
        let all = std::iter::once(chart).chain(settings(operator, agent));
        all.collect::<Vec<_>>().join("\n")
    }
}

/// As it is in the working tree.
fn present() -> Result<Version> {
    let images = image::build(Progress::start())?;
    Ok(Version::of(&folders::workspace()?, images))
}

/// As it was before the last commit that changed it, built by that commit's own tools in a folder of
/// its own, which is kept: the next time it takes less.
fn previous() -> Result<Version> {
    let commit = before_last_change()?;
    let folder = folders::target()?.join("previous");
    let tree = folder.join("tree");
    println!("the operator of {commit}, in {}", tree.display());
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))?;
    }
    fs::create_dir_all(&tree).with_context(|| format!("make {}", tree.display()))?;
    let packed = folder.join("tree.tar");
    process::output(
        in_root("git")?
            .args(["archive", &commit, "--output"])
            .arg(&packed),
    )?;
    let mut unpack = Command::new("tar");
    process::output(
        unpack
            .arg("--extract")
            .arg("--file")
            .arg(&packed)
            .arg("--directory")
            .arg(&tree),
    )?;
    let mut build = Command::new("cargo");
    build.args(["run", "--quiet", "--package", "xtask", "--", "image"]);
    build
        .current_dir(&tree)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    let said = process::output(&mut build).context("build the images of the previous commit")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let images: Vec<_> = said.lines().filter_map(Written::of_line).collect();
    let images = images.try_into().ok();
    let images = images.with_context(|| format!("the build names no two images: {said}"))?;
    Ok(Version::of(&tree, images))
}

/// The newest commit from which the working tree's operator differs.
fn before_last_change() -> Result<String> {
    let paths = || MADE_OF.split_whitespace();
    let mut differs = in_root("git")?;
    differs
        .args(["diff", "--quiet", "HEAD", "--"])
        .args(paths());
    if !differs.status().context("start git")?.success() {
        return Ok("HEAD".to_owned());
    }
    let mut last = in_root("git")?;
    last.args(["log", "-1", "--format=%P", "--"]).args(paths());
    let said = process::output(&mut last)?;
    let parents = String::from_utf8_lossy(&said.stdout);
    let parent = parents.split_whitespace().next();
    parent.map(str::to_owned).context(
        "find the commit before the operator's last change: this clone has no history; fetch more of it",
    )
}
