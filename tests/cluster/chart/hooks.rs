//! A kubelet for the Jobs that helm makes of the chart's hooks: runs what their pods say, as a process, with
//! the rights of the ServiceAccount that they say, and tells the API server how it ended. Stands in for the
//! image and for nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{run, text};

/// One hook that was run.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    /// The subcommand.
    pub(super) what: String,
    pub(super) is_good: bool,
    pub(super) said: String,
}

/// Runs hooks of one namespace until it is dropped.
pub(super) struct Hooks {
    ran: Arc<Mutex<Vec<Ran>>>,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Hooks {
    pub(super) fn of(namespace: &str) -> Self {
        let (stop, stopped) = oneshot::channel();
        let ran = Arc::<Mutex<Vec<Ran>>>::default();
        let (noted, namespace) = (ran.clone(), namespace.to_owned());
        // A runtime of its own, because tests wait for helm without giving theirs a turn.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = tend(&namespace, &noted) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { ran, _stop: stop }
    }

    /// What was run since this was last asked.
    pub(super) fn take(&self) -> Vec<Ran> {
        std::mem::take(&mut self.ran.lock().expect("whole"))
    }
}

async fn tend(namespace: &str, ran: &Mutex<Vec<Ran>>) {
    let client = Client::try_default().await.expect("a client");
    let pods = Api::<Pod>::namespaced(client, namespace);
    let of_jobs = watcher::Config::default().labels("batch.kubernetes.io/job-name");
    let mut events = watcher(pods.clone(), of_jobs)
        .default_backoff()
        .applied_objects()
        .boxed();
    let mut done = BTreeSet::new();
    while let Some(event) = events.next().await {
        let Ok(pod) = event else { continue };
        // The nodes' stand-in has said that it runs, and says nothing more.
        let status = pod.status.as_ref();
        let runs = status.is_some_and(|status| status.phase.as_deref() == Some("Running"));
        if !runs || !done.insert(pod.uid()) {
            continue;
        }
        let (what, output) = execute(namespace, &pod);
        let is_good = output.status.success();
        let said = text(&output.stdout) + &text(&output.stderr);
        ran.lock().expect("whole").push(Ran {
            what,
            is_good,
            said,
        });
        let patch = Patch::Strategic(ended(&pod, &output));
        let name = pod.name_any();
        let params = PatchParams::default();
        let written = pods.patch_status(&name, &params, &patch).await;
        written.expect("the pod's end is told");
    }
}

/// Runs the only container's command.
fn execute(namespace: &str, pod: &Pod) -> (String, Output) {
    let spec = pod.spec.as_ref().expect("a spec");
    let arguments = spec.containers[0].args.clone().expect("arguments");
    let account = spec.service_account_name.as_deref().expect("an account");
    let kubeconfig = kubeconfig_of(namespace, account);
    let output = Command::new(env!("CARGO_BIN_EXE_graceful-operator"))
        .args(&arguments)
        .env("KUBECONFIG", kubeconfig.path())
        .env("RUST_BACKTRACE", "0")
        .output();
    (arguments[0].clone(), output.expect("started"))
}

fn ended(pod: &Pod, output: &Output) -> Value {
    let phase = if output.status.success() {
        "Succeeded"
    } else {
        "Failed"
    };
    let container = &pod.spec.as_ref().expect("a spec").containers[0];
    json!({"status": {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": container.name, "image": container.image, "imageID": "none",
            "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": output.status.code(), "message": text(&output.stderr)}},
        }],
    }})
}

/// The way to the API server as a ServiceAccount.
pub(super) fn kubeconfig_of(namespace: &str, account: &str) -> tempfile::NamedTempFile {
    let token = run(
        "kubectl",
        &["create", "token", account, "--namespace", namespace],
    );
    assert!(token.status.success(), "{}", text(&token.stderr));
    let config = run(
        "kubectl",
        &["config", "view", "--raw", "--flatten", "--output=json"],
    );
    let mut config: Value = serde_json::from_slice(&config.stdout).expect("JSON");
    config["users"][0]["user"] = json!({"token": text(&token.stdout).trim()});
    let file = tempfile::NamedTempFile::new().expect("a file");
    write(file.path(), &config);
    file
}

fn write(path: &Path, config: &Value) {
    std::fs::write(path, config.to_string()).expect("written");
}
