//! The watches: each fills one store and names the GracefulDeployments that a change concerns.
//! Decides nothing; an object that cannot be read stops no other.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use futures::stream::BoxStream;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use super::adoption::Adoption;
use super::caches::{Caches, Filler, Guarded, Id, Keep, Kept, cache, kept, place};
use super::endings::Endings;
use super::preflight;
use super::prune::{self, Prune, controller, is_object};
use super::scopes;
use super::strays::{self, Found, Strays};
use crate::api::{ADOPTED, POD_TEMPLATE_HASH};

/// Objects of one page of a list. Small, because a page is decoded whole before it is pruned: with
/// 500 pods of 10 kB each the heap would grow by more than the operator needs ever after.
const PAGE: u32 = 50;

/// Seconds of one watch request. A connection that died silently is noticed 5 s after that.
const WATCH_SECONDS: u32 = 60;

/// What each watch waits for, until all of them have seen everything once.
#[derive(Clone, Debug, Default)]
pub(super) struct Sync(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Sync {
    /// What the watches still wait for, in words; empty when the caches are complete.
    pub(super) fn awaits(&self) -> Vec<String> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits
            .iter()
            .map(|(kind, why)| format!("{kind}: {why}"))
            .collect()
    }

    pub(super) fn wait(&self, kind: &'static str, why: String) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(kind, why);
    }

    /// A watch that has seen everything once and fails later does not make the caches incomplete.
    fn note(&self, kind: &'static str, why: &str) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = waits.get_mut(kind) {
            why.clone_into(wait);
        }
    }

    pub(super) fn done(&self, kind: &'static str) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waits.remove(kind);
    }
}

/// Where changes go: the names of the objects that they concern.
pub(super) type Queue = UnboundedSender<ObjectRef<Guarded>>;

/// The events of one kind.
pub type Watch<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// The events of every kind that is watched.
#[expect(missing_docs, reason = "each is named after its kind")]
pub struct Watches {
    pub objects: Watch<Guarded>,
    pub replica_sets: Watch<ReplicaSet>,
    pub pods: Watch<Pod>,
    pub services: Watch<Service>,
    pub endpoint_slices: Watch<EndpointSlice>,
    pub controller_revisions: Watch<PartialObjectMeta<ControllerRevision>>,
}

impl Watches {
    /// The watches of a cluster, or of these namespaces of it.
    pub(super) fn open(client: &Client, namespaces: &[String], adoption: &Adoption) -> Self {
        let all = Config::default().page_size(PAGE).timeout(WATCH_SECONDS);
        // Ours all have the label, and so have those of every Deployment: no label tells them apart.
        let labelled = all.clone().labels(POD_TEMPLATE_HASH);
        let (pods, any) = ((client.clone(), namespaces.to_vec()), all.clone());
        let pods = move |is_wide: bool| {
            let config = if is_wide { &any } else { &labelled };
            watch(&pods.0, &pods.1, config)
        };
        Self {
            objects: watch(client, namespaces, &all),
            replica_sets: watch(client, namespaces, &all),
            pods: adoption.follow(pods),
            services: watch(client, namespaces, &all),
            endpoint_slices: watch(client, namespaces, &all),
            controller_revisions: watch(client, namespaces, &all),
        }
    }
}

/// Everywhere, or in these namespaces. Each waits by itself after an error, so that one that is forbidden
/// holds up no other.
fn watch<K>(client: &Client, namespaces: &[String], config: &Config) -> Watch<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + std::marker::Sync + 'static,
{
    let open = |api| watcher(api, config.clone()).default_backoff().boxed();
    let scope = |namespace: &String| {
        let api = Api::namespaced(client.clone(), namespace);
        (namespace.clone(), open(api))
    };
    match namespaces {
        [] => open(Api::all(client.clone())),
        [one] => scope(one).1,
        several => scopes::merge(several.iter().map(scope).collect()),
    }
}

/// Follows every watch. Returns what they fill, and the pods that may be nobody's.
pub(super) fn start(
    watches: Watches,
    sync: &Sync,
    queue: &Queue,
    adoption: Adoption,
) -> (Caches, Found) {
    let (objects, objects_filler) = cache();
    let (replica_sets, replica_sets_filler) = cache();
    let (pods, pods_filler) = cache();
    let (services, services_filler) = cache();
    let (endpoint_slices, endpoint_slices_filler) = cache();
    let (controller_revisions, controller_revisions_filler) = cache();
    let caches = Caches {
        objects,
        replica_sets,
        pods,
        services,
        endpoint_slices,
        controller_revisions,
        endings: Endings::default(),
    };
    let (strays, found) = strays::channel();
    let follow = Follow {
        caches: caches.clone(),
        sync: sync.clone(),
        queue: queue.clone(),
        adoption,
        strays,
    };
    follow.spawn(OBJECTS, watches.objects, objects_filler);
    follow.spawn(REPLICA_SETS, watches.replica_sets, replica_sets_filler);
    follow.spawn(PODS, watches.pods, pods_filler);
    follow.spawn(SERVICES, watches.services, services_filler);
    follow.spawn(
        ENDPOINT_SLICES,
        watches.endpoint_slices,
        endpoint_slices_filler,
    );
    follow.spawn(
        CONTROLLER_REVISIONS,
        watches.controller_revisions,
        controller_revisions_filler,
    );
    (caches, found)
}

const OBJECTS: Kind<Guarded> = Kind {
    name: "GracefulDeployments",
    prune: prune::object,
    is_same: |_, _| false,
    concerns: |_, object| vec![ObjectRef::from_obj(object)],
    then: |_, _, _| {},
};

const REPLICA_SETS: Kind<ReplicaSet> = Kind {
    name: "ReplicaSets",
    prune: prune::replica_set,
    is_same: |_, _| false,
    concerns: Caches::claimants,
    then: Follow::note_replica_set,
};

const PODS: Kind<Pod> = Kind {
    name: "Pods",
    prune: prune::pod,
    is_same: |_, _| false,
    concerns: |caches, pod| caches.owner_of(pod).into_iter().collect(),
    then: Follow::note_pod,
};

const SERVICES: Kind<Service> = Kind {
    name: "Services",
    prune: prune::service,
    is_same: Kept::is_same,
    concerns: |caches, service| caches.neighbours(service.namespace.as_deref()),
    then: |_, _, _| {},
};

const ENDPOINT_SLICES: Kind<EndpointSlice> = Kind {
    name: "EndpointSlices",
    prune: prune::endpoint_slice,
    is_same: Kept::is_same,
    concerns: Caches::named_by,
    then: |_, _, _| {},
};

const CONTROLLER_REVISIONS: Kind<PartialObjectMeta<ControllerRevision>> = Kind {
    name: "ControllerRevisions",
    prune: prune::controller_revision,
    is_same: |old, new| old.key == new.key,
    concerns: |caches, record| caches.owner_of_record(record).into_iter().collect(),
    then: |_, _, _| {},
};

/// What is particular to the watch of one kind.
struct Kind<K: Keep> {
    name: &'static str,
    prune: Prune<K>,
    /// A change from one to the other means nothing to any decision.
    is_same: fn(&K::Kept, &K::Kept) -> bool,
    concerns: fn(&Caches, &K::Kept) -> Vec<ObjectRef<Guarded>>,
    /// What follows from an event besides a look at what it concerns, given what was known before.
    then: fn(&Follow, &Event<K>, Option<&K::Kept>),
}

#[derive(Clone)]
struct Follow {
    caches: Caches,
    sync: Sync,
    queue: Queue,
    adoption: Adoption,
    strays: Strays,
}

impl Follow {
    fn spawn<K: Keep>(&self, kind: Kind<K>, stream: Watch<K>, filler: Filler<K::Kept>) {
        self.sync.wait(kind.name, "not listed yet".into());
        tokio::spawn(self.clone().run(kind, stream, filler));
    }

    async fn run<K: Keep>(self, kind: Kind<K>, stream: Watch<K>, mut filler: Filler<K::Kept>) {
        if kind.name == PODS.name {
            self.adoption.begun().await;
        }
        let cache = filler.cache().clone();
        let mut stream = pin!(stream);
        while let Some(event) = stream.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.complain(kind.name, &error);
                    continue;
                }
            };
            let Some(event) = pruned(event, kind.prune, &self.caches) else {
                continue;
            };
            let before = match &event {
                Event::Apply(new) | Event::InitApply(new) | Event::Delete(new) => {
                    cache.get(&place(new.meta()))
                }
                _ => None,
            };
            let before = before.as_deref();
            let kept = kept(&event);
            let concerned = self.concerned(&kind, before, &kept);
            filler.apply(&kept);
            if matches!(event, Event::InitDone) {
                self.sync.done(kind.name);
                // What vanished while nobody watched is named by no event.
                for object in self.caches.objects.store().state() {
                    self.tell(ObjectRef::from_obj(object.as_ref()));
                }
            }
            for object in concerned {
                self.tell(object);
            }
            (kind.then)(&self, &event, before);
        }
    }

    /// Looks for adopted ReplicaSets, and for marks on the pods of those that are ours no longer. Pods of
    /// one that was deleted are the garbage collector's.
    fn note_replica_set(&self, event: &Event<ReplicaSet>, before: Option<&Kept<ReplicaSet>>) {
        let set = match event {
            Event::InitDone => return self.adoption.begin(&self.caches),
            Event::Apply(set) | Event::Delete(set) => set,
            Event::Init | Event::InitApply(_) => return,
        };
        if set.annotations().contains_key(ADOPTED) {
            self.adoption.heed(&self.caches);
        }
        let was_ours = before
            .and_then(|set| set.key.owner.as_ref())
            .is_some_and(|owner| owner.is_object);
        if was_ours && !controller(&set.metadata).is_some_and(is_object) {
            self.strays.search(&self.caches);
        }
    }

    /// Looks for marks on pods that are nobody's, once it is known whose they are, and notes pods that
    /// are gone.
    fn note_pod(&self, event: &Event<Pod>, before: Option<&Kept<Pod>>) {
        match event {
            Event::InitDone => self.strays.search(&self.caches),
            Event::Apply(pod) => self.strays.consider(pod, &self.caches),
            Event::Init | Event::InitApply(_) | Event::Delete(_) => {}
        }
        if let (Event::Apply(now) | Event::InitApply(now) | Event::Delete(now), Some(before)) =
            (event, before)
            && before.key.id == Id::of_object(&now.metadata)
        {
            let owner = self.caches.owner_of(before);
            let is_deleted = matches!(event, Event::Delete(_));
            let endings = &self.caches.endings;
            endings.note(owner, now, (before.key.has_ended, is_deleted));
        }
    }

    fn concerned<K: Keep>(
        &self,
        kind: &Kind<K>,
        before: Option<&K::Kept>,
        event: &Event<K::Kept>,
    ) -> Vec<ObjectRef<Guarded>> {
        let (Event::Apply(new) | Event::Delete(new)) = event else {
            return Vec::new();
        };
        let is_deletion = matches!(event, Event::Delete(_));
        match before {
            Some(old) if !is_deletion && (kind.is_same)(old, new) => return Vec::new(),
            // What the old one named may be what the new one no longer does.
            Some(old) => {
                for object in (kind.concerns)(&self.caches, old) {
                    self.tell(object);
                }
            }
            None => {}
        }
        (kind.concerns)(&self.caches, new)
    }

    fn tell(&self, object: ObjectRef<Guarded>) {
        // The receiver is gone only on shutdown.
        let _ = self.queue.unbounded_send(object);
    }

    fn complain(&self, kind: &'static str, error: &watcher::Error) {
        let why = preflight::watch_in_words(kind, error);
        if let watcher::Error::WatchError(status) = error
            && status.code == GONE
        {
            return debug!(kind, error = why, "watch begins anew");
        }
        self.sync.note(kind, &why);
        warn!(kind, error = why, "watch failed and is tried again");
    }
}

/// The version that a watch wants to go on from is forgotten: an everyday matter.
const GONE: u16 = 410;

/// What is kept of an event; an object that is kept no longer is as good as deleted.
fn pruned<K>(event: Event<K>, prune: Prune<K>, caches: &Caches) -> Option<Event<K>> {
    match event {
        Event::Apply(mut object) => Some(if prune(&mut object, caches) {
            Event::Apply(object)
        } else {
            Event::Delete(object)
        }),
        Event::InitApply(mut object) => {
            prune(&mut object, caches).then_some(Event::InitApply(object))
        }
        Event::Delete(mut object) => {
            prune(&mut object, caches);
            Some(Event::Delete(object))
        }
        marker @ (Event::Init | Event::InitDone) => Some(marker),
    }
}
