//! The cluster under the demo and what is put on it: the example's two images and its manifests.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::{example, folders};

use super::arm::Arm;

/// The demo's namespace. Restricted, because what runs there is to run anywhere.
pub(super) const NAMESPACE: &str = "demo";

/// The image name in the manifests.
const IMAGE: &str = "example-go-net-http:dev";

/// A running cluster.
pub(super) struct Rig {
    cluster: Cluster,
}

impl Rig {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// A program inside the cluster's network.
    pub(super) fn inside(&self, program: &str) -> Result<Command> {
        self.cluster.command(program)
    }

    /// kubectl in the demo's namespace.
    pub(super) fn kubectl(&self) -> Result<Command> {
        let mut command = self.inside("kubectl")?;
        command.args(["--namespace", NAMESPACE]);
        Ok(command)
    }

    /// Builds the example and loads two images of it, the same but for a file with their version: an
    /// image change that changes nothing else. Returns their names.
    pub(super) fn build_images(&self) -> Result<[String; 2]> {
        let program = example::build(example::FIRST)?;
        let load = |version: &str| -> Result<String> {
            let written = example::image(example::FIRST, &program, version)?;
            self.cluster.load(&written.archive)?;
            Ok(format!("{}:{}", written.name, written.content_tag))
        };
        Ok([load("v1")?, load("v2")?])
    }

    /// Makes the namespace and starts the arms on the image given.
    pub(super) fn apply(&self, arms: &[Arm], image: &str) -> Result<()> {
        let namespace = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
             pod-security.kubernetes.io/enforce: restricted\n"
        );
        let mut documents = vec![namespace];
        for arm in arms {
            let path =
                folders::workspace()?.join(format!("examples/go-net-http/{}.yaml", arm.name()));
            let manifest = std::fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?;
            ensure!(
                manifest.contains(IMAGE),
                "{} does not name {IMAGE}",
                path.display()
            );
            documents.push(manifest.replace(IMAGE, image));
        }
        let mut apply = self
            .kubectl()?
            .args(["apply", "--filename", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("start kubectl apply")?;
        let mut input = apply.stdin.take().context("write to kubectl apply")?;
        input
            .write_all(documents.join("---\n").as_bytes())
            .context("write to kubectl apply")?;
        drop(input);
        let status = apply.wait().context("wait for kubectl apply")?;
        ensure!(status.success(), "kubectl apply: {status}");
        Ok(())
    }

    /// The address of an arm's Service.
    pub(super) fn address(&self, arm: Arm) -> Result<std::net::SocketAddr> {
        let output = self
            .kubectl()?
            .args([
                "get",
                "service",
                &arm.app(),
                "--output",
                "jsonpath={.spec.clusterIP}",
            ])
            .stderr(Stdio::inherit())
            .output()
            .context("start kubectl get service")?;
        ensure!(
            output.status.success(),
            "kubectl get service {}: {}",
            arm.app(),
            output.status
        );
        let address = String::from_utf8_lossy(&output.stdout);
        format!("{}:80", address.trim())
            .parse()
            .with_context(|| format!("the Service {} has the address {address:?}", arm.app()))
    }

    /// Starts the change of an arm's image.
    pub(super) fn change(&self, arm: Arm, image: &str) -> Result<Child> {
        let patch = serde_json::json!([
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}
        ]);
        self.kubectl()?
            .args(["patch", arm.kind(), &arm.app(), "--type=json", "--patch"])
            .arg(patch.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start kubectl patch")
    }

    /// Follows the demo's pods.
    pub(super) fn watch(&self) -> Result<Child> {
        self.kubectl()?
            .args([
                "get",
                "pods",
                "--watch",
                "--output-watch-events",
                "--output=json",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start kubectl get pods --watch")
    }
}
