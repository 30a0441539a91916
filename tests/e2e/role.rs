//! What the chart grants the operator, beside what the operator uses by the audit log.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use graceful::api::v1alpha1::GracefulDeployment;

use crate::app::App;
use crate::audit::Audit;
use crate::cluster::{World, test_alone};

const SOON: Duration = Duration::from_secs(180);

/// The operator's account.
const ACCOUNT: &str = "system:serviceaccount:graceful-system:graceful-operator";

/// Granted, and not to be seen in a log: verb, group, resource, why.
const UNSEEN: &[(&str, &str, &str, &str)] = &[
    (
        "update",
        "graceful.dev",
        "gracefuldeployments/finalizers",
        "asked for by the admission plugin OwnerReferencesPermissionEnforcement alone, and by no request",
    ),
    (
        "mark",
        "graceful.dev",
        "gracefuldeployments",
        "asked for by the chart's ValidatingAdmissionPolicy alone, and by no request",
    ),
];

/// Verb, group and resource.
type Use = (String, String, String);

#[test]
fn role_grants_what_the_operator_uses_and_nothing_else() {
    test_alone("role", |world| async move {
        use_everything(&world).await;
        let granted = granted(&world).await;
        let (mut used, mut refused) = (BTreeSet::new(), Vec::new());
        for request in Audit::of_cluster().since(None) {
            let object = request.object();
            if request.user.username != ACCOUNT || object.resource.is_empty() {
                continue;
            }
            if request.response_status.code == 403 {
                refused.push(request.clone());
            }
            let resource = request.resource();
            used.insert((request.verb, object.api_group, resource));
        }
        // A quota and a policy refuse with 403 as well; no test of these makes the operator meet one.
        let of_role = |request: &&crate::audit::Request| {
            let object = request.object();
            !granted.contains(&(request.verb.clone(), object.api_group, request.resource()))
        };
        let refused: Vec<_> = refused.iter().filter(of_role).collect();
        assert!(refused.is_empty(), "refused: {refused:#?}");
        let not_granted: Vec<_> = used.difference(&granted).collect();
        assert!(
            not_granted.is_empty(),
            "used and not granted: {not_granted:#?}"
        );
        let unseen = |(verb, group, resource): &&Use| {
            !UNSEEN
                .iter()
                .any(|known| (known.0, known.1, known.2) == (verb, group, resource))
        };
        let not_used: Vec<_> = granted.difference(&used).filter(unseen).collect();
        assert!(not_used.is_empty(), "granted and not used: {not_used:#?}");
        for (verb, group, resource, why) in UNSEEN {
            let known = ((*verb).into(), (*group).into(), (*resource).into());
            assert!(granted.contains(&known), "not granted any more: {known:?}");
            println!("granted and not to be seen: {verb} {group}/{resource}: {why}");
        }
        println!("granted and used: {}", used.len());
    });
}

/// Every verb on every resource that the roles name.
async fn granted(world: &World) -> BTreeSet<Use> {
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let role = roles.get("graceful-operator").await.expect("the role");
    let roles: Api<Role> = Api::namespaced(world.client.clone(), "graceful-system");
    let of_lease = roles.get("graceful-operator-lease").await;
    let of_lease = of_lease.expect("the Lease's role").rules;
    let all = role.rules.into_iter().chain(of_lease).flatten();
    let mut granted = BTreeSet::new();
    for rule in all {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    granted.insert((verb.clone(), group.clone(), resource.clone()));
                }
            }
        }
    }
    assert!(!granted.is_empty(), "the role grants nothing");
    granted
}

/// Makes the operator do each thing that it can: make, record, adopt, refresh, drain, scale, delete a pod
/// by name, and delete what is beyond the history.
async fn use_everything(world: &World) {
    let app = App::graceful("app")
        .replicas(2)
        .spec("/revisionHistoryLimit", json!(0));
    world.create::<GracefulDeployment>(app.object()).await;
    world.create::<Service>(app.service()).await;
    world.complete("app", SOON).await;
    adopt(world).await;
    refresh(world).await;
    delete_by_name(world, &app).await;
    let fast = json!({"spec": {"minReadySeconds": 0, "drain": {"minSeconds": 0}}});
    world.patch::<GracefulDeployment>("app", fast).await;
    world.complete("app", SOON).await;
    until_one_set(world).await;
}

/// A ReplicaSet without pods and without a controller, beyond the history once it is adopted.
async fn adopt(world: &World) {
    let labels = json!({"app": "app", "orphan": "1"});
    world
        .create::<ReplicaSet>(json!({
            "metadata": {"name": "orphan", "labels": labels},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "app", "image": "none"}]},
                },
            },
        }))
        .await;
    until_one_set(world).await;
}

async fn until_one_set(world: &World) {
    world
        .until("other ReplicaSets are deleted", SOON, async || {
            let sets = world.api::<ReplicaSet>().list(&ListParams::default()).await;
            match sets.expect("ReplicaSets").items.len() {
                1 => Ok(()),
                sets => Err(format!("{sets} ReplicaSets")),
            }
        })
        .await;
}

/// What is injected changes, and no pod is replaced for it.
async fn refresh(world: &World) {
    let shutdown = json!({"spec": {"shutdown": {"timeoutSeconds": 6}}});
    world.patch::<GracefulDeployment>("app", shutdown).await;
    world
        .until("the ReplicaSet is refreshed", SOON, async || {
            let status = world.graceful("app").await.status.unwrap_or_default();
            match status.outdated_replicas {
                2 => Ok(()),
                outdated => Err(format!("{outdated} outdated")),
            }
        })
        .await;
}

/// The first pod drains for long; beside it the second is to be deleted while it is ready, and a
/// ReplicaSet takes a pod that is not ready first.
async fn delete_by_name(world: &World, app: &App) {
    let audit = Audit::of_cluster();
    let mark = audit.mark();
    let slow = json!({"spec": {"minReadySeconds": 10, "drain": {"minSeconds": 120}}});
    world.patch::<GracefulDeployment>("app", slow).await;
    world.complete("app", SOON).await;
    let change = app.change(2);
    world.patch::<GracefulDeployment>("app", change).await;
    let drains = async || {
        let object = world.graceful("app").await;
        object.status.unwrap_or_default().drains
    };
    world
        .until(
            "the first pod is asked to drain",
            SOON,
            async || match drains().await {
                drains if drains.len() == 1 => Ok(()),
                drains => Err(format!("{drains:?}")),
            },
        )
        .await;
    let other_way = json!({"spec": {"drain": {"withdraw": "Termination"}}});
    world.patch::<GracefulDeployment>("app", other_way).await;
    world
        .until("a pod is deleted by name", SOON, async || {
            let requests = audit.since(Some(mark));
            let is_deleted = requests.iter().any(|request| {
                request.is_operators() && request.verb == "delete" && request.resource() == "pods"
            });
            match drains().await {
                _ if is_deleted => Ok(()),
                drains => Err(format!("{drains:?}")),
            }
        })
        .await;
}
