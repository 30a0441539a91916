//! What injection makes of a user's template, and what it refuses: one fact a test. The properties
//! over random templates and the golden files are in the folder.

mod agent;
mod containers;
mod golden;
mod hooks;
mod properties;
mod refusals;
mod remarks;
mod templates;

use graceful::api::v1alpha1::{Drain, Probes, Shutdown};
use graceful::inject::{Injected, Injection, Refusal, inject, template_hash};
use serde_json::{Value, json};

/// The settings of one injection.
#[derive(Clone, Debug, Default)]
struct Settings {
    drain: Drain,
    shutdown: Shutdown,
    probes: Probes,
}

impl Settings {
    fn inject(&self, template: &Value) -> Result<Injected, Refusal> {
        let injection = Injection {
            drain: &self.drain,
            shutdown: &self.shutdown,
            probes: &self.probes,
            agent_image: "graceful-agent:1",
            agent_pull_policy: Some("IfNotPresent"),
        };
        inject(template, &injection)
    }
}

fn injected(template: &Value) -> Value {
    Settings::default().inject(template).unwrap().template
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!() in place reads better than a reference to it"
)]
fn pod(spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": "chat"}}, "spec": spec})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!() in place reads better than a reference to it"
)]
fn app(rest: Value) -> Value {
    let mut app = json!({"name": "app", "image": "chat:1"});
    app.as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    app
}

fn one_container(rest: Value) -> Value {
    pod(json!({"containers": [app(rest)]}))
}

#[test]
fn change_of_drain_settings_alone_makes_no_pod_older() {
    let template = one_container(json!({}));
    let before = Settings::default().inject(&template).unwrap();
    let mut settings = Settings::default();
    settings.drain.quiet_seconds = 9;
    let after = settings.inject(&template).unwrap();
    let config = |injected: &Injected| {
        injected.template["metadata"]["annotations"]["graceful.dev/config"].clone()
    };
    assert_eq!(after.summary, before.summary);
    assert_ne!(config(&after), config(&before));
    assert_eq!(config(&after), graceful::inject::config(&settings.drain));

    // The grace period is fixed at a pod's birth.
    settings.drain.deletion_timeout_seconds = 61;
    assert_ne!(settings.inject(&template).unwrap().summary, before.summary);
}

/// A failure here would replace every pod of everybody at an upgrade: never change these values.
/// R37.
#[test]
fn template_hash_is_the_same_for_ever() {
    for (template, collisions, hash) in [
        (json!({}), None, "645gr4vspn"),
        (json!({}), Some(1), "ks4795dsff"),
        (
            one_container(json!({"ports": [{"containerPort": 8080, "protocol": "TCP"}]})),
            None,
            "5hz6cnjxwc",
        ),
    ] {
        assert_eq!(template_hash(&template, collisions), hash);
    }
}
