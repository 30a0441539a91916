//! The outcome of planning: actions, the status to remember, and the reasons for doing no more.

use std::time::Duration;

use jiff::Timestamp;

use super::end::{Counted, Tally};
use super::observation::{ConditionStatus, Observation, Pod, Revision};
use super::target::Size;
use crate::api::reason::Reason;
use crate::api::v1alpha1::{DrainRecord, GracefulDeploymentStatus};

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Calls to make, each small and guarded, in this order.
    pub actions: Vec<Action>,
    /// The status to write; absent where it is not to be touched.
    pub status: Option<GracefulDeploymentStatus>,
    /// Why no more is done now.
    pub holds: Vec<Hold>,
    /// What the user of the object would want to know, once the status is written.
    pub events: Vec<Event>,
    /// When to look again though nothing changed.
    pub wake: Option<Timestamp>,
    /// The ends of pods that the status counts.
    pub counted: Vec<Counted>,
}

/// An object, by the version that a decision was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
}

/// One call to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the wanted revision's ReplicaSet.
    CreateReplicaSet {
        /// Its name.
        name: String,
        /// Its revision number.
        number: i64,
        /// Pods that it is asked to have.
        replicas: u32,
    },
    /// Keeps the user's template of the wanted revision in a ControllerRevision.
    RecordRevision {
        /// The revision's ReplicaSet.
        replica_set: ObjectRef,
        /// Its revision number.
        number: i64,
    },
    /// Brings the injected parts and the revision number of the wanted ReplicaSet up to date, for
    /// pods that it makes from now on.
    RefreshReplicaSet {
        /// The ReplicaSet.
        replica_set: ObjectRef,
        /// Its revision number.
        number: i64,
    },
    /// Brings the drain settings of another ReplicaSet's new pods up to date.
    ConfigureReplicaSet {
        /// The ReplicaSet.
        replica_set: ObjectRef,
    },
    /// Makes a ReplicaSet that nobody controls ours. Its pods are not touched.
    AdoptReplicaSet {
        /// The ReplicaSet.
        replica_set: ObjectRef,
    },
    /// Gives a ReplicaSet up that is not ours any more. Its pods are not touched.
    ReleaseReplicaSet {
        /// The ReplicaSet.
        replica_set: ObjectRef,
    },
    /// Asks a ReplicaSet for another number of pods.
    ScaleReplicaSet {
        /// The ReplicaSet.
        replica_set: ObjectRef,
        /// The number that was seen.
        from: u32,
        /// The number wanted.
        to: u32,
        /// What it is noted to be sized for from now on, where that changes.
        sized_for: Option<Size>,
    },
    /// Deletes an empty ReplicaSet beyond the history limit.
    DeleteReplicaSet {
        /// The ReplicaSet.
        replica_set: ObjectRef,
    },
    /// Asks a pod's agent to drain, or changes the settings of a drain under way.
    RequestDrain {
        /// The pod.
        pod: ObjectRef,
        /// Id of the drain.
        epoch: String,
    },
    /// Takes every mark of ours off a pod: it serves again.
    CancelDrain {
        /// The pod.
        pod: ObjectRef,
    },
    /// Makes a pod its ReplicaSet's next victim.
    SetDeletionCost {
        /// The pod.
        pod: ObjectRef,
    },
    /// Brings the drain settings that a running pod carries up to date.
    ConfigurePod {
        /// The pod.
        pod: ObjectRef,
    },
    /// Deletes a pod that its ReplicaSet would not choose.
    DeletePod {
        /// The pod.
        pod: ObjectRef,
    },
}

/// A named reason not to act now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// New pods are not in service yet.
    AwaitingPods {
        /// Pods that are on their way.
        count: u32,
        /// What one of them waits for.
        example: String,
    },
    /// No more pods may be taken out of service.
    AtMinimum {
        /// Pods in service.
        available: u32,
        /// The least that is allowed.
        minimum: u32,
    },
    /// No more pods may be made.
    AtMaximum {
        /// Pods that count against the bound.
        total: u32,
        /// The bound.
        maximum: u32,
    },
    /// No more pods may drain at the same time.
    AtMaxDraining {
        /// The bound.
        maximum: u32,
    },
    /// A drain goes on.
    Draining {
        /// The pod.
        pod: String,
        /// When it leaves, done or not.
        deadline: Option<Timestamp>,
    },
    /// The agent is done, and a condition of the pod is not True yet.
    AwaitingCondition {
        /// The pod.
        pod: String,
        /// Type of the condition.
        condition: String,
        /// What is known of it.
        status: Option<ConditionStatus>,
        /// For how long it is waited for.
        until: Timestamp,
    },
    /// A drain has reached its deadline, and its pod is kept until a person lets it go.
    Held {
        /// The pod.
        pod: String,
        /// Since when.
        since: Timestamp,
    },
    /// A drain has reached its deadline, and the rollout stops until it ends.
    DrainPaused {
        /// The pod.
        pod: String,
        /// Since when.
        since: Timestamp,
    },
    /// The agent has not heard of the request for 10 s.
    NotHeard {
        /// The pod.
        pod: String,
        /// When it was asked.
        since: Timestamp,
    },
    /// Routes get their least time to forget the pod.
    MinSeconds {
        /// The pod.
        pod: String,
        /// Until then.
        until: Timestamp,
    },
    /// An EndpointSlice still names a finished pod ready.
    StillNamed {
        /// The pod.
        pod: String,
    },
    /// A ReplicaSet's controller has not caught up with what we see.
    ReplicaSetBehind {
        /// The ReplicaSet.
        replica_set: String,
    },
    /// A ReplicaSet would take another pod first.
    VictimOrder {
        /// The pod that is to leave.
        pod: String,
        /// When it is deleted by name instead.
        until: Timestamp,
    },
    /// Old pods are not gone yet.
    AwaitingTermination {
        /// How many.
        count: u32,
    },
    /// A ReplicaSet changes hands: what its pods count for is not known yet.
    Claiming {
        /// The ReplicaSet.
        replica_set: String,
    },
    /// The rollout is paused.
    Paused,
    /// The name of the wanted ReplicaSet is taken.
    NameTaken {
        /// The name.
        name: String,
    },
}

/// Something that the user of the object would want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Warning instead of Normal.
    pub warning: bool,
    /// Why.
    pub reason: Reason,
    /// What, in words.
    pub message: String,
}

/// A plan in the making.
pub(super) struct Draft {
    pub(super) now: Timestamp,
    pub(super) actions: Vec<Action>,
    pub(super) drains: Vec<DrainRecord>,
    pub(super) holds: Vec<Hold>,
    pub(super) events: Vec<Event>,
    pub(super) wake: Option<Timestamp>,
    /// What ended in this round.
    pub(super) tally: Tally,
    /// The ends of pods among it.
    pub(super) counted: Vec<Counted>,
}

impl Draft {
    pub(super) fn new(observation: &Observation) -> Self {
        Self {
            now: observation.now,
            actions: Vec::new(),
            drains: Vec::new(),
            holds: Vec::new(),
            events: Vec::new(),
            wake: None,
            tally: Tally::default(),
            counted: Vec::new(),
        }
    }

    /// Looks again at that time at the latest.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Holds until a point in time.
    pub(super) fn hold_until(&mut self, at: Timestamp, hold: Hold) {
        self.wake_at(at);
        self.holds.push(hold);
    }

    pub(super) fn tell(&mut self, warning: bool, reason: Reason, message: String) {
        self.events.push(Event {
            warning,
            reason,
            message,
        });
    }

    /// The pod's drain as it will be remembered.
    pub(super) fn remembers(&self, pod: &Pod) -> bool {
        self.drains.iter().any(|drain| drain.uid == pod.uid)
    }

    /// Drops the memory of the pod's drain, and with it what was about to be asked of the pod.
    pub(super) fn forget(&mut self, pod: &Pod) {
        self.drains.retain(|drain| drain.uid != pod.uid);
        self.actions.retain(|action| action.pod() != Some(&pod.uid));
    }

    /// The pod is written in this round already.
    pub(super) fn writes(&self, pod: &Pod) -> bool {
        self.actions
            .iter()
            .any(|action| action.pod() == Some(&pod.uid))
    }

    /// The ReplicaSet is scaled in this round already.
    pub(super) fn scales(&self, revision: &Revision) -> bool {
        self.scaled_to(revision).is_some()
    }

    /// What the ReplicaSet is asked for in this round.
    pub(super) fn scaled_to(&self, revision: &Revision) -> Option<u32> {
        self.actions.iter().find_map(|action| match action {
            Action::ScaleReplicaSet {
                replica_set, to, ..
            } if replica_set.uid == revision.uid => Some(*to),
            _ => None,
        })
    }

    pub(super) fn into_plan(self) -> Plan {
        Plan {
            actions: self.actions,
            status: None,
            holds: self.holds,
            events: self.events,
            wake: self.wake,
            counted: self.counted,
        }
    }
}

impl Action {
    /// UID of the pod that is written.
    fn pod(&self) -> Option<&String> {
        match self {
            Self::RequestDrain { pod, .. }
            | Self::CancelDrain { pod }
            | Self::SetDeletionCost { pod }
            | Self::ConfigurePod { pod }
            | Self::DeletePod { pod } => Some(&pod.uid),
            Self::CreateReplicaSet { .. }
            | Self::RecordRevision { .. }
            | Self::RefreshReplicaSet { .. }
            | Self::ConfigureReplicaSet { .. }
            | Self::AdoptReplicaSet { .. }
            | Self::ReleaseReplicaSet { .. }
            | Self::ScaleReplicaSet { .. }
            | Self::DeleteReplicaSet { .. } => None,
        }
    }
}

impl From<&Pod> for ObjectRef {
    fn from(pod: &Pod) -> Self {
        Self {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.resource_version.clone(),
        }
    }
}

impl From<&Revision> for ObjectRef {
    fn from(revision: &Revision) -> Self {
        Self {
            name: revision.name.clone(),
            uid: revision.uid.clone(),
            resource_version: revision.resource_version.clone(),
        }
    }
}

/// For how long a ReplicaSet's order of victims may differ from ours before the pod is deleted by
/// name. Shorter, and a cache that lags would cost a spare pod; longer, and a rollout stands still
/// for nothing.
pub(super) const VICTIM_PATIENCE: Duration = Duration::from_secs(5);

/// For how long a deletion cost is given time to reach the cache of the ReplicaSet's controller, where
/// the order of victims rests on it and the ReplicaSet's status cannot tell of it: of pods that were born
/// without the label that goes with the cost, as those that were adopted. Usually it takes milliseconds; a
/// controller that lags by more takes a wrong pod, which then drains in its preStop hook.
pub(super) const COST_SETTLES: Duration = Duration::from_millis(500);
