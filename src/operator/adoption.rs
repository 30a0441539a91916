//! The watch of pods begins again when a ReplicaSet was adopted whose pods were not kept before: of pods
//! without our injection only those of ReplicaSets of ours are. Decides nothing on them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch::{Receiver, Sender};
use tracing::debug;

use super::caches::{Caches, Id};
use super::watch::Watch;

/// What the watch of pods has to reckon with.
#[derive(Clone, Debug, Default)]
pub(super) struct Adoption {
    /// The adopted ReplicaSets whose pods are kept.
    known: Arc<Mutex<BTreeSet<Id>>>,
    /// Whether all pods are watched, and not those with the label alone; each change makes the watch
    /// begin again.
    is_wide: Arc<Sender<bool>>,
    /// All ReplicaSets have been seen once.
    are_listed: Arc<Sender<bool>>,
}

impl Adoption {
    /// ReplicaSets are listed. Said here because a store wakes but one of those who wait for it.
    pub(super) fn begin(&self, caches: &Caches) {
        self.heed(caches);
        self.are_listed.send_replace(true);
    }

    /// Resolves when ReplicaSets are listed: it depends on them which pods are kept.
    pub(super) async fn begun(&self) {
        // An error says that nobody is left to list them.
        let _ = self.are_listed.subscribe().wait_for(|listed| *listed).await;
    }

    /// Looks for ReplicaSets that were adopted, by us or by an operator before. One that was released is
    /// forgotten: adopted again, it may have pods that were not kept meanwhile.
    pub(super) fn heed(&self, caches: &Caches) {
        let (adopted, is_wide) = caches.adopted();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = !adopted.is_subset(&known);
        *known = adopted;
        if is_news {
            self.is_wide.send_replace(is_wide);
        }
    }

    /// A watch of pods that begins again when it must; `open` opens it, for all pods or for those with
    /// the label alone.
    pub(super) fn follow(&self, open: impl Fn(bool) -> Watch<Pod> + Send + 'static) -> Watch<Pod> {
        let again = self.is_wide.subscribe();
        let begin = (open(false), again);
        stream::unfold(
            (begin, open),
            |((mut events, mut again), open)| async move {
                loop {
                    tokio::select! {
                        biased;
                        is_wide = changed(&mut again) => {
                            debug!(is_wide, "looks at all pods again, for those that were adopted");
                            events = open(is_wide);
                        }
                        event = events.next() => return Some((event?, ((events, again), open))),
                    }
                }
            },
        )
        .boxed()
    }
}

async fn changed(again: &mut Receiver<bool>) -> bool {
    if again.changed().await.is_err() {
        // Nobody is left who could adopt.
        std::future::pending::<()>().await;
    }
    *again.borrow_and_update()
}
