//! Objects that were stored before a rule was: their status can still be written, so that the operator
//! can say what is wrong with them.

use graceful::api::{
    crd,
    v1alpha1::{GracefulDeployment, validate},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{Namespace, chat, specs, until};

const KIND: &str = "EarlierDeployment";
const PLURAL: &str = "earlierdeployments";

/// A group of its own: the CRD of the other tests must not lose its rules.
fn group() -> String {
    format!("earlier-{}.graceful.dev", std::process::id())
}

fn name() -> String {
    format!("{PLURAL}.{}", group())
}

fn definition() -> Value {
    let mut definition = crd::definition();
    definition["metadata"]["name"] = json!(name());
    definition["spec"]["group"] = json!(group());
    definition["spec"]["names"] = json!({"kind": KIND, "plural": PLURAL});
    definition
}

fn definition_without_rules() -> Value {
    fn drop_rules(schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                fields.remove("x-kubernetes-validations");
                fields.values_mut().for_each(drop_rules);
            }
            Value::Array(items) => items.iter_mut().for_each(drop_rules),
            _ => {}
        }
    }
    let mut definition = definition();
    drop_rules(&mut definition);
    definition
}

fn object(name: &str, patch: &Value) -> DynamicObject {
    let mut object = chat(&specs::good_but(patch));
    object["apiVersion"] = json!(format!("{}/v1alpha1", group()));
    object["kind"] = json!(KIND);
    object["metadata"]["name"] = json!(name);
    serde_json::from_value(object).unwrap()
}

/// R34, R37.
#[tokio::test]
async fn object_stored_before_a_rule_can_be_told_so() {
    let namespace = Namespace::new("earlier").await;
    let crds: Api<CustomResourceDefinition> = Api::all(namespace.client.clone());
    let apply = async |definition: Value| {
        let params = PatchParams::apply("crd-tests").force();
        crds.patch(&name(), &params, &Patch::Apply(definition))
            .await
            .unwrap();
    };
    let kind = GroupVersionKind::gvk(&group(), "v1alpha1", KIND);
    let resource = ApiResource::from_gvk_with_plural(&kind, PLURAL);
    let api: Api<DynamicObject> =
        Api::namespaced_with(namespace.client.clone(), &namespace.name, &resource);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let nonsense = object("probe", &json!({"drain": {"minSeconds": -1}}));

    apply(definition_without_rules()).await;
    until(async || api.create(&dry_run, &nonsense).await.is_ok()).await;
    let mut all_broken = specs::all_broken();
    // The scale subresource refuses a negative number by itself, rule or no rule.
    all_broken.retain(|broken| broken.field != "spec.replicas");
    for (at, broken) in all_broken.iter().enumerate() {
        let stored = object(&format!("broken-{at}"), &broken.patch);
        api.create(&PostParams::default(), &stored).await.unwrap();
    }

    apply(definition()).await;
    // Any other error is of the API server's change from the one definition to the other.
    let is_refused = async || {
        let result = api.create(&dry_run, &nonsense).await;
        matches!(result, Err(kube::Error::Api(status)) if status.reason == "Invalid")
    };
    until(is_refused).await;
    let params = PatchParams::default();
    for (at, broken) in all_broken.iter().enumerate() {
        let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
        let patched = api
            .patch_status(&format!("broken-{at}"), &params, &status)
            .await;
        let stored = patched.unwrap_or_else(|error| panic!("{}: {error}", broken.says));
        let stored: GracefulDeployment = stored.try_parse().unwrap();
        validate(&stored.spec).unwrap_err();
    }
    crds.delete(&name(), &DeleteParams::default())
        .await
        .unwrap();
}
