//! What kubeconform says of the charts, as each of their ci values renders them, and of the examples: that each object
//! is of a known kind, and has no field that this kind does not have. The schemas are made here, of our CRD, the
//! prometheus-operator's and Kubernetes' own kinds, in the versions that are pinned; nothing else is fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::schemas::{self, LOCATION};
use crate::stage::in_root;
use crate::{folders, generate, integrations, modules, process, tools, transcript};

const CHARTS: [&str; 2] = ["graceful-deployment", "graceful-deployment-crds"];

/// The prometheus-operator's definitions of what our chart has objects of.
const MONITORS: [&str; 3] = ["servicemonitors", "podmonitors", "prometheusrules"];

/// What a person types to see the same, once the files are there.
pub(super) fn again() -> String {
    format!(
        "kubeconform -strict -schema-location 'target/schemas/{LOCATION}' target/rendered examples"
    )
}

pub(super) fn judge() -> Result<()> {
    let schemas = emptied(folders::target()?.join("schemas"))?;
    let rendered = emptied(folders::target()?.join("rendered"))?;
    write_schemas(&schemas)?;
    for (object, complaint) in wrong() {
        refuses(&schemas, &object, complaint)?;
    }
    for chart in CHARTS {
        render(chart, &rendered)?;
    }
    let mut judge = kubeconform(&schemas)?;
    judge.arg("-summary").arg(rendered).arg("examples");
    transcript::run(&mut judge, "kubeconform")
}

fn kubeconform(schemas: &Path) -> Result<Command> {
    let mut command = in_root(&tools::kubeconform()?.to_string_lossy())?;
    command.args(["-strict", "-schema-location"]);
    command.arg(schemas.join(LOCATION));
    Ok(command)
}

/// What an earlier run left would be judged too, or be judged by.
fn emptied(folder: PathBuf) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("read {}", file.display()))
}

fn write_schemas(folder: &Path) -> Result<()> {
    let kubernetes = format!("k8s.io/kubernetes@{}", tools::kubernetes_version()?);
    let swagger = read(&modules::folder(&kubernetes)?.join(integrations::SWAGGER))?;
    let swagger = serde_json::from_slice(&swagger).context("parse the OpenAPI file")?;
    let mut files = schemas::native(swagger)?;
    let monitors = modules::folder(modules::PROMETHEUS_OPERATOR)?;
    let monitors = monitors.join("example/prometheus-operator-crd");
    let monitors = MONITORS.map(|it| monitors.join(format!("monitoring.coreos.com_{it}.yaml")));
    let ours = folders::workspace()?.join(generate::CRD);
    for file in monitors.iter().chain([&ours]) {
        let crd: Value = serde_yaml_ng::from_slice(&read(file)?)
            .with_context(|| format!("parse {}", file.display()))?;
        files.extend(schemas::custom(&crd)?);
    }
    for (name, schema) in files {
        let file = folder.join(name);
        fs::write(&file, schema.to_string())
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// A chart as each of its ci values renders it.
fn render(chart: &str, into: &Path) -> Result<()> {
    let values = folders::workspace()?.join("charts").join(chart).join("ci");
    let entries = fs::read_dir(&values).with_context(|| format!("read {}", values.display()))?;
    for entry in entries {
        let values = entry.context("read the values")?.path();
        let mut helm = in_root(&tools::helm()?.to_string_lossy())?;
        helm.args(["template", chart, &format!("charts/{chart}")]);
        helm.args(["--namespace", "graceful-system", "--values"]);
        let rendered = process::output(helm.arg(&values)).context("render the chart")?;
        let name = values.file_name().unwrap_or_default().to_string_lossy();
        let file = into.join(format!("{chart}-{name}"));
        fs::write(&file, rendered.stdout).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Objects with a field that their kind does not have, and of a kind that nobody knows, each with what is to be said
/// of it: who refuses nothing says nothing of the charts either.
fn wrong() -> [(Value, &'static str); 4] {
    let object = |version: &str, kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "spec": spec});
    let container = json!({"name": "app", "imagePullPolitic": "Always"});
    let pods = json!({
        "selector": {"matchLabels": {"app": "wrong"}},
        "template": {"spec": {"containers": [container]}},
    });
    let monitor = json!({"selector": {}, "endpoints": [{"intervall": "15s"}]});
    [
        (
            object("apps/v1", "Deployment", pods.clone()),
            "imagePullPolitic",
        ),
        (
            object("graceful.dev/v1alpha1", "GracefulDeployment", pods),
            "imagePullPolitic",
        ),
        (
            object("monitoring.coreos.com/v1", "ServiceMonitor", monitor),
            "intervall",
        ),
        (
            object("graceful.dev/v1", "Unheard", json!({})),
            "could not find schema for Unheard",
        ),
    ]
}

fn refuses(schemas: &Path, object: &Value, complaint: &str) -> Result<()> {
    let file = folders::target()?.join("wrong.yaml");
    fs::write(&file, object.to_string()).with_context(|| format!("write {}", file.display()))?;
    let output = kubeconform(schemas)?
        .arg(file)
        .output()
        .context("start kubeconform")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        !output.status.success() && said.contains(complaint),
        "kubeconform does not refuse {complaint} in {object}: {said}"
    );
    Ok(())
}
