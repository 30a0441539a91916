//! The agent's binary understands the hooks that injection writes: each is run as the kubelet would.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use graceful::api::v1alpha1::Drain;
use graceful::inject::config;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{Settings, one_container};

/// Runs the hook that a container gets, with the settings that are in force when it runs.
fn run(born: &Settings, own: &Value, now: &Drain) -> Output {
    let template = one_container(json!({"lifecycle": {"preStop": own}}));
    let template = born.inject(&template).unwrap().template;
    let hook = &template["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"];
    let words: Vec<String> = serde_json::from_value(hook.clone()).unwrap();
    let (memory, podinfo) = (tempdir().unwrap(), tempdir().unwrap());
    fs::write(podinfo.path().join("config"), config(now)).unwrap();
    fs::write(podinfo.path().join("drain"), "").unwrap();
    let path = |folder: &TempDir| folder.path().to_owned();
    Command::new(env!("CARGO_BIN_EXE_graceful-agent"))
        .args([
            Path::new("--memory"),
            &path(&memory),
            Path::new("--podinfo"),
            &path(&podinfo),
        ])
        .args(&words[1..])
        .output()
        .unwrap()
}

fn idle() -> Drain {
    Drain {
        min_seconds: 0,
        quiet_seconds: 0,
        confirm: Some(Vec::new()),
        ..Drain::default()
    }
}

#[test]
fn agent_runs_the_users_own_hook_after_the_drain() {
    let said = |own: Value| {
        let output = run(&Settings::default(), &own, &idle());
        (
            output.status.code(),
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .skip(1)
                .collect::<Vec<_>>()
                .join("|"),
        )
    };
    assert_eq!(said(Value::Null), (Some(0), String::new()));
    assert_eq!(
        said(json!({"sleep": {"seconds": 0}})),
        (Some(0), String::new())
    );
    let script = r#"echo "$0 $#"; echo "$@"; exit 3"#;
    let exec = json!({"exec": {"command": ["sh", "-c", script, "--then-sleep", "--", "-h", "--memory=x", ""]}});
    assert_eq!(
        said(exec),
        (Some(3), "--then-sleep 4|-- -h --memory=x ".into())
    );
    // Port 1 answers nobody; that is the hook's failure, not the drain's.
    assert_eq!(
        said(json!({"httpGet": {"port": 1, "path": "/x"}})).0,
        Some(1)
    );
}

#[test]
fn drain_stays_within_the_pods_share_after_its_timeout_was_raised() {
    let mut born = Settings::default();
    born.drain.deletion_timeout_seconds = 1;
    let now = Drain {
        min_seconds: 600,
        deletion_timeout_seconds: 600,
        ..idle()
    };
    let output = run(&born, &Value::Null, &now);
    let said = String::from_utf8(output.stdout).unwrap();
    // Nothing but minSeconds was left to wait for.
    assert!(said.starts_with("drained after 1"), "{said}");
}
