//! Objects as other tools see them, each with what kstatus and Argo CD are to say of it. The model of a
//! cluster makes the states, and the operator's own code writes their status, so a test of those tools
//! (tests/compat) that reads the files is held to what is really written. After a change that is meant,
//! `UPDATE_GOLDEN=1 cargo test --test offline shown` writes the files anew; read the difference.

mod states;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use graceful::api::v1alpha1::GracefulDeployment;
use graceful::observe::{Objects, Wanted, observe};
use graceful::rollout::{Overdue, Target};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fixtures::SETTINGS;
use states::{Says, State, states};

/// In the layout of Argo CD's resource_customizations, so that it can be taken there as it is.
const ARGO_CD: &str = "integrations/argo-cd/graceful.dev/GracefulDeployment";

const HEAD: &str = "\
# Written by tests/offline/rollout/shown.rs, the status by the operator's own code.
# Anew with: UPDATE_GOLDEN=1 cargo test --test offline shown
";

/// What Argo CD says where the status speaks of an older spec.
const UNSEEN: &str = "The operator has not seen this spec yet";

/// A spec that the target is the meaning of.
fn spec(target: &Target, image: &str) -> Value {
    let on_timeout = match target.on_timeout {
        Overdue::Leaves => "Terminate",
        Overdue::IsHeld => "Hold",
        Overdue::Pauses => "Pause",
    };
    json!({
        "replicas": target.replicas,
        "selector": {"matchLabels": {"app": "chat"}},
        "paused": target.paused,
        "strategy": {"rollingUpdate": {
            "maxSurge": target.max_surge,
            "maxUnavailable": target.max_unavailable,
            "maxDraining": target.max_draining,
        }},
        "drain": {"timeoutSeconds": target.drain_timeout.as_secs(), "onTimeout": on_timeout},
        "template": {
            "metadata": {"labels": {"app": "chat"}},
            "spec": {
                "containers": [{"name": "chat", "image": image}],
                // What a Lua engine makes of an empty object is for the tests of the actions to see.
                "volumes": [{"name": "scratch", "emptyDir": {}}],
            },
        },
    })
}

/// The object with the status that the operator's code wrote, as an API server has it.
fn object(state: &State) -> Value {
    let mut object = json!({
        "apiVersion": "graceful.dev/v1alpha1",
        "kind": "GracefulDeployment",
        "metadata": {
            "name": "chat",
            "namespace": "default",
            "uid": "6f1c1a9e-0000-4000-8000-000000000001",
            "generation": state.generation,
            "creationTimestamp": "2023-11-14T22:13:20Z",
        },
        "spec": spec(&state.target, &state.image),
        "status": state.status,
    });
    if state.is_deleting {
        object["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:33:20Z");
    }
    if let Some(broken) = &state.broken {
        crate::merge::merge(&mut object["spec"], broken);
    }
    object
}

/// What the operator takes the spec for is what the model acted on.
fn assert_spec_is_of_target(state: &State, object: &Value) {
    let object: GracefulDeployment = serde_json::from_value(object.clone()).expect("an object");
    let objects = Objects {
        object: &object,
        replica_sets: Vec::new(),
        pods: Vec::new(),
        services: Vec::new(),
        endpoint_slices: Vec::new(),
        controller_revisions: Vec::new(),
    };
    let wanted = Wanted {
        hash: "1".into(),
        injected: String::new(),
        remarks: Vec::new(),
    };
    let seen = observe(&objects, Ok(wanted), Timestamp::UNIX_EPOCH, 7).target;
    if state.broken.is_some() {
        seen.expect_err(state.name);
        return;
    }
    let seen = Target {
        drain_settings: SETTINGS.into(),
        ..seen.expect(state.name)
    };
    assert_eq!(seen, state.target, "{}", state.name);
}

/// The message of Argo CD.
fn message(state: &State, object: &Value) -> Value {
    let Says::Condition(kind) = state.says else {
        return json!(UNSEEN);
    };
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let one = conditions.find(|one| one["type"] == kind);
    one.unwrap_or_else(|| panic!("{}: no {kind}", state.name))["message"].clone()
}

/// Where a file is, from the root, and what it says.
type File = (PathBuf, String);

fn file(path: &str, content: &Value) -> File {
    let yaml = serde_yaml_ng::to_string(content).expect("YAML");
    (PathBuf::from(path), format!("{HEAD}{yaml}"))
}

/// Every file that is written here.
fn files() -> Vec<File> {
    let mut files = Vec::new();
    let (mut kstatus, mut health) = (Vec::new(), Vec::new());
    for state in states() {
        let object = object(&state);
        assert_spec_is_of_target(&state, &object);
        let name = format!("testdata/{}.yaml", state.name);
        files.push(file(&format!("{ARGO_CD}/{name}"), &object));
        kstatus.push(json!({"inputPath": name, "status": state.kstatus}));
        // Argo CD itself answers for an object that is being deleted, without asking a script.
        if !state.is_deleting {
            let message = message(&state, &object);
            let said = json!({"status": state.health, "message": message});
            health.push(json!({"inputPath": name, "healthStatus": said}));
        }
        if state.name == "complete" {
            files.extend(after_actions(&object));
        }
    }
    let path = format!("{ARGO_CD}/health_test.yaml");
    files.push(file(&path, &json!({"tests": health})));
    files.push(file(
        "tests/compat/kstatus.yaml",
        &json!({"tests": kstatus}),
    ));
    files
}

/// What each action is to make of a complete object; the time of a restart is not compared.
fn after_actions(complete: &Value) -> Vec<File> {
    let after = |name: &str, change: Value| {
        let mut object = complete.clone();
        crate::merge::merge(&mut object, &change);
        file(&format!("{ARGO_CD}/actions/testdata/{name}.yaml"), &object)
    };
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": "0001-01-01T00:00:00Z"});
    vec![
        after("paused", json!({"spec": {"paused": true}})),
        after("scaled", json!({"spec": {"replicas": 6}})),
        after(
            "restarted",
            json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}),
        ),
    ]
}

fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("a file").path()).collect()
}

#[test]
fn files_for_other_tools_are_what_the_operator_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut written = BTreeSet::new();
    for (path, content) in files() {
        let path = root.join(path);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &content).expect("written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == content, "stale: {}: {HEAD}", path.display());
        written.insert(path);
    }
    for folder in ["testdata", "actions/testdata"] {
        let there = names(&root.join(ARGO_CD).join(folder));
        let strays: Vec<_> = there.difference(&written).collect();
        assert!(strays.is_empty(), "nothing writes {strays:?}");
    }
}
