//! Whole templates, before and after, to be read by people: `golden/inject-NAME.yaml` is what a user
//! writes, `golden/inject-NAME.injected.yaml` what their ReplicaSet carries. After a change that is
//! meant, `UPDATE_GOLDEN=1 cargo test --test offline` writes the latter anew; read the difference.

use std::path::PathBuf;

use graceful::api::v1alpha1::{Drain, Probes, Shutdown};
use serde::Deserialize;
use serde_json::Value;

use super::Settings;

/// The parts of a GracefulDeployment's spec that injection reads.
#[derive(Deserialize)]
struct Spec {
    template: Value,
    #[serde(default)]
    drain: Drain,
    #[serde(default)]
    shutdown: Shutdown,
    #[serde(default)]
    probes: Probes,
}

fn compare(name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/offline/golden");
    let written = std::fs::read_to_string(folder.join(format!("inject-{name}.yaml"))).unwrap();
    let spec: Spec = serde_yaml_ng::from_str(&written).unwrap();
    let settings = Settings {
        drain: spec.drain,
        shutdown: spec.shutdown,
        probes: spec.probes,
    };
    let injected = settings.inject(&spec.template).unwrap().template;
    let file = folder.join(format!("inject-{name}.injected.yaml"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, serde_yaml_ng::to_string(&injected).unwrap()).unwrap();
    }
    let expected: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(injected, expected);
}

#[test]
fn web_server_is_injected() {
    compare("web-server");
}

#[test]
fn pod_with_sidecars_and_hooks_is_injected() {
    compare("sidecars-and-hooks");
}

#[test]
fn hardened_guaranteed_pod_is_injected() {
    compare("guaranteed");
}
