//! What kube-score says of the chart as its defaults render it: nothing, but for what is listed here with
//! its reason. `.checkov.yaml` says the same for checkov, which is Python's and is not run here.

use anyhow::{Context as _, Result};

use crate::stage::in_root;
use crate::{folders, process, tools};

/// What a person types to see the same.
pub(super) const AGAIN: &str = "helm template charts/graceful-deployment | kube-score score -";

/// What it asks for and does not get, each with its reason.
const IGNORED: [&str; 6] = [
    // A limit on CPU slows a rollout down and protects nobody: requests share what is scarce.
    "--ignore-container-cpu-limit",
    // An operator that is killed for a cluster that has grown stops every rollout. What it needs is measured
    // and reserved; where a quota asks for a limit, `resources.limits` sets it.
    "--ignore-container-memory-limit",
    // Tags are never moved, and `image.digest` is there; a registry that is away must not keep the
    // operator from starting where its image lies.
    "--ignore-test=container-image-pull-policy",
    // Nothing can be written: the root file system is read-only, and there is no volume.
    "--ignore-test=container-ephemeral-storage-request-and-limit",
    // The way out leads to the API server, which no selector of a policy can name everywhere.
    "--ignore-test=pod-networkpolicy",
    // Topology spread constraints do that, and let two operators start where there is one node.
    "--ignore-test=deployment-has-host-podantiaffinity",
];

pub(super) fn judge() -> Result<()> {
    let mut helm = in_root(&tools::helm()?.to_string_lossy())?;
    helm.args([
        "template",
        "graceful-deployment",
        "charts/graceful-deployment",
    ]);
    helm.args(["--namespace", "graceful-system"]);
    let rendered = process::output(&mut helm)
        .context("render the chart")?
        .stdout;
    let file = folders::target()?.join("chart.yaml");
    std::fs::write(&file, rendered).with_context(|| format!("write {}", file.display()))?;
    let mut judge = in_root(&tools::kube_score()?.to_string_lossy())?;
    judge.args(["score", "--exit-one-on-warning", "--color=never"]);
    process::output(judge.args(IGNORED).arg(&file))?;
    Ok(())
}
