//! The two controllers that every scenario runs against, and all that is known to differ between them.

use graceful::api::{REVISION, v1alpha1::GracefulDeployment};
use k8s_openapi::api::apps::v1::{self as apps, ControllerRevision, ReplicaSet};
use kube::Api;
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::World;

/// A controller of rollouts.
pub(crate) trait Arm: Sized + 'static {
    /// Begins the names of its namespaces.
    const NAME: &'static str;
    /// It needs a process of ours.
    const HAS_OPERATOR: bool;
    /// Annotation of its ReplicaSets with the revision's number.
    const REVISION: &'static str;

    fn resource() -> ApiResource;

    /// What a spec that is written for both has besides on this arm.
    fn complete_spec(spec: &mut Value);

    /// The user's template of the revision that a ReplicaSet carries: what undo writes back.
    fn template_of(world: &World<Self>, set: &ReplicaSet) -> impl Future<Output = Value>;
}

/// `apps/v1` Deployment: the oracle. A scenario that it fails is a wrong scenario.
pub(crate) struct Deployment;

/// GracefulDeployment.
pub(crate) struct Graceful;

impl Arm for Deployment {
    const NAME: &'static str = "deployment";
    const HAS_OPERATOR: bool = false;
    const REVISION: &'static str = "deployment.kubernetes.io/revision";

    fn resource() -> ApiResource {
        ApiResource::erase::<apps::Deployment>(&())
    }

    fn complete_spec(_: &mut Value) {}

    async fn template_of(_: &World<Self>, set: &ReplicaSet) -> Value {
        let mut template = json!(set.spec.as_ref().unwrap().template);
        let labels = template.pointer_mut("/metadata/labels").unwrap();
        labels.as_object_mut().unwrap().remove("pod-template-hash");
        template
    }
}

impl Arm for Graceful {
    const NAME: &'static str = "graceful";
    const HAS_OPERATOR: bool = true;
    const REVISION: &'static str = REVISION;

    fn resource() -> ApiResource {
        ApiResource::erase::<GracefulDeployment>(&())
    }

    /// Drains take no longer than the work that the scenario orders: the least times of a drain are for
    /// routes, which nothing here has.
    fn complete_spec(spec: &mut Value) {
        let mut drain = json!({
            "minSeconds": 0, "quietSeconds": 0, "timeoutSeconds": 120, "deletionTimeoutSeconds": 20,
        });
        if let Some(own) = spec.get("drain").and_then(Value::as_object) {
            drain.as_object_mut().unwrap().extend(own.clone());
        }
        spec["drain"] = drain;
    }

    async fn template_of(world: &World<Self>, set: &ReplicaSet) -> Value {
        let records: Api<ControllerRevision> = world.api();
        let record = records.get(set.metadata.name.as_deref().unwrap()).await;
        record.expect("the revision's record").data.unwrap().0["spec"]["template"].clone()
    }
}
