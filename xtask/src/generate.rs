//! `cargo xtask generate`: writes what is derived from other files, so that nobody edits it by hand:
//! the pod template's structure from Kubernetes' own OpenAPI file, crds/ from src/api, and
//! tests/COVERAGE.md, docs/connections.md and docs/works-with.md from the tests, the page of measurements from their JSON files,
//! the charts' pages from their values, the dashboards from their table of panels, their pictures from what was recorded, and what other tools are told from
//! integrations/.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};

use crate::stage::sh;
use crate::{
    charts, connections, coverage, dashboards, integrations, measurements, modules, pictures,
    works_with,
};

/// The Kubernetes version whose pod template the CRD knows. Newer than k8s-openapi on purpose: the
/// template is carried as JSON, and what the CRD does not know is refused.
const KUBERNETES: &str = "k8s.io/kubernetes@v1.36.3";
const OPENAPI: &str = "api/openapi-spec/v3/apis__apps__v1_openapi.json";

const STRUCTURE: &str = "src/api/crd/kubernetes.json";
pub(crate) const CRD: &str = "crds/gracefuldeployments.graceful.dev.yaml";

/// For kubectl, and for helm, which reads nothing outside a chart.
const CRDS: [&str; 3] = [
    CRD,
    "charts/graceful-deployment/files/gracefuldeployments.graceful.dev.yaml",
    "charts/graceful-deployment-crds/files/gracefuldeployments.graceful.dev.yaml",
];

/// Writes docs/reference, with UPDATE_GOLDEN set.
const REFERENCE: &str = "cargo test --quiet --test offline docs::reference";

/// What the CRD takes from Kubernetes, and whether it is shown with Kubernetes' descriptions. The
/// template's would be 300 kB.
const ROOTS: [(&str, bool); 3] = [
    ("LabelSelector", true),
    ("Probe", true),
    ("PodTemplateSpec", false),
];

/// Fields of embedded metadata that a person may write. The API server owns the rest; among it only
/// `creationTimestamp: null` is kept, which kubectl itself prints into templates.
const METADATA: [&str; 7] = [
    "annotations",
    "creationTimestamp",
    "finalizers",
    "generateName",
    "labels",
    "name",
    "namespace",
];

/// Kubernetes' grammar of quantities (apimachinery, pkg/api/resource/quantity.go).
const QUANTITY: &str = r"^[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$";

/// Writes generated files, or compares them with what would be written.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a file is not as it would be generated.
    #[arg(long)]
    check: bool,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let openapi = read_openapi()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("find the repository")?;
    settle(args, &root.join(STRUCTURE), &structure(&openapi)?)?;
    settle(args, &root.join(coverage::PAGE), &coverage::page(root)?)?;
    settle(args, &root.join(connections::PAGE), &connections::page())?;
    settle(
        args,
        &root.join(measurements::PAGE),
        &measurements::page(root)?,
    )?;
    settle(args, &root.join(works_with::PAGE), &works_with::page(root)?)?;
    settle(
        args,
        &root.join(integrations::ARGO_CD),
        &integrations::argo_cd(root)?,
    )?;
    let swagger = modules::folder(KUBERNETES)?.join(integrations::SWAGGER);
    let swagger = fs::read(&swagger).with_context(|| format!("read {}", swagger.display()))?;
    let swagger =
        serde_json::from_slice(&swagger).context("parse the OpenAPI file of version 2")?;
    settle(
        args,
        &root.join(integrations::KUSTOMIZE),
        &integrations::kustomize(&swagger)?,
    )?;
    for (path, page) in charts::pages(root)? {
        settle(args, &path, &page)?;
    }
    for (path, dashboard) in dashboards::files(root) {
        settle(args, &path, &dashboard)?;
    }
    for (path, picture) in pictures::files(root)? {
        settle(args, &path, &picture)?;
    }
    // The operator prints its own CRD, built with the structure just written.
    let crd = crd(root)?;
    CRDS.iter()
        .try_for_each(|path| settle(args, &root.join(path), &crd))?;
    if args.check {
        // The offline tests compare them.
        return Ok(());
    }
    println!("docs/reference: written by a test that knows the code");
    sh(REFERENCE, &[("UPDATE_GOLDEN", "1")])
}

/// Writes the file, or fails where it differs and must not be touched.
fn settle(args: &Args, path: &Path, content: &str) -> anyhow::Result<()> {
    let shown = path.display();
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        println!("{shown}: up to date, {} bytes", content.len());
        return Ok(());
    }
    ensure!(!args.check, "{shown} is stale: run cargo xtask generate");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("write {shown}"))?;
    println!("{shown}: written, {} bytes", content.len());
    Ok(())
}

fn crd(root: &Path) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["run", "--quiet", "--bin", "graceful-operator", "--", "crd"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("run graceful-operator crd")?;
    ensure!(
        output.status.success(),
        "graceful-operator crd: {}",
        output.status
    );
    String::from_utf8(output.stdout).context("read the CRD")
}

/// Reads the OpenAPI file of the Kubernetes module.
fn read_openapi() -> anyhow::Result<Map<String, Value>> {
    let file = modules::folder(KUBERNETES)?.join(OPENAPI);
    let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let mut document: Value = serde_json::from_slice(&text).context("parse the OpenAPI file")?;
    match document.pointer_mut("/components/schemas").map(Value::take) {
        Some(Value::Object(schemas)) => Ok(schemas),
        _ => bail!("{OPENAPI} has no schemas"),
    }
}

/// The definitions reachable from [`ROOTS`], one property a line so that a new Kubernetes shows as a
/// readable diff.
fn structure(openapi: &Map<String, Value>) -> anyhow::Result<String> {
    let mut definitions = BTreeMap::new();
    for (root, described) in ROOTS {
        let full = openapi
            .keys()
            .find(|name| short(name) == root)
            .with_context(|| format!("find {root}"))?;
        collect(openapi, full, described, &mut definitions)?;
    }
    let mut text = String::from("{\n");
    for (at, (name, definition)) in definitions.iter().enumerate() {
        let comma = if at + 1 < definitions.len() { "," } else { "" };
        let _ = writeln!(text, " {}: {}{comma}", json!(name), lines(definition));
    }
    text.push_str("}\n");
    Ok(text)
}

fn lines(definition: &Value) -> String {
    let Some(Value::Object(properties)) = definition.get("properties") else {
        return definition.to_string();
    };
    let mut rest = definition.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("properties");
    }
    let properties: Vec<String> = properties
        .iter()
        .map(|(name, schema)| format!("  {}: {schema}", json!(name)))
        .collect();
    let rest = rest.to_string();
    format!(
        "{},\"properties\": {{\n{}\n }}}}",
        rest.strip_suffix('}').unwrap_or(&rest),
        properties.join(",\n")
    )
}

fn collect(
    openapi: &Map<String, Value>,
    full: &str,
    described: bool,
    definitions: &mut BTreeMap<String, Value>,
) -> anyhow::Result<()> {
    let name = short(full);
    if definitions.contains_key(name) {
        return Ok(());
    }
    let source = openapi.get(full).with_context(|| format!("find {full}"))?;
    let mut referenced = Vec::new();
    let definition = match name {
        // Numbers with a fraction are quantities too (`cpu: 0.001`), which int-or-string refuses. No
        // structural schema says "number or string", so: anything that is neither list nor object.
        "Quantity" => json!({
            "x-kubernetes-preserve-unknown-fields": true,
            "maxItems": 0, "maxProperties": 0, "pattern": QUANTITY,
        }),
        "IntOrString" => json!({"x-kubernetes-int-or-string": true}),
        _ => definition(source, name, described, &mut referenced),
    };
    definitions.insert(name.to_owned(), definition);
    for full in referenced {
        collect(openapi, &full, described, definitions)?;
    }
    Ok(())
}

/// One definition, with only what a CRD's schema may say and the template needs.
fn definition(source: &Value, name: &str, described: bool, referenced: &mut Vec<String>) -> Value {
    let mut schema = pick(source, described, referenced);
    let Some(properties) = source.get("properties").and_then(Value::as_object) else {
        return Value::Object(schema);
    };
    let mut kept = Map::new();
    for (property, source) in properties {
        if name == "ObjectMeta" && !METADATA.contains(&property.as_str()) {
            continue;
        }
        // Never part of a template; declared only so that a rule can say so.
        let schema = if property == "ephemeralContainers" {
            let item = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            json!({"type": "array", "items": item})
        } else {
            pick(source, described, referenced).into()
        };
        kept.insert(property.clone(), schema);
    }
    schema.insert("properties".into(), Value::Object(kept));
    Value::Object(schema)
}

fn pick(source: &Value, described: bool, referenced: &mut Vec<String>) -> Map<String, Value> {
    let mut schema = Map::new();
    let Some(source) = source.as_object() else {
        return schema;
    };
    let target = source
        .get("$ref")
        .or_else(|| source.get("allOf").and_then(|all| all.get(0)?.get("$ref")));
    if let Some(target) = target.and_then(Value::as_str) {
        let full = target.rsplit('/').next().unwrap_or(target);
        referenced.push(full.to_owned());
        schema.insert("$ref".into(), json!(short(full)));
    }
    for (key, value) in source {
        match key.as_str() {
            "type"
            | "format"
            | "required"
            | "x-kubernetes-list-type"
            | "x-kubernetes-list-map-keys"
            | "x-kubernetes-map-type" => {
                schema.insert(key.clone(), value.clone());
            }
            "items" | "additionalProperties" => {
                schema.insert(key.clone(), pick(value, false, referenced).into());
            }
            "description" if described => {
                schema.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
    schema
}

fn short(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openapi() -> Map<String, Value> {
        let probe = json!({"type": "object", "properties": {}});
        let quantity = json!({"oneOf": [{"type": "string"}, {"type": "number"}]});
        let template = json!({
            "description": "not taken",
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {"type": "string", "default": "a", "enum": ["a", "b"], "description": "no"},
                "size": {"$ref": "#/components/schemas/api.resource.Quantity"},
                "items": {
                    "type": "array",
                    "items": {"allOf": [{"$ref": "#/components/schemas/v1.Probe"}], "default": {}},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["kind"],
                    "x-kubernetes-patch-merge-key": "kind",
                },
            },
        });
        let schemas = json!({
            "v1.PodTemplateSpec": template,
            "v1.Probe": probe,
            "v1.LabelSelector": probe,
            "api.resource.Quantity": quantity,
        });
        schemas.as_object().unwrap().clone()
    }

    #[test]
    fn structure_and_list_keys_are_taken_and_nothing_else() {
        let text = structure(&openapi()).unwrap();
        let taken: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {"type": "string"},
                "size": {"$ref": "Quantity"},
                "items": {
                    "type": "array",
                    "items": {"$ref": "Probe"},
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["kind"],
                },
            },
        });
        assert_eq!(taken["PodTemplateSpec"], expected);
        assert_eq!(taken["Quantity"]["pattern"], QUANTITY);
    }

    #[test]
    fn structure_without_a_pod_template_is_an_error() {
        let mut openapi = openapi();
        openapi.remove("v1.PodTemplateSpec");
        structure(&openapi).unwrap_err();
    }
}
