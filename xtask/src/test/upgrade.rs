//! The stage `upgrade`: the operator as it was before its last change, upgraded to the one of the working
//! tree, and taken away; and before that, what a new user pastes on an empty cluster. What the tests need
//! for it is made here: both charts, both pairs of images, and the images that the first page names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Stage, Tests, in_cluster, test_binary};
use crate::cluster::values;
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

/// A chart, and the images that it is to install.
struct Version {
    chart: PathBuf,
    /// Files of both images.
    archives: Vec<PathBuf>,
    /// Names of both images with their tags, the operator's first.
    names: Vec<String>,
}

/// Upgrade and uninstall under load.
pub(super) async fn stage(interrupted: &mut bool) -> Outcome {
    let work = in_cluster("upgrade", interrupted, async |rig| {
        let binary = test_binary("e2e").await?;
        let versions = tokio::task::spawn_blocking(|| anyhow::Ok([previous()?, present()?]));
        let versions = versions.await??;
        rig.up().await?;
        rig.load(example::FIRST).await?;
        let program = example::build(example::FIRST)?;
        for tag in NAMED.1 {
            let image = example::image_as(NAMED.0, example::FIRST, &program, tag)?;
            rig.load_archive(&image.archive).await?;
        }
        for archive in versions.iter().flat_map(|version| &version.archives) {
            rig.load_archive(archive).await?;
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
    fn of(root: &Path, archives: [(PathBuf, String); 2]) -> Self {
        let (archives, names) = archives.into_iter().unzip();
        Self {
            chart: root.join(CHART),
            archives,
            names,
        }
    }

    /// What helm is told.
    fn lines(&self) -> String {
        let mut lines = vec![self.chart.display().to_string()];
        let parts = |name: &String| {
            name.split_once(':')
                .map(|(name, tag)| [name, tag].map(str::to_owned))
        };
        let images: Vec<_> = self.names.iter().filter_map(parts).flatten().collect();
        if let [operator, tag, agent, agent_tag] = &images[..] {
            let values = values([operator, tag], [agent, agent_tag]);
            lines.extend(values.map(|(value, setting)| format!("--set-string={value}={setting}")));
        }
        lines.join("\n")
    }
}

/// As it is in the working tree.
fn present() -> Result<Version> {
    let images = image::build(Progress::start())?;
    let named = images.map(|it| (it.archive, format!("{}:{}", it.name, it.content_tag)));
    Ok(Version::of(&folders::workspace()?, named))
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
    let images: Vec<_> = said.lines().filter_map(image_of).collect();
    let images = images.try_into().ok();
    let images = images.with_context(|| format!("the build names no two images: {said}"))?;
    Ok(Version::of(&tree, images))
}

/// File and name of an image, as `cargo xtask image` prints them: file, name with tag, and name with
/// the tag that follows the content.
fn image_of(line: &str) -> Option<(PathBuf, String)> {
    let mut words = line.split_whitespace();
    let (file, name) = (words.next()?, words.nth(1)?);
    let is_image = Path::new(file).extension().is_some_and(|it| it == "tar");
    is_image.then(|| (file.into(), name.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_what_the_build_names_last() {
        let line =
            "/target/images/graceful-agent.tar graceful-agent:0.1.0 graceful-agent:0.1.0-5d19";
        let (file, name) = image_of(line).unwrap();
        assert_eq!(file, Path::new("/target/images/graceful-agent.tar"));
        assert_eq!(name, "graceful-agent:0.1.0-5d19");
        assert_eq!(image_of("Compiling something v1"), None);
    }
}
