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
    helm.args(settings(&operator, &agent));
    helm.args(arguments);
    process::output(&mut helm).context("install the chart")?;
    progress.say(format!("installed {RELEASE} in {NAMESPACE}"));
    Ok(())
}

/// What helm is told so that the chart takes these images.
pub(crate) fn settings(operator: &image::Written, agent: &image::Written) -> [String; 5] {
    [
        ("image.repository", operator.name.as_str()),
        ("image.tag", &operator.content_tag),
        ("image.pullPolicy", "IfNotPresent"),
        ("agent.image.repository", &agent.name),
        ("agent.image.tag", &agent.content_tag),
    ]
    .map(|(value, setting)| format!("--set-string={value}={setting}"))
}
