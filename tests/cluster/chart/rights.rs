//! The chart's rights on a real API server, and people who have some: what each test of them begins with. Once
//! in place they stay in force for all tests of the binary.

use std::process::Output;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::marks::pod;
use super::{CHART, HELMS, kubectl, one, run, template, text};

/// Where the operator's account is.
pub(super) const NAMESPACE: &str = "chart-marks";

pub(super) const ACCOUNT: &str = "graceful-operator";

/// Puts the account, its role and the policy in place, and waits until the policy is in force.
pub(super) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        crate::crd::install();
        let mut objects = template(&["crds.enabled=false"]);
        objects.retain(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            let is_hook = object["metadata"]["annotations"]["helm.sh/hook"].is_string();
            let is_about_rights = kind.starts_with("ClusterRole")
                || kind.starts_with("ValidatingAdmissionPolicy")
                || kind == "ServiceAccount";
            is_about_rights && !is_hook
        });
        for object in &mut objects {
            for path in ["/metadata/namespace", "/subjects/0/namespace"] {
                if let Some(namespace) = object.pointer_mut(path) {
                    *namespace = json!(NAMESPACE);
                }
            }
        }
        assert!(one(&objects, "ValidatingAdmissionPolicyBinding").is_some());
        // As helm notes it; see `second_operator_of_a_cluster_is_told_of_the_first`.
        let role = objects.iter_mut().find(|object| {
            object["metadata"]["name"] == ACCOUNT && object["kind"] == "ClusterRole"
        });
        role.expect("a ClusterRole")["metadata"]["annotations"] = json!({
            "meta.helm.sh/release-name": "first", "meta.helm.sh/release-namespace": NAMESPACE,
        });
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        });
        objects.insert(0, namespace);
        objects.extend(people());
        let applied = kubectl(&["apply", "--server-side", "--force-conflicts"], &objects);
        assert!(applied.status.success(), "{}", text(&applied.stderr));
        applies(&["wait", "--for=create", "serviceaccount/default"]);
        // Nothing tells when a policy is in force but its refusal.
        let labels = json!({"graceful.dev/draining": "true"});
        let probe = pod("probe", &labels, &json!({}));
        until("the policy is in force", || create("edit", &probe).is_err());
    });
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Users by what they may do in the namespace: `view`; `edit`; `mark`, which is edit and the verb; and `kubelet`,
/// which may write what only a kubelet and a scheduler write.
fn people() -> Vec<Value> {
    let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
    let role = |name: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": metadata(name), "rules": rules,
        })
    };
    let binding = |name: &str, role: Value, users: &[&str]| {
        let user = |name: &&str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": metadata(name), "roleRef": role,
            "subjects": users.iter().map(user).collect::<Vec<_>>(),
        })
    };
    let refer = |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    vec![
        role(
            "mark",
            json!([{"apiGroups": ["graceful.dev"], "resources": ["gracefuldeployments"], "verbs": ["mark"]}]),
        ),
        role(
            "kubelet",
            json!([{
                "apiGroups": ["", "apps"],
                "resources": ["pods/status", "replicasets/status", "pods/binding", "bindings"],
                "verbs": ["patch", "create"],
            }]),
        ),
        binding("edit", refer("ClusterRole", "edit"), &["edit", "mark"]),
        binding("view", refer("ClusterRole", "view"), &["view"]),
        binding("mark", refer("Role", "mark"), &["mark"]),
        binding("kubelet", refer("Role", "kubelet"), &["edit"]),
    ]
}

fn outcome(output: &Output) -> Result<(), String> {
    let error = text(&output.stderr);
    output.status.success().then_some(()).ok_or(error)
}

/// Creates by dry run, as somebody.
pub(super) fn create(user: &str, object: &Value) -> Result<(), String> {
    let arguments = ["create", "--dry-run=server", "--as", user];
    outcome(&kubectl(&arguments, std::slice::from_ref(object)))
}

/// What kubectl says in the namespace, as somebody.
pub(super) fn says(user: &str, arguments: &[&str]) -> Result<(), String> {
    let all = [&["--namespace", NAMESPACE, "--as", user], arguments].concat();
    outcome(&run("kubectl", &all))
}

/// As the administrator.
pub(super) fn applies(arguments: &[&str]) {
    let all = [&["--namespace", NAMESPACE], arguments].concat();
    let output = run("kubectl", &all);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn second_operator_of_a_cluster_is_told_of_the_first() {
    install();
    for helm in HELMS {
        let install = |more: &str| {
            let flags = ["--dry-run=server", "--namespace", "default", "--set", more];
            outcome(&run(
                helm,
                &[&["install", "second", CHART], &flags[..]].concat(),
            ))
        };
        let error = install("crds.enabled=false").expect_err("a second one");
        assert!(
            error
                .contains("release first in namespace chart-marks is the operator of this cluster"),
            "{error}"
        );
        assert!(
            error.contains("helm upgrade first --namespace chart-marks"),
            "{error}"
        );
        install("crds.enabled=false,watchNamespaces={default}").expect("one of its own");
    }
}

/// T8: who may do something with Deployments may do it with ours, and no more.
#[test]
fn view_and_edit_of_a_namespace_are_for_its_objects_too() {
    install();
    let objects = "gracefuldeployments.graceful.dev";
    let may = |user: &str, verb: &str, part: &str| {
        says(
            user,
            &["auth", "can-i", verb, objects, "--subresource", part],
        )
        .is_ok()
    };
    let can = |user: &str, verb: &str| may(user, verb, "");
    // Kubernetes' own controller adds the chart's roles to view and edit.
    until("view and edit have them", || {
        can("view", "list") && can("edit", "create")
    });
    assert!(may("edit", "patch", "scale"));
    for verb in ["create", "patch", "delete", "mark"] {
        assert!(!can("view", verb), "{verb}");
    }
    assert!(!can("edit", "mark"));
    assert!(!may("edit", "patch", "status"));
    assert!(can("mark", "mark"));
}
