//! The app under test, as manifests: the example that users copy, in the shapes that the tests need.

use serde_json::{Value, json};

/// Name and tag of the example's image, as the test command loads it.
pub(crate) const IMAGE: &str = "example-go-net-http:dev";

/// One workload: the example app, its size and how it is rolled out.
pub(crate) struct App {
    name: String,
    version: u32,
    spec: Value,
    pod: Value,
    container: Value,
    env: Vec<Value>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deployment,
    Graceful,
}

impl App {
    /// A GracefulDeployment with surge 1 and the defaults else.
    pub(crate) fn graceful(name: &str) -> Self {
        let mut app = Self::of(name, Kind::Graceful);
        app.spec["shutdown"] = json!({"timeoutSeconds": 5});
        app
    }

    /// A Deployment of the same pods.
    pub(crate) fn deployment(name: &str) -> Self {
        Self::of(name, Kind::Deployment)
    }

    fn of(name: &str, kind: Kind) -> Self {
        Self {
            name: name.into(),
            version: 1,
            env: Vec::new(),
            kind,
            spec: json!({
                "replicas": 1,
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "selector": {"matchLabels": {"app": name}},
            }),
            pod: json!({
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }),
            container: json!({
                "name": "app",
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }),
        }
    }

    pub(crate) fn replicas(mut self, replicas: u32) -> Self {
        self.spec["replicas"] = json!(replicas);
        self
    }

    /// The app's ten lines answer the notice with `Connection: close`.
    pub(crate) fn notify(mut self) -> Self {
        self.spec["drain"]["notify"] = json!({"httpPost": {"port": 8080, "path": "/drain"}});
        self
    }

    /// The sleep that people put before SIGTERM today.
    pub(crate) fn sleep(self, seconds: u32) -> Self {
        self.container("/lifecycle/preStop/sleep/seconds", json!(seconds))
    }

    /// Sets a field of the spec by its JSON pointer below `/spec`.
    pub(crate) fn spec(mut self, pointer: &str, value: Value) -> Self {
        set(&mut self.spec, pointer, value);
        self
    }

    /// Sets a field of the pods by its JSON pointer below `/spec/template/spec`.
    pub(crate) fn pod(mut self, pointer: &str, value: Value) -> Self {
        set(&mut self.pod, pointer, value);
        self
    }

    /// Sets a field of the container by its JSON pointer.
    pub(crate) fn container(mut self, pointer: &str, value: Value) -> Self {
        set(&mut self.container, pointer, value);
        self
    }

    /// Sets an environment variable of the container.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(json!({"name": name, "value": value}));
        self
    }

    /// The workload.
    pub(crate) fn object(&self) -> Value {
        let (version, kind) = match self.kind {
            Kind::Deployment => ("apps/v1", "Deployment"),
            Kind::Graceful => ("graceful.dev/v1alpha1", "GracefulDeployment"),
        };
        let mut spec = self.spec.clone();
        spec["template"] = self.template(self.version);
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": self.name}, "spec": spec})
    }

    /// A patch that changes the template as a new image would.
    pub(crate) fn change(&self, version: u32) -> Value {
        json!({"spec": {"template": self.template(version)}})
    }

    /// Its Service.
    pub(crate) fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.name},
            "spec": {
                "selector": {"app": self.name},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
            },
        })
    }

    fn template(&self, version: u32) -> Value {
        let mut container = self.container.clone();
        let mut env = vec![
            json!({"name": "VERSION", "value": version.to_string()}),
            json!({"name": "SHUTDOWN_SECONDS", "value": "5"}),
        ];
        env.retain(|usual| self.env.iter().all(|own| own["name"] != usual["name"]));
        env.extend(self.env.iter().cloned());
        container["env"] = json!(env);
        let mut pod = self.pod.clone();
        pod["containers"] = json!([container]);
        json!({"metadata": {"labels": {"app": self.name}}, "spec": pod})
    }
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for key in pointer.trim_start_matches('/').split('/') {
        at = &mut at[key];
    }
    *at = value;
}
