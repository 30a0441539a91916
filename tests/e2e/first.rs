//! The first page of the docs on an empty cluster: its three commands as they stand there, pasted one
//! after the other. The names of the operator's images are added, as the page says; and the example that is
//! here in nginx's name has another port.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::figure::{assert_at_most, slack};
use crate::helm::{RELEASE, helm, lines};

const PAGE: &str = "docs/get-started.md";

/// A person's patience with one command.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn three_pasted_commands_lead_from_an_empty_cluster_to_a_rollout_that_drained() {
    let commands = commands();
    let [install, create, change] = &commands[..] else {
        panic!("{PAGE} has other commands: {commands:#?}");
    };
    let images = lines("GRACEFUL_PRESENT").split_off(1).join(" ");
    let began = Instant::now();
    shell(&format!("{} {images}", install.trim_end()));
    let port = "containerPort: 80";
    assert!(create.contains(port), "{create}");
    shell(&create.replace(port, "containerPort: 8080"));
    // It is pasted as soon as a person sees three pods.
    until("three pods are ready", |status| {
        status["readyReplicas"] == 3
    });
    let created = began.elapsed();
    shell(change);
    until("pods drain", |status| {
        status["drainingReplicas"].as_i64() > Some(0)
    });
    let status = until("the change is recorded", |status| {
        status["lastRollout"]["completed"].is_string() && status["lastRollout"]["drained"] == 3
    });
    assert_eq!(status["readyReplicas"], 3, "{status}");
    println!("three pods ready after {created:.1?}");
    assert_at_most(
        "from an empty cluster to a rollout that drained",
        began.elapsed().as_secs_f64(),
        60.0 * slack(),
        "s",
    );
    shell("kubectl delete gd hello");
    helm(&["uninstall", RELEASE, "--wait"]).expect("no object is left");
}

/// The shell blocks of the page that change something, without what only looks.
fn commands() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = fs::read_to_string(path).expect("the page");
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split_once("```"));
    let changes = ["helm install", "kubectl apply", "kubectl patch"];
    let is_change = |block: &&str| changes.iter().any(|begin| block.starts_with(begin));
    let without_looks = |block: &str| {
        let lines = block
            .lines()
            .filter(|line| !line.starts_with("kubectl get"));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    let blocks = blocks.map(|(block, _)| block).filter(is_change);
    blocks.map(without_looks).collect()
}

fn shell(command: &str) {
    println!("$ {}", command.trim_end());
    let output = Command::new("sh")
        .args(["-ec", command])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("sh");
    println!("{}", String::from_utf8_lossy(&output.stdout).trim_end());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}

/// Looks at the object until something is so.
fn until(what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let output = Command::new("kubectl")
            .args(["get", "gd", "hello", "--output", "json"])
            .output()
            .expect("kubectl");
        let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if is_so(&object["status"]) {
            return object["status"].clone();
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {}", object["status"]);
        std::thread::sleep(Duration::from_millis(200));
    }
}
