//! Collects what changes for a moment, so that one look sees all of it: a pod turns ready, its
//! EndpointSlice says so, and its ReplicaSet counts it, within some milliseconds. An object waits from
//! its first change on, however many follow: one that never rests is looked at all the same.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::sleep;

/// Names each object of `changes` once, so long after its first change. Ends with `changes`.
pub(super) fn collect<K>(
    changes: impl Stream<Item = K> + Unpin,
    moment: Duration,
) -> impl Stream<Item = K>
where
    K: Clone + Eq + Hash,
{
    let state = (changes, HashSet::new(), FuturesUnordered::new());
    stream::unfold(
        state,
        move |(mut changes, mut waiting, mut moments)| async move {
            loop {
                tokio::select! {
                    biased;
                    change = changes.next() => {
                        let change = change?;
                        if waiting.insert(change.clone()) {
                            moments.push(sleep(moment).map(|()| change));
                        }
                    }
                    Some(ripe) = moments.next() => {
                        waiting.remove(&ripe);
                        return Some((ripe, (changes, waiting, moments)));
                    }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::channel::mpsc;
    use tokio::time::Instant;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn changes_of_one_moment_are_one_and_of_another_object_another() {
        let (sender, changes) = mpsc::unbounded();
        let mut collected = pin!(collect(changes, MOMENT));
        for change in ["a", "b", "a", "a"] {
            sender.unbounded_send(change).unwrap();
        }
        let began = Instant::now();
        let mut seen = [collected.next().await, collected.next().await];
        seen.sort_unstable();
        assert_eq!(seen, [Some("a"), Some("b")]);
        assert_eq!(began.elapsed(), MOMENT);
        let nothing = tokio::time::timeout(MOMENT * 9, collected.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_never_rests_is_looked_at_all_the_same() {
        let (sender, changes) = mpsc::unbounded();
        let restless = tokio::spawn(async move {
            while sender.unbounded_send("a").is_ok() {
                sleep(MOMENT / 5).await;
            }
        });
        let mut collected = pin!(collect(changes, MOMENT));
        let began = Instant::now();
        for _ in 0..5 {
            assert_eq!(collected.next().await, Some("a"));
        }
        assert!(began.elapsed() < MOMENT * 7, "{:?}", began.elapsed());
        restless.abort();
    }

    #[tokio::test]
    async fn it_ends_with_the_changes() {
        let changes = stream::iter(["a"]);
        let mut collected = pin!(collect(changes, MOMENT));
        assert_eq!(collected.next().await, None);
    }
}
