//! What is kept of objects as a real API server tells of them, with all that a kubelet and controllers write.

use serde_json::Value;

use super::folded::Folded;
use super::*;
use crate::operator::prune::{self, Prune};

/// Caches that know the ReplicaSet of the pod.
fn caches() -> Caches {
    let (replica_sets, mut filler) = cache();
    let set: ReplicaSet = serde_json::from_str(REPLICA_SET).unwrap();
    let told = kube::runtime::watcher::Event::Apply(set);
    filler.apply(&kept(&told));
    Caches {
        objects: cache().0,
        replica_sets,
        pods: cache().0,
        services: cache().0,
        endpoint_slices: cache().0,
        controller_revisions: cache().0,
        endings: Endings::default(),
    }
}

const POD: &str = include_str!("../../../tests/fixtures/kept/pod.json");
const REPLICA_SET: &str = include_str!("../../../tests/fixtures/kept/replica-set.json");
const SERVICE: &str = include_str!("../../../tests/fixtures/kept/service.json");
const ENDPOINT_SLICE: &str = include_str!("../../../tests/fixtures/kept/endpoint-slice.json");
const RECORD: &str = include_str!("../../../tests/fixtures/kept/controller-revision.json");
const OBJECT: &str = include_str!("../../../tests/fixtures/kept/object.json");

/// Bytes that are kept of the object, which is read again as it was pruned.
fn bytes<K: Packed + PartialEq>(text: &str, prune: Prune<K>) -> usize {
    let mut object: K = serde_json::from_str(text).unwrap();
    assert!(prune(&mut object, &caches()));
    let kept = Kept::of(&object);
    assert!(kept.open().as_ref() == Some(&object), "{kept:?}");
    kept.size()
}

/// Five thousand pods and their thousand objects are to fit into 64 MiB with all else that a process needs.
#[test]
fn little_is_kept_of_each_object() {
    let kept = [
        ("a pod", bytes(POD, prune::pod), 2100),
        ("a ReplicaSet", bytes(REPLICA_SET, prune::replica_set), 1900),
        ("a Service", bytes(SERVICE, prune::service), 600),
        (
            "an EndpointSlice",
            bytes(ENDPOINT_SLICE, prune::endpoint_slice),
            2000,
        ),
        ("a record", record(), 700),
    ];
    let above: Vec<_> = kept
        .iter()
        .filter(|(_, bytes, most)| bytes > most)
        .collect();
    assert!(above.is_empty(), "{kept:?}");
}

fn record() -> usize {
    let mut record: PartialObjectMeta<ControllerRevision> = serde_json::from_str(RECORD).unwrap();
    assert!(prune::controller_revision(&mut record, &caches()));
    let kept = Kept::of(&record);
    assert_eq!(kept.open().unwrap().metadata, record.metadata);
    kept.size()
}

#[test]
fn an_objects_template_is_text_until_it_is_wanted() {
    let object: GracefulDeployment = serde_json::from_str(OBJECT).unwrap();
    let folded: Folded = serde_json::from_str(OBJECT).unwrap();
    assert_eq!(folded.bare().spec.template, Value::Null);
    assert_eq!(folded.bare().status, object.status);
    assert_eq!(folded.unfold().unwrap(), object);
}
