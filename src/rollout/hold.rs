//! Holds in words: why no more is done now, and what will end that.

use std::fmt::{Display, Formatter, Result};

use super::conditions::{counted, stamp};
use super::outcome::{how_to_let_go, in_words};
use super::plan::Hold;

impl Display for Hold {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::AwaitingPods { count: 0, example } => write!(f, "waiting for {example}"),
            Self::AwaitingPods { count, example } => {
                write!(
                    f,
                    "not in service yet: {}: {example}",
                    counted(*count, "pod")
                )
            }
            Self::AtMinimum { available, minimum } => {
                write!(
                    f,
                    "no pod may leave: {available} in service, at least {minimum} wanted"
                )
            }
            Self::AtMaximum { total, maximum } => {
                write!(f, "no pod may be made: {total} of at most {maximum}")
            }
            Self::AtMaxDraining { maximum } => {
                write!(f, "no more than {maximum} may drain at the same time")
            }
            Self::ReplicaSetBehind { replica_set } => {
                write!(
                    f,
                    "controller of ReplicaSet {replica_set} has not caught up"
                )
            }
            Self::VictimOrder { pod, until } => write!(
                f,
                "ReplicaSet would take another pod before {pod}; it is deleted by name at {}",
                stamp(*until)
            ),
            Self::AwaitingTermination { count } => {
                write!(f, "not gone yet: {}", counted(*count, "old pod"))
            }
            Self::Claiming { replica_set: set } => write!(f, "ReplicaSet {set} changes hands"),
            Self::Paused => f.write_str("paused by spec.paused"),
            Self::NameTaken { name } => {
                write!(
                    f,
                    "name {name} is taken by another ReplicaSet; the next one is tried"
                )
            }
            Self::Draining { .. }
            | Self::AwaitingCondition { .. }
            | Self::Held { .. }
            | Self::DrainPaused { .. }
            | Self::NotHeard { .. }
            | Self::MinSeconds { .. }
            | Self::StillNamed { .. } => self.write_of_drain(f),
        }
    }
}

impl Hold {
    /// One drain is what is waited for.
    fn write_of_drain(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Draining {
                pod,
                deadline: Some(deadline),
            } => {
                write!(f, "{pod} drains, at the latest until {}", stamp(*deadline))
            }
            Self::Draining {
                pod,
                deadline: None,
            } => write!(f, "{pod} is asked to drain"),
            Self::AwaitingCondition {
                pod,
                condition,
                status,
                until,
            } => write!(
                f,
                "{pod} is drained but for its condition {condition}: {}, waited for until {}",
                in_words(*status),
                stamp(*until)
            ),
            Self::Held { pod, since } => write!(
                f,
                "{pod} is past its drain deadline and stays, withdrawn, since {}; to let it go: {}",
                stamp(*since),
                how_to_let_go(pod)
            ),
            Self::DrainPaused { pod, since } => write!(
                f,
                "no further pod leaves since {}: {pod} is past its drain deadline and drains on; to \
                 let it go: {}",
                stamp(*since),
                how_to_let_go(pod)
            ),
            Self::NotHeard { pod, since } => write!(
                f,
                "agent of {pod} has not heard since {}; its kubelet may be restarting a container",
                stamp(*since)
            ),
            Self::MinSeconds { pod, until } => write!(
                f,
                "routes may forget {pod} until {} (drain.minSeconds)",
                stamp(*until)
            ),
            Self::StillNamed { pod } => {
                write!(
                    f,
                    "{pod} is drained, but an EndpointSlice still names it ready"
                )
            }
            _ => Ok(()),
        }
    }
}
