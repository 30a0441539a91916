//! What each line of helm makes of the charts: no complaint, the same objects, and those that are written
//! down in `tests/cluster/golden`. After a change that is meant, `UPDATE_GOLDEN=1 cargo xtask test cluster --
//! render` writes them anew; read the difference.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{CHART, CRDS_CHART, HELMS, KUBERNETES, render, run, text};

/// The values that each chart is rendered with: `ci/NAME-values.yaml`.
fn values_of(chart: &str) -> Vec<(String, String)> {
    let mut found: Vec<_> = std::fs::read_dir(Path::new(chart).join("ci"))
        .expect("the folder ci")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            let name = name.strip_suffix("-values.yaml").expect("NAME-values.yaml");
            (name.to_owned(), path.to_string_lossy().into_owned())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no values in {chart}/ci");
    found
}

#[test]
fn no_helm_complains() {
    for helm in HELMS {
        for chart in [CHART, CRDS_CHART] {
            for (_, values) in values_of(chart) {
                let mut lint = vec!["lint", "--strict", chart, "--values", &values];
                lint.extend(KUBERNETES);
                let output = run(helm, &lint);
                let said = text(&output.stdout) + &text(&output.stderr);
                assert!(output.status.success(), "{helm}: {said}");
                assert!(!said.contains("[WARNING]"), "{helm}: {said}");
            }
        }
    }
}

/// The CRD's own page is crds/, and would drown the rest; so would the dashboards.
fn shown(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        if object["kind"] == "CustomResourceDefinition" {
            object["spec"] = json!("as in crds/");
        }
        if object["metadata"]["name"] == "graceful-dashboards" {
            object["data"] = json!("as in the folder dashboards");
        }
    }
    objects
}

#[test]
fn charts_render_as_they_did() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/golden");
    for chart in [CHART, CRDS_CHART] {
        let chart_name = chart.rsplit('/').next().expect("a name");
        for (name, values) in values_of(chart) {
            let file = folder.join(format!("{chart_name}-{name}.yaml"));
            for helm in HELMS {
                let rendered = render(helm, chart, &["--values", &values]);
                let rendered = shown(rendered.unwrap_or_else(|error| panic!("{helm}: {error}")));
                if std::env::var_os("UPDATE_GOLDEN").is_some() {
                    std::fs::create_dir_all(&folder).expect("the folder");
                    let documents: Vec<_> = rendered
                        .iter()
                        .map(|object| serde_yaml_ng::to_string(object).expect("YAML"))
                        .collect();
                    std::fs::write(&file, documents.join("---\n")).expect("written");
                }
                let golden = std::fs::read(&file).expect("a golden file: UPDATE_GOLDEN=1 makes it");
                let golden: Vec<Value> = serde_yaml_ng::Deserializer::from_slice(&golden)
                    .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
                    .collect();
                for (rendered, golden) in rendered.iter().zip(&golden) {
                    assert_eq!(rendered, golden, "{helm}, {chart_name}, {name}");
                }
                assert_eq!(rendered.len(), golden.len(), "{helm}, {chart_name}, {name}");
            }
        }
    }
}

/// What the notes say to paste is an object that the API server takes.
#[test]
fn notes_can_be_pasted() {
    crate::crd::install();
    for helm in HELMS {
        let mut install = vec!["install", "graceful-deployment", CHART, "--dry-run=client"];
        install.extend(["--namespace", "graceful-system"]);
        // What another test has put in place would be in the way.
        let off = "crds.enabled=false,rbac.create=false,rbac.aggregate=false,admissionPolicy.enabled=false";
        install.extend(["--set", off]);
        let output = run(helm, &install);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        let (_, pasted) = said.split_once("<<'EOF'\n").expect("a sample");
        let (sample, rest) = pasted.split_once("\nEOF\n").expect("its end");
        let sample: Value = serde_yaml_ng::from_str(sample).expect("YAML");
        let create = ["create", "--dry-run=server", "--validate=strict"];
        let taken = super::kubectl(&create, &[sample]);
        assert!(taken.status.success(), "{}", text(&taken.stderr));
        assert!(rest.contains("kubectl get gd hello --watch"), "{rest}");
        assert!(rest.contains("crds.enabled is false"), "{rest}");
    }
}
