//! The way out where namespaces cannot be made but Docker runs: the same cluster by kind. Small on
//! purpose: its pods are real too, but its network is Docker's, so `run` is no part of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::local::{Local, Settings};
use crate::process::{self, Progress};

pub(super) fn up_instead(cluster: &Local, nodes: u8, why: &str, progress: Progress) -> Result<()> {
    let has_docker = process::output(Command::new("docker").arg("info")).is_ok();
    if !has_docker || process::find("kind").is_none() {
        bail!(
            "cannot start a cluster here: {why}\n\
             run this as root (sudo --preserve-env=PATH,HOME), \
             or install Docker and kind (https://kind.sigs.k8s.io), \
             or use a cluster that you have: --kubeconfig FILE [--context NAME]"
        );
    }
    progress.say(format!(
        "{why}: starting the cluster {} with kind",
        cluster.name
    ));
    fs::create_dir_all(&cluster.folder).context("make the cluster's folder")?;
    let mut roles = vec!["{role: control-plane}"];
    roles.extend((1..nodes).map(|_| "{role: worker}"));
    let config = cluster.folder.join("kind.yaml");
    fs::write(
        &config,
        format!(
            "{{kind: Cluster, apiVersion: kind.x-k8s.io/v1alpha4, nodes: [{}]}}\n",
            roles.join(", ")
        ),
    )
    .context("write kind's configuration")?;
    let settings = Settings {
        name: cluster.name.clone(),
        nodes,
        kind: true,
        snapshotter: String::new(),
    };
    fs::write(
        cluster.folder.join("settings.json"),
        serde_json::to_vec(&settings)?,
    )
    .context("write the cluster's settings")?;
    let created = process::run(
        Command::new("kind")
            .args([
                "create",
                "cluster",
                "--wait",
                "180s",
                "--name",
                &cluster.name,
            ])
            .arg("--config")
            .arg(&config)
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig()),
    );
    if created.is_err() {
        // kind has removed what it made; the folder would say that the cluster is up.
        fs::remove_dir_all(&cluster.folder).context("remove the cluster's folder")?;
    }
    created
}

pub(super) fn down(cluster: &Local) -> Result<()> {
    process::run(
        Command::new("kind")
            .args(["delete", "cluster", "--name", &cluster.name])
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig()),
    )
}

/// Loads an image tar into the nodes of a kind cluster.
pub(super) fn load(name: &str, archive: &Path) -> Result<()> {
    process::run(
        Command::new("kind")
            .args(["load", "image-archive", "--name", name])
            .arg(archive),
    )
    .context("load the image with kind")
}
