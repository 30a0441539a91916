//! The chart agrees with the rest of the repository. What helm makes of it is a cluster test.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn chart_has_the_version_of_the_package() {
    let chart: serde_json::Value =
        serde_yaml_ng::from_str(&read("charts/graceful-deployment/Chart.yaml")).expect("YAML");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn chart_carries_the_generated_crd() {
    const CRD: &str = "gracefuldeployments.graceful.dev.yaml";
    assert!(
        read(&format!("crds/{CRD}")) == read(&format!("charts/graceful-deployment/files/{CRD}")),
        "run cargo xtask generate"
    );
}
