//! The life of one pod, from its binding to its end: wakes by what is seen, ordered or due, and writes
//! what the body says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::body::Body;
use super::orders::Orders;

/// Before a write that failed is made again.
const RETRY: Duration = Duration::from_millis(200);

pub(super) async fn live(
    pods: Api<Pod>,
    mut seen: watch::Receiver<Option<Arc<Pod>>>,
    mut orders: watch::Receiver<Orders>,
) {
    let mut body = Body::new(Instant::now());
    let mut written = Value::Null;
    loop {
        let Some(pod) = seen.borrow_and_update().clone() else {
            return;
        };
        let manner = orders.borrow_and_update().of(&pod);
        let step = body.step(&pod, manner, Instant::now());
        let mut again = step.again;
        if step.status != written {
            if write(&pods, &pod, &step.status).await {
                written = step.status;
            } else {
                again = Some(Instant::now() + RETRY);
            }
        }
        if step.is_gone {
            if remove(&pods, &pod).await {
                return;
            }
            again = Some(Instant::now() + RETRY);
        }
        let due = async {
            match again {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            seen = seen.changed() => if seen.is_err() { return },
            ordered = orders.changed() => if ordered.is_err() { return },
            () = due => {}
        }
    }
}

/// False where it is to be tried again.
async fn write(pods: &Api<Pod>, pod: &Pod, status: &Value) -> bool {
    let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()}, "status": status}));
    let name = pod.name_any();
    let params = PatchParams::default();
    is_done(pods.patch_status(&name, &params, &patch).await)
}

/// As the kubelet does it once nothing of the pod runs.
async fn remove(pods: &Api<Pod>, pod: &Pod) -> bool {
    let params = DeleteParams::default()
        .grace_period(0)
        .preconditions(Preconditions {
            uid: pod.uid(),
            resource_version: None,
        });
    is_done(pods.delete(&pod.name_any(), &params).await)
}

/// A pod that is gone or another one needs nothing more.
fn is_done<T>(result: kube::Result<T>) -> bool {
    match result {
        Err(kube::Error::Api(status)) => matches!(status.code, 404 | 409),
        Err(_) => false,
        Ok(_) => true,
    }
}
