//! kubectl's kustomize with the configuration of integrations/kustomize: what it does to a Deployment it does to
//! a GracefulDeployment, and goes on doing to a Deployment beside it.

use serde_json::{Value, json};

use super::{run, write};
use crate::world::{Graceful, WEB, World};

const CONFIGURATION: &str = include_str!("../../../integrations/kustomize/configuration.yaml");
const OPENAPI: &str = include_str!("../../../integrations/kustomize/openapi.json");

const KUSTOMIZATION: &str = "
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: shop-
configurations: [configuration.yaml]
openapi: {path: openapi.json}
resources: [base.yaml]
images: [{name: web, newName: registry.example.com/web, newTag: v2}]
replicas: [{name: web, count: 3}]
labels: [{pairs: {team: shop}, includeSelectors: true}]
commonAnnotations: {owner: shop}
configMapGenerator: [{name: settings, literals: [colour=blue]}]
secretGenerator: [{name: keys, literals: [token=none]}]
patches:
- target: {kind: GracefulDeployment}
  path: patch.yaml
- target: {kind: Deployment}
  path: patch.yaml
";

/// Names a container, and nothing of what it has.
const PATCH: &str = "
apiVersion: any/v1
kind: Any
metadata: {name: any}
spec:
  template:
    spec:
      containers:
      - name: web
        env: [{name: ADDED, value: \"1\"}]
      - name: second
        $patch: delete
";

/// A template with every reference that the configuration follows.
fn template() -> Value {
    let mut template = World::<Graceful>::template("web:v1");
    let spec = template["spec"].as_object_mut().unwrap();
    spec.insert("serviceAccountName".into(), json!("worker"));
    spec.insert("imagePullSecrets".into(), json!([{"name": "keys"}]));
    spec.insert(
        "volumes".into(),
        json!([
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "both", "projected": {"sources": [
                {"configMap": {"name": "settings"}}, {"secret": {"name": "keys"}},
            ]}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        ]),
    );
    let container = json!({
        "name": WEB, "image": "web:v1",
        "env": [
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}],
        "volumeMounts": [{"name": "settings", "mountPath": "/settings"}],
    });
    let second = json!({"name": "second", "image": "web:v1"});
    spec.insert("containers".into(), json!([container, second]));
    template
}

fn base() -> String {
    let meta = |name: &str| json!({"name": name});
    let workload = |version: &str, kind: &str| {
        json!({
            "apiVersion": version, "kind": kind, "metadata": meta(WEB),
            "spec": {"selector": {"matchLabels": {"app": WEB}}, "template": template()},
        })
    };
    let claim =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let objects = [
        workload("graceful.dev/v1alpha1", "GracefulDeployment"),
        workload("apps/v1", "Deployment"),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("worker")}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta("data"), "spec": claim}),
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta("scaler"),
            "spec": {"maxReplicas": 5, "scaleTargetRef": {
                "apiVersion": "graceful.dev/v1alpha1", "kind": "GracefulDeployment", "name": WEB,
            }},
        }),
    ];
    let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
    documents.join("\n---\n")
}

async fn built(folder: &tempfile::TempDir) -> Vec<Value> {
    for (name, content) in [
        ("configuration.yaml", CONFIGURATION),
        ("openapi.json", OPENAPI),
        ("kustomization.yaml", KUSTOMIZATION),
        ("patch.yaml", PATCH),
        ("base.yaml", &base()),
    ] {
        write(folder.path(), name, content);
    }
    let path = folder.path().to_string_lossy();
    let yaml = run("kubectl", &["kustomize", &path]).await.good();
    serde_yaml_ng::Deserializer::from_str(&yaml)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .collect()
}

fn of<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))
}

/// The Deployment beside it is the oracle: but for its kind, the two end the same.
#[test]
fn kustomize_does_to_it_what_it_does_to_a_deployment() {
    crate::world::run::<Graceful, _>("kustomize", |world| async move {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = built(&folder).await;
        let ours = of(&objects, "GracefulDeployment");
        let theirs = of(&objects, "Deployment");
        assert_eq!(ours["spec"], theirs["spec"]);
        assert_eq!(ours["metadata"], theirs["metadata"]);

        // And that is what was asked for.
        let spec = &ours["spec"];
        assert_eq!(ours["metadata"]["name"], "shop-web");
        assert_eq!(spec["replicas"], 3);
        assert_eq!(spec["selector"]["matchLabels"]["team"], "shop");
        assert_eq!(spec["template"]["metadata"]["annotations"]["owner"], "shop");
        let pod = &spec["template"]["spec"];
        let containers = pod["containers"].as_array().unwrap();
        let [container] = containers.as_slice() else {
            panic!("{containers:?}");
        };
        assert_eq!(container["image"], "registry.example.com/web:v2");
        assert_eq!(container["env"].as_array().unwrap().len(), 3);
        assert_eq!(pod["serviceAccountName"], "shop-worker");
        let claim = pod.pointer("/volumes/3/persistentVolumeClaim/claimName");
        assert_eq!(claim.unwrap(), "shop-data");
        for (kind, paths) in [
            (
                "ConfigMap",
                &[
                    "/volumes/0/configMap/name",
                    "/containers/0/envFrom/0/configMapRef/name",
                ][..],
            ),
            (
                "Secret",
                &["/volumes/1/secret/secretName", "/imagePullSecrets/0/name"][..],
            ),
        ] {
            let name = &of(&objects, kind)["metadata"]["name"];
            assert!(
                paths.iter().all(|path| pod.pointer(path) == Some(name)),
                "{kind} {name}: {pod}"
            );
        }
        let scaler = of(&objects, "HorizontalPodAutoscaler");
        assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], "shop-web");

        let path = folder.path().to_string_lossy();
        let apply = ["apply", "--dry-run=server", "--kustomize", &path];
        let namespace = ["--namespace", &world.namespace];
        run("kubectl", &[&apply[..], &namespace[..]].concat())
            .await
            .good();
    });
}
