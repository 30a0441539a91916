//! The operators of the cluster, which all tests share: who leads, where they run, and how one is stopped. Tests that stop
//! one run alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{GLANCE, World};
use crate::process;

/// As the chart has it: one leads and one stands by.
pub(crate) const OPERATORS: i32 = 2;

/// Labels that their pods have, and the pods of the chart's hooks do not.
const ITS_PODS: &str = "app.kubernetes.io/name=graceful-operator,pod-template-hash";

/// Their Deployment, their pods and their Lease.
pub(crate) struct Operator {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    leases: Api<Lease>,
}

impl Operator {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            deployments: Api::namespaced(world.client.clone(), "graceful-system"),
            pods: Api::namespaced(world.client.clone(), "graceful-system"),
            leases: Api::namespaced(world.client.clone(), "graceful-system"),
        }
    }

    /// Process ID of the one that leads, once one does.
    pub(crate) async fn leader(&self) -> u32 {
        let began = Instant::now();
        loop {
            let holder = self.holder().await;
            let pod = holder.rsplit_once('_').map(|(pod, _)| pod.to_owned());
            let all = process::find("graceful-operator").into_iter();
            let mut its = all.filter(|pid| process::hostname(*pid) == pod);
            if let (Some(_), Some(leader)) = (&pod, its.next()) {
                return leader;
            }
            let waited = began.elapsed();
            assert!(
                waited < Duration::from_secs(90),
                "{holder:?} leads and does not run"
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Who leads; empty where nobody does.
    async fn holder(&self) -> String {
        let lease = self.leases.get("graceful-operator").await.expect("a Lease");
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        holder.unwrap_or_default()
    }

    /// Name of the pod of the one that leads, once one does.
    pub(crate) async fn leading_pod(&self) -> String {
        process::hostname(self.leader().await).expect("the leader runs")
    }

    /// On which node each of them is, by the pod's name, those left out that are on their way out.
    pub(crate) async fn placed(&self) -> BTreeMap<String, String> {
        let selector = ListParams::default().labels(ITS_PODS);
        let pods = self.pods.list(&selector).await.expect("pods").items;
        let stay = pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        stay.filter_map(|pod| Some((pod.name_any(), pod.spec?.node_name?)))
            .collect()
    }

    /// Sends a signal to the one that leads, and returns after how many seconds another does. The kubelet
    /// starts it again.
    pub(crate) async fn take_over_after(&self, signal: &str) -> f64 {
        let leader = self.leader().await;
        self.take_over(async || process::signal(leader, signal))
            .await
    }

    /// Deletes the pod of the one that leads, and returns after how many seconds another does.
    pub(crate) async fn take_over_after_deletion(&self) -> f64 {
        let leader = self.leading_pod().await;
        self.take_over(async || {
            let deleted = self.pods.delete(&leader, &DeleteParams::default()).await;
            deleted.expect("deleted");
        })
        .await
    }

    /// Ends the one that leads as it is told, and returns after how many seconds another does.
    pub(crate) async fn take_over(&self, end: impl AsyncFnOnce()) -> f64 {
        let before = self.holder().await;
        let began = Instant::now();
        end().await;
        loop {
            let now = self.holder().await;
            if !now.is_empty() && now != before {
                return began.elapsed().as_secs_f64();
            }
            let waited = began.elapsed();
            assert!(
                waited < Duration::from_secs(90),
                "{now:?} leads after {before}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs that many of it, and waits until that is so.
    pub(crate) async fn scale(&self, replicas: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments
            .patch("graceful-operator", &PatchParams::default(), &patch)
            .await
            .expect("scaled");
        let began = Instant::now();
        loop {
            let status = self
                .deployments
                .get("graceful-operator")
                .await
                .expect("it")
                .status
                .unwrap_or_default();
            let running = process::find("graceful-operator").len();
            if status.ready_replicas.unwrap_or(0) == replicas
                && i32::try_from(running) == Ok(replicas)
            {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "{running} operators run: {status:?}"
            );
            tokio::time::sleep(GLANCE).await;
        }
    }
}
