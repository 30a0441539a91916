//! `cluster install`: this operator, as it is in the working tree, onto a cluster by its chart.

use anyhow::{Context as _, Result};

use super::Cluster;
use crate::process::{self, Progress};
use crate::{folders, image};

const RELEASE: &str = "graceful-deployment";
const NAMESPACE: &str = "graceful-system";

/// Builds and loads both images and installs or upgrades the release. Repeating it is fine: the tags
/// follow the content, so a changed operator rolls and an unchanged one does not.
pub(super) fn install(cluster: &Cluster, arguments: &[String], progress: Progress) -> Result<()> {
    let [operator, agent] = image::build(progress)?;
    for image in [&operator, &agent] {
        cluster.load(&image.archive)?;
        progress.say(format!("loaded {}:{}", image.name, image.content_tag));
    }
    let mut helm = cluster.command("helm")?;
    helm.args(["upgrade", "--install", RELEASE])
        .arg(folders::workspace()?.join("charts/graceful-deployment"))
        .args([
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--wait",
            "--timeout=3m",
        ]);
    let values = values(
        [&operator.name, &operator.content_tag],
        [&agent.name, &agent.content_tag],
    );
    for (value, setting) in values {
        helm.arg("--set-string").arg(format!("{value}={setting}"));
    }
    helm.args(arguments);
    process::output(&mut helm).context("install the chart")?;
    progress.say(format!("installed {RELEASE} in {NAMESPACE}"));
    Ok(())
}

/// The values of the chart that name two images, each by its name and tag.
pub(crate) fn values<'a>(
    [operator, tag]: [&'a str; 2],
    [agent, agent_tag]: [&'a str; 2],
) -> [(&'static str, &'a str); 5] {
    [
        ("image.repository", operator),
        ("image.tag", tag),
        ("image.pullPolicy", "IfNotPresent"),
        ("agent.image.repository", agent),
        ("agent.image.tag", agent_tag),
    ]
}
