//! How the API server comes to know the metrics server: a certificate, a Service that is only a name, and an
//! APIService for each of its two APIs. Knows nothing of what is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What pods use.
pub(super) const RESOURCE: &str = "metrics.k8s.io";

/// What is no pod's.
pub(super) const EXTERNAL: &str = "external.metrics.k8s.io";

pub(super) const VERSION: &str = "v1beta1";

const SERVICE: &str = "metrics-of-tests";

const NAMESPACE: &str = "default";

/// Until the API server has found the new API; two seconds are usual.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key and a certificate by the name that the API server expects, and the certificate as PEM.
pub(super) fn identity() -> (TlsAcceptor, String) {
    let name = format!("{SERVICE}.{NAMESPACE}.svc");
    let made = rcgen::generate_simple_self_signed([name]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

/// What there is of a group.
pub(super) fn resources(group: &str) -> Value {
    let resource = |name: &str, kind: &str, verbs: Value| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs});
    let resources = match group {
        RESOURCE => vec![resource("pods", "PodMetrics", json!(["get", "list"]))],
        EXTERNAL => vec![resource("queue", "ExternalMetricValueList", json!(["get"]))],
        _ => vec![],
    };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": format!("{group}/{VERSION}"), "resources": resources,
    })
}

fn name(group: &str) -> String {
    format!("{VERSION}.{group}")
}

/// Makes both APIs known and waits until the API server serves them.
pub(super) async fn begin(client: &Client, port: u16, authority: &str) {
    let params = PatchParams::apply("metrics-of-tests").force();
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    // Not by an address of the cluster's: the server listens where the API server runs, on loopback.
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
    });
    services
        .patch(SERVICE, &params, &Patch::Apply(service))
        .await
        .expect("a Service");
    let apis: Api<APIService> = Api::all(client.clone());
    for group in [RESOURCE, EXTERNAL] {
        let api = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name(group)},
            "spec": {
                "group": group, "version": VERSION,
                "groupPriorityMinimum": 100, "versionPriority": 100,
                "caBundle": ByteString(authority.as_bytes().to_vec()),
                "service": {"namespace": NAMESPACE, "name": SERVICE, "port": port},
            },
        });
        apis.patch(&name(group), &params, &Patch::Apply(api))
            .await
            .expect("an APIService");
    }
    for group in [RESOURCE, EXTERNAL] {
        let began = Instant::now();
        while let Err(why) = available(&apis, group).await {
            assert!(began.elapsed() < PATIENCE, "{group} is not served: {why}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Why the API server does not serve it, if so.
async fn available(apis: &Api<APIService>, group: &str) -> Result<(), String> {
    let api = apis.get(&name(group)).await.map_err(|e| e.to_string())?;
    let conditions = api.status.and_then(|status| status.conditions);
    let conditions = conditions.unwrap_or_default();
    if conditions
        .iter()
        .any(|one| one.type_ == "Available" && one.status == "True")
    {
        return Ok(());
    }
    Err(format!("{conditions:?}"))
}

/// Takes both APIs away again.
pub(super) async fn end(client: &Client) {
    let apis: Api<APIService> = Api::all(client.clone());
    for group in [RESOURCE, EXTERNAL] {
        let _ = apis.delete(&name(group), &DeleteParams::default()).await;
    }
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let _ = services.delete(SERVICE, &DeleteParams::default()).await;
}
