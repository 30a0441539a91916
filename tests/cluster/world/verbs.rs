//! What a person does with an object, the same on both arms.

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Resource;
use kube::ResourceExt;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy,
};
use kube::core::NamespaceResourceScope;
use serde_json::{Value, json};

use super::{Arm, WEB, World};

use crate::merge::merge;

impl<A: Arm> World<A> {
    /// The object with this many replicas of the image `web:1`, and `more` merged into its spec.
    pub(crate) fn object(replicas: i32, more: &Value) -> Value {
        let resource = A::resource();
        let mut spec = json!({
            "replicas": replicas,
            "selector": {"matchLabels": {"app": WEB}},
            "template": Self::template("web:1"),
        });
        merge(&mut spec, more);
        A::complete_spec(&mut spec);
        json!({
            "apiVersion": resource.api_version, "kind": resource.kind,
            "metadata": {"name": WEB, "labels": {"app": WEB}},
            "spec": spec,
        })
    }

    /// Creates [`World::object`].
    pub(crate) async fn create(&self, replicas: i32, more: Value) -> DynamicObject {
        self.try_create(Self::object(replicas, &more))
            .await
            .expect("created")
    }

    pub(crate) async fn try_create(&self, object: Value) -> kube::Result<DynamicObject> {
        let object = serde_json::from_value(object).expect("an object");
        let params = PostParams::default();
        self.objects().create(&params, &object).await
    }

    /// Creates it and waits until it is complete.
    pub(crate) async fn create_complete(&self, replicas: i32, more: Value) {
        self.create(replicas, more).await;
        self.complete().await;
    }

    /// Changes the spec by a merge patch, as `kubectl patch` does.
    pub(crate) async fn set(&self, spec: Value) -> DynamicObject {
        self.try_set(spec).await.expect("patched")
    }

    pub(crate) async fn try_set(&self, spec: Value) -> kube::Result<DynamicObject> {
        let patch = Patch::Merge(json!({"spec": spec}));
        let params = PatchParams::default();
        self.objects().patch(WEB, &params, &patch).await
    }

    /// Gives the first container another image.
    pub(crate) async fn set_image(&self, image: &str) -> DynamicObject {
        self.patch_json(json!([{
            "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image,
        }]))
        .await
    }

    pub(crate) async fn patch_json(&self, patch: Value) -> DynamicObject {
        let patch = Patch::Json::<()>(serde_json::from_value(patch).expect("a JSON patch"));
        let params = PatchParams::default();
        let patched = self.objects().patch(WEB, &params, &patch).await;
        patched.expect("patched")
    }

    /// Scales through the scale subresource, as `kubectl scale` does.
    pub(crate) async fn scale(&self, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let params = PatchParams::default();
        let scaled = self.objects().patch_scale(WEB, &params, &patch).await;
        scaled.expect("scaled");
    }

    pub(crate) async fn pause(&self) {
        self.set(json!({"paused": true})).await;
    }

    pub(crate) async fn resume(&self) {
        self.set(json!({"paused": false})).await;
    }

    /// As `kubectl rollout restart` does it.
    pub(crate) async fn restart(&self) {
        let now = jiff::Timestamp::now().to_string();
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
        self.set(json!({"template": {"metadata": {"annotations": annotations}}}))
            .await;
    }

    /// Writes the template of an earlier revision back, as `kubectl rollout undo --to-revision` does.
    pub(crate) async fn undo(&self, revision: i64) {
        let sets = self.replica_sets().await;
        let set = sets
            .iter()
            .find(|set| Self::revision(set) == revision)
            .expect("the revision");
        let template = A::template_of(self, set).await;
        self.patch_json(json!([{"op": "replace", "path": "/spec/template", "value": template}]))
            .await;
    }

    /// Deletes the object.
    pub(crate) async fn delete(&self, policy: PropagationPolicy) {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            ..DeleteParams::default()
        };
        let deleted = self.objects().delete(WEB, &params).await;
        deleted.expect("deleted");
    }

    /// Changes any object of the namespace by a merge patch.
    pub(crate) async fn patch_other<K>(&self, name: &str, patch: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let api: Api<K> = self.api();
        let params = PatchParams::default();
        let patched = api.patch(name, &params, &Patch::Merge(patch)).await;
        patched.expect("patched")
    }

    /// All ReplicaSets of the namespace, oldest revision first.
    pub(crate) async fn replica_sets(&self) -> Vec<ReplicaSet> {
        let api: Api<ReplicaSet> = self.api();
        let mut sets = api.list(&ListParams::default()).await.expect("sets").items;
        sets.sort_by_key(Self::revision);
        sets
    }

    /// The number of the revision that a ReplicaSet carries.
    pub(crate) fn revision(set: &ReplicaSet) -> i64 {
        let number = set.annotations().get(A::REVISION);
        number.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}
