//! An object as a store keeps it: what it is found by among all others, and all that is left of it as JSON, which
//! takes a fifth of what the structs take. It is read anew for each look. What is dropped before is for `prune` to say.

use std::borrow::Cow;
use std::fmt::Debug;
use std::marker::PhantomData;

use kube::Resource;
use kube::core::ObjectMeta;
use kube::runtime::reflector::{Lookup, ObjectRef};
use kube::runtime::watcher::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

use super::cache::Marked;
use super::keys::Id;

/// A kind that is watched.
pub(in crate::operator) trait Keep:
    Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static
{
    /// What its store holds.
    type Kept: Marked;

    fn keep(&self) -> Self::Kept;
}

/// A kind that is kept as JSON.
pub(in crate::operator) trait Packed:
    Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// What is asked of all objects of the kind, one after the other: reading each would take too long.
    type Key: Clone + Debug + Send + Sync + 'static;

    fn key(&self) -> Self::Key;

    /// What one that is kept is found by.
    fn marks(kept: &Kept<Self>) -> Vec<Id>;
}

/// One object of such a kind.
#[derive(Clone, Debug)]
pub(in crate::operator) struct Kept<K: Packed> {
    pub(super) name: Box<str>,
    pub(in crate::operator) namespace: Option<Box<str>>,
    pub(in crate::operator) key: K::Key,
    json: Box<[u8]>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Packed> Kept<K> {
    pub(super) fn of(object: &K) -> Self {
        let metadata = object.meta();
        let json = serde_json::to_vec(object);
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            namespace: metadata.namespace.as_deref().map(Into::into),
            key: object.key(),
            json: json
                .inspect_err(|error| broken::<K>(metadata, error))
                .unwrap_or_default()
                .into(),
            kind: PhantomData,
        }
    }

    /// The object. `None` would be a fault of ours: what is read was written here.
    pub(in crate::operator) fn open(&self) -> Option<K> {
        let read = serde_json::from_slice(&self.json);
        let failed =
            |error: &_| error!(kind = %K::kind(&()), name = &*self.name, %error, UNREADABLE);
        read.inspect_err(failed).ok()
    }

    /// Nothing of it changed that is kept.
    pub(in crate::operator) fn is_same(&self, other: &Self) -> bool {
        self.json == other.json
    }

    /// Bytes that it takes, but for what its key points to.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        let names = self.name.len() + self.namespace.as_deref().map_or(0, str::len);
        size_of::<Self>() + names + self.json.len()
    }

    pub(super) fn is_in(&self, namespace: Option<&str>) -> bool {
        self.namespace.as_deref() == namespace
    }
}

const UNREADABLE: &str = "what is kept of an object cannot be read";

fn broken<K: Resource<DynamicType = ()>>(metadata: &ObjectMeta, error: &serde_json::Error) {
    let name = metadata.name.as_deref().unwrap_or_default();
    error!(kind = %K::kind(&()), name, %error, UNREADABLE);
}

impl<K: Packed> Keep for K {
    type Kept = Kept<K>;

    fn keep(&self) -> Kept<K> {
        Kept::of(self)
    }
}

impl<K: Packed> Marked for Kept<K> {
    fn marks(&self) -> Vec<Id> {
        K::marks(self)
    }
}

/// By name alone. Versions and UIDs are in the JSON, and would be twice in memory once more as a store's keys.
impl<K: Packed> Lookup for Kept<K> {
    type DynamicType = ();

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn name(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.name))
    }

    fn namespace(&self) -> Option<Cow<'_, str>> {
        self.namespace.as_deref().map(Cow::Borrowed)
    }

    fn resource_version(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn uid(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Where a store has the object.
pub(in crate::operator) fn place<S: Lookup<DynamicType = ()>>(
    metadata: &ObjectMeta,
) -> ObjectRef<S> {
    let place = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
    match metadata.namespace.as_deref() {
        Some(namespace) => place.within(namespace),
        None => place,
    }
}

/// The event as the store is told of it.
pub(in crate::operator) fn kept<K: Keep>(event: &Event<K>) -> Event<K::Kept> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(object.keep()),
        Event::InitApply(object) => Event::InitApply(object.keep()),
        Event::Delete(object) => Event::Delete(object.keep()),
    }
}
