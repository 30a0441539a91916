//! The examples' manifests are valid, and fit the images that their READMEs name.

use std::fs;
use std::path::Path;

use graceful::api::v1alpha1::{GracefulDeployment, validate};
use serde::Deserialize;
use serde_json::Value;

fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read(example: &str, file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("examples").join(example).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The GracefulDeployment among a manifest's documents.
fn workload(example: &str) -> Value {
    let manifest = read(example, "graceful.yaml");
    let documents = serde_yaml_ng::Deserializer::from_str(&manifest);
    let mut all = documents.map(|document| Value::deserialize(document).unwrap());
    all.find(|object| object["kind"] == "GracefulDeployment")
        .unwrap_or_else(|| panic!("{example} has no GracefulDeployment"))
}

#[test]
fn every_example_is_valid_and_names_its_own_image() {
    for example in examples() {
        let object = workload(&example);
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], format!("example-{example}:dev"));
        let object: GracefulDeployment = serde_json::from_value(object).unwrap();
        validate(&object.spec).unwrap_or_else(|problems| panic!("{example}: {problems}"));
    }
}

/// What the app is told to do in its exit, and what the pod is given for it.
#[test]
fn every_example_has_the_time_that_it_takes() {
    for example in examples() {
        let object = workload(&example);
        let given = &object["spec"]["shutdown"]["timeoutSeconds"];
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        let env = container["env"].as_array().unwrap();
        let taken = env.iter().find(|one| one["name"] == "SHUTDOWN_SECONDS");
        assert_eq!(taken.unwrap()["value"], given.to_string(), "{example}");
    }
}

/// What it is good for is seen by what is left without it.
#[test]
fn every_readme_names_what_takes_the_drain_code_out() {
    for example in examples() {
        let patch = "without-drain.patch";
        assert!(read(&example, patch).starts_with("--- a/"), "{example}");
        assert!(read(&example, "README.md").contains(patch), "{example}");
    }
}

/// One page.
#[test]
fn every_example_has_a_readme_of_a_page() {
    for example in examples() {
        let lines = read(&example, "README.md").lines().count();
        assert!((20..=70).contains(&lines), "{example}: {lines} lines");
    }
}
