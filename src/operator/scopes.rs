//! The watches of several namespaces, told as one: a store that is filled by it begins once, is complete
//! when every namespace was listed, and never loses one namespace's objects because another one's watch
//! began anew. Decides nothing about objects, and keeps no more of them than their names.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::watch::Watch;

/// One watch out of those of the namespaces that are named beside each.
pub(super) fn merge<K>(watches: Vec<(String, Watch<K>)>) -> Watch<K>
where
    K: ResourceExt + DeserializeOwned + Send + 'static,
{
    let (names, watches): (Vec<_>, Vec<_>) = watches.into_iter().unzip();
    let mut scopes = Scopes::new(names);
    let numbered = watches
        .into_iter()
        .enumerate()
        .map(|(number, watch)| watch.map(move |event| (number, event)));
    stream::select_all(numbered.map(StreamExt::boxed))
        .map(move |(number, event)| match event {
            Ok(event) => scopes.take(number, event).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
        .flat_map(stream::iter)
        .boxed()
}

/// One namespace's watch.
struct Scope {
    namespace: String,
    known: BTreeSet<String>,
    /// The names of the list that is being told.
    listed: BTreeSet<String>,
    is_listed: bool,
}

struct Scopes<K> {
    each: Vec<Scope>,
    has_begun: bool,
    is_complete: bool,
    /// What came of namespaces that were listed while others were not: a store takes changes only after
    /// the list.
    held: Vec<Event<K>>,
}

impl<K: ResourceExt + DeserializeOwned> Scopes<K> {
    fn new(namespaces: Vec<String>) -> Self {
        let scope = |namespace| Scope {
            namespace,
            known: BTreeSet::new(),
            listed: BTreeSet::new(),
            is_listed: false,
        };
        Self {
            each: namespaces.into_iter().map(scope).collect(),
            has_begun: false,
            is_complete: false,
            held: Vec::new(),
        }
    }

    /// What one namespace's event is to the whole.
    fn take(&mut self, number: usize, event: Event<K>) -> Vec<Event<K>> {
        let Some(scope) = self.each.get_mut(number) else {
            return Vec::new();
        };
        let event = match event {
            Event::Init => {
                scope.listed.clear();
                let is_first = !std::mem::replace(&mut self.has_begun, true);
                return is_first.then_some(Event::Init).into_iter().collect();
            }
            Event::InitApply(object) => {
                scope.listed.insert(object.name_any());
                scope.known.insert(object.name_any());
                if !scope.is_listed {
                    return vec![Event::InitApply(object)];
                }
                vec![Event::Apply(object)]
            }
            Event::InitDone => scope.end_list(),
            Event::Apply(object) => {
                scope.known.insert(object.name_any());
                vec![Event::Apply(object)]
            }
            Event::Delete(object) => {
                scope.known.remove(&object.name_any());
                vec![Event::Delete(object)]
            }
        };
        if self.is_complete {
            return event;
        }
        self.held.extend(event);
        if !self.each.iter().all(|scope| scope.is_listed) {
            return Vec::new();
        }
        self.is_complete = true;
        let held = std::mem::take(&mut self.held);
        std::iter::once(Event::InitDone).chain(held).collect()
    }
}

impl Scope {
    /// What was known and is not in the list is gone.
    fn end_list<K: DeserializeOwned>(&mut self) -> Vec<Event<K>> {
        self.is_listed = true;
        let listed = std::mem::take(&mut self.listed);
        let known = std::mem::replace(&mut self.known, listed);
        let gone = known.difference(&self.known);
        gone.filter_map(|name| bare(&self.namespace, name))
            .map(Event::Delete)
            .collect()
    }
}

/// An object of which nothing is left but the name: enough for a store to find it.
fn bare<K: DeserializeOwned>(namespace: &str, name: &str) -> Option<K> {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}})).ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
    use k8s_openapi::api::core::v1::{Pod, Service};
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::core::PartialObjectMeta;
    use kube::runtime::reflector::{self, ObjectRef};

    use super::*;
    use crate::operator::caches::Guarded;

    fn pod(namespace: &str, name: &str) -> Pod {
        bare(namespace, name).unwrap()
    }

    /// A store that is filled by the merged events, as the operator's are.
    struct Filled {
        scopes: Scopes<Pod>,
        writer: reflector::store::Writer<Pod>,
    }

    impl Filled {
        fn new() -> Self {
            let (_, writer) = reflector::store();
            Self {
                scopes: Scopes::new(vec!["a".into(), "b".into()]),
                writer,
            }
        }

        fn take(&mut self, number: usize, events: impl IntoIterator<Item = Event<Pod>>) {
            for event in events {
                for event in self.scopes.take(number, event) {
                    self.writer.apply_watcher_event(&event);
                }
            }
        }

        fn list(&mut self, number: usize, namespace: &str, names: &[&str]) {
            let applied = names
                .iter()
                .map(|name| Event::InitApply(pod(namespace, name)));
            let list = std::iter::once(Event::Init).chain(applied);
            self.take(number, list.chain([Event::InitDone]).collect::<Vec<_>>());
        }

        fn names(&self) -> Vec<String> {
            let state = self.writer.as_reader().state();
            let mut names: Vec<_> = state
                .iter()
                .map(|pod| format!("{}/{}", pod.namespace().unwrap(), pod.name_any()))
                .collect();
            names.sort();
            names
        }

        fn is_complete(&self) -> bool {
            self.scopes.is_complete
        }
    }

    #[test]
    fn it_is_complete_when_every_namespace_was_listed() {
        let mut filled = Filled::new();
        filled.list(0, "a", &["1", "2"]);
        filled.take(
            0,
            [Event::Apply(pod("a", "3")), Event::Delete(pod("a", "1"))],
        );
        assert!(!filled.is_complete());
        assert_eq!(filled.names(), [""; 0]);
        filled.list(1, "b", &["1"]);
        assert!(filled.is_complete());
        assert_eq!(filled.names(), ["a/2", "a/3", "b/1"]);
    }

    #[test]
    fn watch_that_begins_anew_forgets_its_own_alone() {
        let mut filled = Filled::new();
        filled.list(0, "a", &["1", "2"]);
        filled.list(1, "b", &["1"]);
        filled.take(0, [Event::Init, Event::InitApply(pod("a", "2"))]);
        assert_eq!(filled.names(), ["a/1", "a/2", "b/1"]);
        filled.take(0, [Event::InitApply(pod("a", "4")), Event::InitDone]);
        assert_eq!(filled.names(), ["a/2", "a/4", "b/1"]);
    }

    #[test]
    fn list_that_broke_off_leaves_nothing_behind() {
        let mut filled = Filled::new();
        filled.take(0, [Event::Init, Event::InitApply(pod("a", "1"))]);
        filled.list(1, "b", &[]);
        filled.list(0, "a", &["2"]);
        assert_eq!(filled.names(), ["a/2"]);
    }

    #[test]
    fn every_kind_can_be_bare() {
        fn is_found<K: ResourceExt<DynamicType = ()> + DeserializeOwned>() {
            let object: K = bare("a", "b").unwrap();
            let found = ObjectRef::from_obj(&object);
            assert_eq!((found.namespace.as_deref(), &*found.name), (Some("a"), "b"));
        }
        is_found::<Guarded>();
        is_found::<ReplicaSet>();
        is_found::<Pod>();
        is_found::<Service>();
        is_found::<EndpointSlice>();
        is_found::<PartialObjectMeta<ControllerRevision>>();
    }
}
