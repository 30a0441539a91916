//! What is known of each arm at this moment, from what was seen of its pods and from the load
//! client. Does no I/O: events go in, milestones come out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::load::{Progress, ProgressLine};

use super::arm::{Arm, REPLICAS};

/// A pod's way through life, as a watcher of traffic sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PodState {
    Starting,
    Ready,
    Draining,
    Terminating,
}

/// A pod as last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) is_new: bool,
    pub(super) state: PodState,
}

/// Something was seen.
pub(super) enum Event {
    Pod(Arm, String, Pod),
    PodGone(Arm, String),
    Progress(ProgressLine),
    /// The named source of events ended, with its reason if it has one.
    Ended(&'static str, Option<String>),
    Interrupted,
}

/// What is known of one arm.
#[derive(Default)]
pub(super) struct Side {
    pub(super) pods: BTreeMap<String, Pod>,
    pub(super) load: Option<Progress>,
    /// From the change to when all new pods were ready, and to when the last old one was gone.
    pub(super) ready: Option<Duration>,
    pub(super) gone: Option<Duration>,
    changed: Option<Instant>,
}

/// What is known of all arms.
pub(super) struct Board {
    pub(super) sides: BTreeMap<Arm, Side>,
}

impl Side {
    /// The old pods, or the new ones, by state.
    pub(super) fn states(&self, new: bool) -> Vec<PodState> {
        let mut states: Vec<_> = self
            .pods
            .values()
            .filter(|pod| pod.is_new == new)
            .map(|pod| pod.state)
            .collect();
        states.sort_unstable();
        states
    }

    fn ready(&self, new: bool) -> usize {
        let states = self.states(new);
        states
            .iter()
            .filter(|state| **state == PodState::Ready)
            .count()
    }

    fn lost(&self) -> u64 {
        self.load.as_ref().map_or(0, |load| load.lost)
    }
}

impl Board {
    pub(super) fn new(arms: &[Arm]) -> Self {
        Self {
            sides: arms.iter().map(|arm| (*arm, Side::default())).collect(),
        }
    }

    /// Takes in what was seen; returns what is worth a line of its own.
    pub(super) fn see(&mut self, event: Event, now: Instant) -> Vec<String> {
        let mut news = Vec::new();
        match event {
            Event::Pod(arm, name, pod) => {
                if let Some(side) = self.sides.get_mut(&arm) {
                    side.pods.insert(name, pod);
                    news.extend(side.milestones(arm, now));
                }
            }
            Event::PodGone(arm, name) => {
                if let Some(side) = self.sides.get_mut(&arm) {
                    side.pods.remove(&name);
                    news.extend(side.milestones(arm, now));
                }
            }
            Event::Progress(line) => {
                for load in line.targets {
                    let side = self
                        .sides
                        .iter_mut()
                        .find(|(arm, _)| arm.name() == load.name);
                    if let Some((arm, side)) = side {
                        if load.lost > 0 && side.lost() == 0 {
                            news.push(format!("{}: the first request is lost", arm.title()));
                        }
                        side.load = Some(load);
                    }
                }
            }
            Event::Ended(..) | Event::Interrupted => {}
        }
        news
    }

    /// The image of an arm was changed.
    pub(super) fn changed(&mut self, arm: Arm, at: Instant) {
        if let Some(side) = self.sides.get_mut(&arm) {
            side.changed = Some(at);
        }
    }

    /// Whether every arm serves with all its pods, and no others, before the change.
    pub(super) fn is_serving(&self) -> bool {
        self.sides
            .values()
            .all(|side| side.pods.len() == REPLICAS && side.ready(false) == REPLICAS)
    }

    /// Whether every arm has new pods only.
    pub(super) fn is_done(&self) -> bool {
        self.sides.values().all(|side| side.gone.is_some())
    }

    /// Requests that were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.sides.values().map(Side::lost).sum()
    }
}

impl Side {
    fn milestones(&mut self, arm: Arm, now: Instant) -> Option<String> {
        let since = now.saturating_duration_since(self.changed?);
        if self.ready.is_none() && self.ready(true) == REPLICAS {
            self.ready = Some(since);
            let title = arm.title();
            return Some(format!(
                "{title}: all new pods are ready after {:.1} s",
                since.as_secs_f64()
            ));
        }
        if self.ready.is_some() && self.gone.is_none() && self.states(false).is_empty() {
            self.gone = Some(since);
            let title = arm.title();
            return Some(format!(
                "{title}: the last old pod is gone after {:.1} s",
                since.as_secs_f64()
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(is_new: bool, state: PodState) -> Pod {
        Pod { is_new, state }
    }

    fn see(board: &mut Board, name: &str, pod: Pod, now: Instant) -> Vec<String> {
        board.see(Event::Pod(Arm::Graceful, name.into(), pod), now)
    }

    #[test]
    fn milestones_are_told_once() {
        let mut board = Board::new(&[Arm::Graceful]);
        let start = Instant::now();
        for name in ["a", "b", "c", "d"] {
            see(&mut board, name, pod(false, PodState::Ready), start);
        }
        assert!(board.is_serving());
        board.changed(Arm::Graceful, start);
        for name in ["e", "f", "g"] {
            assert!(see(&mut board, name, pod(true, PodState::Ready), start).is_empty());
        }
        let later = start + Duration::from_secs(9);
        let news = see(&mut board, "h", pod(true, PodState::Ready), later);
        assert_eq!(
            news,
            ["GracefulDeployment: all new pods are ready after 9.0 s"]
        );
        for name in ["a", "b", "c"] {
            assert!(
                board
                    .see(Event::PodGone(Arm::Graceful, name.into()), later)
                    .is_empty()
            );
        }
        assert!(!board.is_done());
        let news = board.see(Event::PodGone(Arm::Graceful, "d".into()), later);
        assert_eq!(
            news,
            ["GracefulDeployment: the last old pod is gone after 9.0 s"]
        );
        assert!(board.is_done());
        assert!(see(&mut board, "h", pod(true, PodState::Starting), later).is_empty());
    }

    #[test]
    fn pods_of_a_demo_before_are_waited_for() {
        let mut board = Board::new(&[Arm::Graceful]);
        let now = Instant::now();
        for name in ["a", "b", "c", "d"] {
            see(&mut board, name, pod(false, PodState::Ready), now);
        }
        see(&mut board, "e", pod(true, PodState::Terminating), now);
        assert!(!board.is_serving());
        board.see(Event::PodGone(Arm::Graceful, "e".into()), now);
        assert!(board.is_serving());
    }

    #[test]
    fn pod_that_drains_or_starts_is_not_serving() {
        let mut board = Board::new(&[Arm::Graceful]);
        let now = Instant::now();
        for (name, state) in [
            ("a", PodState::Ready),
            ("b", PodState::Ready),
            ("c", PodState::Ready),
        ] {
            see(&mut board, name, pod(false, state), now);
        }
        see(&mut board, "d", pod(false, PodState::Starting), now);
        assert!(!board.is_serving());
        see(&mut board, "d", pod(false, PodState::Draining), now);
        assert!(!board.is_serving());
    }
}
