//! The store of one kind, and what its objects are found by: what a look at one GracefulDeployment takes must not grow
//! with the number of all others.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, Lookup, ObjectRef, Store};
use kube::runtime::watcher::Event;

use super::keys::Id;

/// What is kept of an object.
pub(in crate::operator) trait Marked:
    Lookup<DynamicType = ()> + Clone + Debug + Send + Sync + 'static
{
    /// What it is found by. Two that have nothing to do with each other may share one: who looks for one thing says
    /// again what it is.
    fn marks(&self) -> Vec<Id>;
}

/// What was last seen of one kind. Clones share it.
#[derive(Clone)]
pub(in crate::operator) struct Cache<S: Marked> {
    store: Store<S>,
    /// The objects of the store by their marks.
    marked: Arc<RwLock<HashMap<Id, Vec<Arc<S>>>>>,
}

/// The one way to fill a cache.
pub(in crate::operator) struct Filler<S: Marked> {
    writer: Writer<S>,
    cache: Cache<S>,
}

/// An empty cache, and what fills it.
pub(in crate::operator) fn cache<S: Marked>() -> (Cache<S>, Filler<S>) {
    let (store, writer) = reflector::store();
    let marked = Arc::default();
    let cache = Cache { store, marked };
    let filler = Filler {
        writer,
        cache: cache.clone(),
    };
    (cache, filler)
}

impl<S: Marked> Cache<S> {
    /// As kube's controllers read it.
    pub(in crate::operator) fn store(&self) -> &Store<S> {
        &self.store
    }

    pub(in crate::operator) fn get(&self, place: &ObjectRef<S>) -> Option<Arc<S>> {
        self.store.get(place)
    }

    /// Those of one namespace that have one of the marks and are wanted, by name, so that what is the same is seen the
    /// same: a store has an order of its own in each process.
    pub(super) fn find(
        &self,
        marks: impl IntoIterator<Item = Id>,
        is_wanted: impl Fn(&S) -> bool,
    ) -> Vec<Arc<S>> {
        let marked = self.marked.read().unwrap_or_else(PoisonError::into_inner);
        let candidates = marks.into_iter().filter_map(|mark| marked.get(&mark));
        let wanted = candidates.flatten().filter(|one| is_wanted(one));
        let mut found: Vec<_> = wanted.cloned().collect();
        found.sort_unstable_by(|a, b| a.name().cmp(&b.name()));
        found.dedup_by(|a, b| a.name() == b.name());
        found
    }
}

impl<S: Marked> Filler<S> {
    pub(in crate::operator) fn cache(&self) -> &Cache<S> {
        &self.cache
    }

    pub(in crate::operator) fn apply(&mut self, event: &Event<S>) {
        let place = match event {
            Event::Apply(object) | Event::Delete(object) => Some(object.to_object_ref(())),
            Event::Init | Event::InitApply(_) | Event::InitDone => None,
        };
        let before = place.as_ref().and_then(|place| self.cache.get(place));
        self.writer.apply_watcher_event(event);
        let now = place.as_ref().and_then(|place| self.cache.get(place));
        let marked = self.cache.marked.write();
        let mut marked = marked.unwrap_or_else(PoisonError::into_inner);
        if matches!(event, Event::InitDone) {
            // What the list did not name is gone.
            marked.clear();
            for object in self.cache.store.state() {
                add(&mut marked, &object);
            }
        }
        if let Some(before) = before {
            remove(&mut marked, &before);
        }
        if let Some(now) = now {
            add(&mut marked, &now);
        }
    }
}

fn add<S: Marked>(marked: &mut HashMap<Id, Vec<Arc<S>>>, object: &Arc<S>) {
    for mark in object.marks() {
        // One more is the usual case: room for four would be most of what an index takes.
        let all = marked.entry(mark).or_default();
        all.reserve_exact(1);
        all.push(object.clone());
    }
}

fn remove<S: Marked>(marked: &mut HashMap<Id, Vec<Arc<S>>>, object: &Arc<S>) {
    for mark in object.marks() {
        let Some(all) = marked.get_mut(&mark) else {
            continue;
        };
        all.retain(|one| !Arc::ptr_eq(one, object));
        if all.is_empty() {
            marked.remove(&mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    /// An object that says itself what it is found by.
    #[derive(Clone, Debug)]
    struct Thing {
        name: &'static str,
        owners: Vec<&'static str>,
    }

    fn mark(owner: &str) -> Id {
        Id::within(None, &[owner])
    }

    impl Marked for Thing {
        fn marks(&self) -> Vec<Id> {
            self.owners.iter().map(|owner| mark(owner)).collect()
        }
    }

    impl Lookup for Thing {
        type DynamicType = ();

        fn kind((): &()) -> Cow<'_, str> {
            "Thing".into()
        }

        fn group((): &()) -> Cow<'_, str> {
            "".into()
        }

        fn version((): &()) -> Cow<'_, str> {
            "v1".into()
        }

        fn plural((): &()) -> Cow<'_, str> {
            "things".into()
        }

        fn name(&self) -> Option<Cow<'_, str>> {
            Some(self.name.into())
        }

        fn namespace(&self) -> Option<Cow<'_, str>> {
            None
        }

        fn resource_version(&self) -> Option<Cow<'_, str>> {
            None
        }

        fn uid(&self) -> Option<Cow<'_, str>> {
            None
        }
    }

    const OWNERS: [&str; 3] = ["a", "b", "c"];

    fn thing() -> impl Strategy<Value = Thing> {
        let name = prop::sample::select(vec!["1", "2", "3", "4"]);
        let owners = prop::sample::subsequence(OWNERS.to_vec(), 0..=OWNERS.len());
        (name, owners).prop_map(|(name, owners)| Thing { name, owners })
    }

    fn event() -> impl Strategy<Value = Event<Thing>> {
        prop_oneof![
            4 => thing().prop_map(Event::Apply),
            2 => thing().prop_map(Event::Delete),
            1 => Just(Event::Init),
            3 => thing().prop_map(Event::InitApply),
            1 => Just(Event::InitDone),
        ]
    }

    proptest! {
        /// Whatever a watch tells: what is found by marks is what a look at every object finds, by name.
        #[test]
        fn what_is_found_is_what_the_store_has(
            events in prop::collection::vec(event(), 0..40),
            wanted in prop::sample::subsequence(OWNERS.to_vec(), 0..=OWNERS.len()),
        ) {
            let (cache, mut filler) = cache();
            for event in &events {
                filler.apply(event);
            }
            let found = cache.find(wanted.iter().map(|owner| mark(owner)), |_| true);
            let found: Vec<_> = found.iter().map(|thing| thing.name).collect();
            let is_meant = |thing: &Thing| thing.owners.iter().any(|owner| wanted.contains(owner));
            let all = cache.store().state_filter(is_meant);
            let mut all: Vec<_> = all.iter().map(|thing| thing.name).collect();
            all.sort_unstable();
            prop_assert_eq!(found, all);
        }

        /// Nothing is kept that the store has no more.
        #[test]
        fn what_is_gone_leaves_nothing(things in prop::collection::vec(thing(), 0..20)) {
            let (cache, mut filler) = cache();
            for thing in &things {
                filler.apply(&Event::Apply(thing.clone()));
            }
            for thing in &things {
                filler.apply(&Event::Delete(thing.clone()));
            }
            prop_assert!(cache.marked.read().unwrap().is_empty());
        }
    }
}
