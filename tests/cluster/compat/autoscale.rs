//! A HorizontalPodAutoscaler on the scale subresource: the real one of the controller-manager scales by it, and
//! what it reads there does not move with a rollout or a drain (kubernetes/kubernetes#72775). What it does with
//! metrics is in behaviour/autoscaled.rs.

use std::collections::BTreeSet;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::run;
use crate::standin::orders::Manner;
use crate::world::trail::{Now, is_draining, is_ready};
use crate::world::{Graceful, WEB};

/// R32: without any metric; fewer than the least is enough of a reason.
#[test]
fn autoscaler_that_kubectl_makes_scales_it() {
    crate::world::run::<Graceful, _>("autoscaler", |world| async move {
        world.create_complete(1, json!({})).await;
        let object = format!("gd/{WEB}");
        let namespace = ["--namespace", world.namespace.as_str()];
        let autoscale = ["autoscale", &object, "--min=2", "--max=4", "--cpu=50%"];
        run("kubectl", &[&autoscale[..], &namespace].concat())
            .await
            .good();
        let wants = |now: &Now| {
            let object = now.object.as_ref();
            object.is_some_and(|object| object["spec"]["replicas"] == 2)
        };
        world.until("the autoscaler scales", wants).await;
        let view = world.complete().await;
        assert_eq!(view.available, 2);
        let able = [
            "wait",
            "hpa/web",
            "--for=condition=AbleToScale",
            "--timeout=60s",
        ];
        run("kubectl", &[&able[..], &namespace].concat())
            .await
            .good();
        let scalers: Api<HorizontalPodAutoscaler> = world.api();
        let scaler = scalers.get(WEB).await.expect("the autoscaler");
        let target = scaler.spec.expect("a spec").scale_target_ref;
        assert_eq!(
            (target.kind.as_str(), target.name.as_str()),
            ("GracefulDeployment", WEB)
        );
    });
}

/// R32: with twice as many pods as wanted, half of them draining, it reads the wanted number, and finds
/// the pods that are to stay.
#[test]
fn rollout_and_drains_do_not_feed_back_into_an_autoscaler() {
    crate::world::run::<Graceful, _>("feedback", |world| async move {
        let bounds = json!({"maxSurge": 4, "maxUnavailable": 0});
        let spec = json!({"strategy": {"rollingUpdate": bounds}});
        world.create_complete(4, spec).await;
        world.order("web:1", Manner::busy());
        let begun = world
            .trail
            .changes()
            .last()
            .map_or(0, |change| change.version);
        world.set_image("web:2").await;
        let is_withdrawn = |now: &Now| {
            let leaving = now
                .pods
                .values()
                .filter(|pod| is_draining(pod) && !is_ready(pod));
            now.pods.len() == 8 && leaving.count() == 4
        };
        world.until("four of eight pods drain", is_withdrawn).await;
        let scale = world.objects().get_scale(WEB).await.expect("the scale");
        let status = scale.status.expect("a status");
        let selector = status.selector.expect("a selector");
        let pods: Api<Pod> = world.api();
        let found = pods
            .list(&ListParams::default().labels(&selector))
            .await
            .expect("pods");
        let found: BTreeSet<_> = found.iter().map(ResourceExt::name_any).collect();
        let staying: BTreeSet<_> = world
            .trail
            .now()
            .pods
            .iter()
            .filter(|(_, pod)| !is_draining(pod))
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!((status.replicas, found.len()), (4, 4));
        assert_eq!(found, staying);
        world.order("web:1", Manner::default());
        world.complete().await;
        for (version, now) in world.trail.states() {
            let Some(object) = now.object.filter(|_| version > begun) else {
                continue;
            };
            assert_eq!(object["status"]["scaledReplicas"], 4, "at {version}");
        }
    });
}
