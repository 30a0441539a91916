//! The CustomResourceDefinition on a real API server: what is refused and in which words, what is
//! stored, and what kubectl shows of it.

mod earlier;
mod refused;
mod shown;
#[path = "../fixtures/specs.rs"]
mod specs;
mod stored;

use std::{
    future::Future,
    process::{Command, Output},
    sync::OnceLock,
    time::{Duration, Instant},
};

use graceful::api::v1alpha1::GracefulDeployment;
use kube::{
    Api, Client, Resource as _,
    api::{DynamicObject, Patch, PatchParams, PostParams, Request},
    core::ApiResource,
};
use serde_json::{Value, json};

const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/");

fn run_kubectl(arguments: &[&str]) -> Output {
    assert!(
        std::env::var_os("KUBECONFIG").is_some(),
        "no cluster: run cargo xtask test"
    );
    Command::new("kubectl").args(arguments).output().unwrap()
}

pub(crate) fn kubectl(arguments: &[&str]) -> String {
    let output = run_kubectl(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Waits until the API server serves a CRD. `kubectl wait` itself fails on one that has no conditions yet.
pub(crate) fn until_established(crd: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let output = run_kubectl(&["wait", "--for=condition=Established", crd]);
        if output.status.success() {
            return;
        }
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(Instant::now() < end, "{crd}: {error}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Puts the CRD in place, once for all tests of this binary, as a person would: twice.
pub(crate) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        kubectl(&["apply", "-f", CRDS]);
        let again = kubectl(&["apply", "-f", CRDS]);
        assert!(again.trim_end().ends_with("unchanged"), "{again}");
        until_established("crd/gracefuldeployments.graceful.dev");
    });
}

/// Waits until something is so, for as long as a busy API server may take.
async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, wait).await.unwrap();
}

/// A namespace of its own for one test, deleted with what is in it when the test ends.
struct Namespace {
    name: String,
    client: Client,
}

impl Namespace {
    async fn new(test: &str) -> Self {
        install();
        let name = format!("crd-{test}-{}", std::process::id());
        kubectl(&["create", "namespace", &name]);
        let client = Client::try_default().await.unwrap();
        Self { name, client }
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["--namespace", self.name.as_str()], arguments].concat())
    }

    /// Shows what is stored, field by field.
    fn api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<GracefulDeployment>(&());
        Api::namespaced_with(self.client.clone(), &self.name, &resource)
    }

    /// Creates the object `chat` as kubectl does: fields that nobody knows are refused.
    async fn create(&self, spec: &Value) -> kube::Result<Value> {
        self.send(spec, false).await
    }

    /// What [`Namespace::create`] would store.
    async fn try_create(&self, spec: &Value) -> kube::Result<Value> {
        self.send(spec, true).await
    }

    async fn send(&self, spec: &Value, dry_run: bool) -> kube::Result<Value> {
        let path = GracefulDeployment::url_path(&(), Some(&self.name));
        let params = PostParams {
            dry_run,
            ..PostParams::default()
        };
        let mut request = Request::new(path)
            .create(&params, chat(spec).to_string().into_bytes())
            .unwrap();
        let strict = format!("{}&fieldValidation=Strict", request.uri());
        *request.uri_mut() = strict.parse().unwrap();
        self.client.request(request).await
    }

    /// Changes the object `chat`, and tells what is stored then.
    async fn patch(&self, change: Value) -> kube::Result<Value> {
        let params = PatchParams::default();
        let patched = self
            .api()
            .patch("chat", &params, &Patch::Merge(change))
            .await?;
        Ok(patched.data)
    }

    /// Writes the status of `chat`, and tells what is stored then.
    async fn patch_status(&self, status: &Value) -> Value {
        let params = PatchParams::default();
        let patch = Patch::Merge(json!({"status": status}));
        let patched = self.api().patch_status("chat", &params, &patch).await;
        patched.unwrap().data
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

fn chat(spec: &Value) -> Value {
    json!({
        "apiVersion": "graceful.dev/v1alpha1",
        "kind": "GracefulDeployment",
        "metadata": {"name": "chat"},
        "spec": spec,
    })
}

fn condition(kind: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 1,
    })
}
