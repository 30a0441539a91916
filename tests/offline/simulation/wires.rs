//! The operator's watches: what its caches hear, as kube's watcher would tell it.

use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use graceful::operator::{Guarded, Watches};
use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::informer::Reader;

type Told<K> = watcher::Result<watcher::Event<K>>;

/// The cluster's ends of the watches.
pub(super) struct Wires {
    objects: UnboundedSender<Told<Guarded>>,
    sets: UnboundedSender<Told<ReplicaSet>>,
    pods: UnboundedSender<Told<Pod>>,
    services: UnboundedSender<Told<Service>>,
    slices: UnboundedSender<Told<EndpointSlice>>,
    records: UnboundedSender<Told<PartialObjectMeta<ControllerRevision>>>,
}

impl Wires {
    pub(super) fn lay() -> (Self, Watches) {
        let (objects, objects_end) = unbounded();
        let (sets, sets_end) = unbounded();
        let (pods, pods_end) = unbounded();
        let (services, services_end) = unbounded();
        let (slices, slices_end) = unbounded();
        let (records, records_end) = unbounded();
        let watches = Watches {
            objects: stream(objects_end),
            replica_sets: stream(sets_end),
            pods: stream(pods_end),
            services: stream(services_end),
            endpoint_slices: stream(slices_end),
            controller_revisions: stream(records_end),
        };
        let wires = Self {
            objects,
            sets,
            pods,
            services,
            slices,
            records,
        };
        (wires, watches)
    }

    /// One object is as it is, or is gone.
    pub(super) fn send(&self, reader: Reader, object: &Value, exists: bool) {
        match reader {
            Reader::OperatorObjects => tell(&self.objects, object, exists),
            Reader::OperatorSets => tell(&self.sets, &slim(object), exists),
            Reader::OperatorPods => tell(&self.pods, object, exists),
            Reader::OperatorServices => tell(&self.services, object, exists),
            Reader::OperatorSlices => tell(&self.slices, object, exists),
            Reader::OperatorRecords => tell(&self.records, &metadata_of(object), exists),
            Reader::ControllerSets | Reader::ControllerPods | Reader::SlicePods => {}
        }
    }

    /// The watch begins with all that there is.
    pub(super) fn restart(&self, reader: Reader, all: &[Arc<Value>]) {
        match reader {
            Reader::OperatorObjects => begin(&self.objects, all),
            Reader::OperatorSets => begin(&self.sets, all),
            Reader::OperatorPods => begin(&self.pods, all),
            Reader::OperatorServices => begin(&self.services, all),
            Reader::OperatorSlices => begin(&self.slices, all),
            Reader::OperatorRecords => {
                let all: Vec<_> = all.iter().map(|one| Arc::new(metadata_of(one))).collect();
                begin(&self.records, &all);
            }
            Reader::ControllerSets | Reader::ControllerPods | Reader::SlicePods => {}
        }
    }
}

fn stream<K: Send + 'static>(end: UnboundedReceiver<Told<K>>) -> graceful::operator::Watch<K> {
    end.boxed()
}

fn metadata_of(object: &Value) -> Value {
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": object["metadata"],
    })
}

/// A ReplicaSet without its pods' spec, which the operator drops from its cache unread.
fn slim(set: &Value) -> Value {
    let mut set = set.clone();
    set["spec"]["template"]["spec"] = json!({"containers": []});
    set
}

fn read<K: DeserializeOwned>(object: &Value) -> K {
    K::deserialize(object).unwrap_or_else(|error| panic!("{error}: {object}"))
}

fn tell<K: DeserializeOwned>(wire: &UnboundedSender<Told<K>>, object: &Value, exists: bool) {
    let object = read(object);
    let event = if exists {
        watcher::Event::Apply(object)
    } else {
        watcher::Event::Delete(object)
    };
    // An operator that was killed reads no more.
    let _ = wire.unbounded_send(Ok(event));
}

fn begin<K: DeserializeOwned>(wire: &UnboundedSender<Told<K>>, all: &[Arc<Value>]) {
    let _ = wire.unbounded_send(Ok(watcher::Event::Init));
    for object in all {
        let _ = wire.unbounded_send(Ok(watcher::Event::InitApply(read(object))));
    }
    let _ = wire.unbounded_send(Ok(watcher::Event::InitDone));
}
