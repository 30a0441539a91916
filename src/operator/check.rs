//! `graceful-operator check`: what helm asks after an install. Has the API server take a GracefulDeployment
//! by dry run, and refuse a wrong one, so that a CustomResourceDefinition that is missing or older than the
//! operator is found now and not by a user. Stores nothing.

use std::time::Duration;

use kube::api::PostParams;
use kube::core::{Request, Status};
use kube::{Client, Resource};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::args::Check;
use super::error::{Failure, in_words};
use crate::api::v1alpha1::GracefulDeployment;

/// Time between two attempts.
const AGAIN: Duration = Duration::from_millis(500);

/// What is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The CRD is not there.
    #[error(
        "the API server does not know GracefulDeployments: install the CustomResourceDefinition \
         (crds.enabled=true, the chart graceful-deployment-crds, or kubectl apply -f crds/)"
    )]
    NoCrd,
    /// The CRD is of another version.
    #[error(
        "the CustomResourceDefinition is not this operator's: {0}. Upgrade it together with the operator \
         (crds.enabled=true, the chart graceful-deployment-crds, or kubectl apply -f crds/)"
    )]
    OtherCrd(String),
    /// This account may not create one.
    #[error("no permission: {0}")]
    NoPermission(String),
    /// The API server gives no useful answer.
    #[error("asking the API server to take a GracefulDeployment: {0}")]
    NoAnswer(String),
}

/// Asks until the answer is good or the time is over: a CRD that was just made is not served at once, and
/// a role that was just bound is not in force at once.
///
/// # Errors
///
/// The last [`Broken`].
pub(super) async fn check(client: &Client, check: &Check) -> Result<(), Broken> {
    let default = client.default_namespace().to_owned();
    let namespace = check.namespace.as_ref().unwrap_or(&default);
    let end = Instant::now() + Duration::from_secs(check.timeout_seconds);
    loop {
        match attempt(client, namespace).await {
            Ok(()) => {
                println!("the API server takes GracefulDeployments in namespace {namespace}");
                return Ok(());
            }
            Err(broken) if Instant::now() >= end => return Err(broken),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

async fn attempt(client: &Client, namespace: &str) -> Result<(), Broken> {
    match create(client, namespace, &sample()).await {
        Ok(()) => {}
        Err(kube::Error::Api(status)) => {
            return Err(match status.code {
                404 if !is_about_namespace(&status) => Broken::NoCrd,
                403 => Broken::NoPermission(status.message),
                400 | 422 => Broken::OtherCrd(status.message),
                _ => Broken::NoAnswer(status.message),
            });
        }
        Err(other) => return Err(Broken::NoAnswer(in_words(&Failure::from(other)))),
    }
    let mut wrong = sample();
    // Neither may a pod be added nor may one be taken away: no rollout could begin.
    set(&mut wrong, "/spec/strategy/rollingUpdate/maxSurge", 0);
    set(&mut wrong, "/spec/strategy/rollingUpdate/maxUnavailable", 0);
    match create(client, namespace, &wrong).await {
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(()),
        Ok(()) => Err(Broken::OtherCrd(
            "it takes an object that is invalid".into(),
        )),
        Err(other) => Err(Broken::NoAnswer(in_words(&Failure::from(other)))),
    }
}

/// It is the namespace that is not there.
fn is_about_namespace(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| details.kind == "namespaces")
}

/// Creates by dry run, and strictly: a field that the CRD does not know is an error.
async fn create(client: &Client, namespace: &str, object: &Value) -> kube::Result<()> {
    let url = GracefulDeployment::url_path(&(), Some(namespace));
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let body = object.to_string().into_bytes();
    let mut request = Request::new(url)
        .create(&params, body)
        .map_err(kube::Error::BuildRequest)?;
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    if let Ok(uri) = strict.parse() {
        *request.uri_mut() = uri;
    }
    client.request::<Value>(request).await.map(drop)
}

fn set(object: &mut Value, path: &str, value: i32) {
    if let Some(field) = object.pointer_mut(path) {
        *field = json!(value);
    }
}

/// An object with every field of the spec that has a default, spelt out.
fn sample() -> Value {
    let labels = json!({"app": "graceful-check"});
    let bare = json!({
        "apiVersion": GracefulDeployment::api_version(&()),
        "kind": GracefulDeployment::kind(&()),
        "metadata": {"name": "graceful-check"},
        "spec": {
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app"}]},
            },
        },
    });
    let read = serde_json::from_value::<GracefulDeployment>(bare.clone());
    let full = read.and_then(|object| serde_json::to_value(&object));
    full.unwrap_or(bare)
}
