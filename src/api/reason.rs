//! The closed list of reasons in conditions and Events. Each says what a person would do about it.

use std::fmt;

/// Declares the reasons with one line of documentation each, and their names as text.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Reason of a condition or an Event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason with its meaning, for the documentation.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, concat!($($doc),+)),)+];

            /// The reason as it stands in the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

reasons! {
    /// Every wanted pod is of the wanted revision and in service, and no pod is leaving.
    Complete,
    /// Pods are being made or replaced.
    RollingOut,
    /// Nothing was decided yet.
    Unobserved,
    /// Enough pods are in service.
    MinimumReplicasAvailable,
    /// Fewer pods are in service than replicas − maxUnavailable.
    MinimumReplicasUnavailable,
    /// The wanted revision is complete.
    NewReplicaSetAvailable,
    /// The rollout comes nearer to its end.
    ReplicaSetUpdated,
    /// The rollout made no progress for progressDeadlineSeconds.
    ProgressDeadlineExceeded,
    /// The rollout is paused by spec.paused.
    Paused,
    /// A ReplicaSet cannot make pods; the message is its controller's.
    FailedCreate,
    /// Pods are draining; the message says which, until when.
    PodsDraining,
    /// No pod is draining.
    NoPodsDraining,
    /// The spec contradicts itself; until it is mended no pod leaves, and those that drain serve again.
    InvalidSpec,
    /// A drain of a pod began.
    DrainStarted,
    /// A pod's work is known to be over.
    Drained,
    /// A drain reached its deadline; the pod leaves with work left.
    DrainTimedOut,
    /// Only requests without any answer were left.
    DrainUnresponsive,
    /// The agent of a pod said nothing until the deadline.
    DrainSilent,
    /// The node of a draining pod was lost.
    DrainNodeLost,
    /// A draining pod was deleted by somebody else; it drains in its preStop hook.
    DrainedPodDeleted,
    /// A drain was cancelled; the pod is wanted again.
    DrainCancelled,
    /// Nothing confirms that a pod's work is over: drains last minSeconds, whatever the pod does.
    DrainUnconfirmed,
    /// A pod leaves without a confirmation that could not be asked, as its onError says.
    ConfirmationIgnored,
    /// A drain reached its deadline, and its pod is kept until a person lets it go (drain.onTimeout: Hold).
    DrainHeld,
    /// A drain reached its deadline, and the rollout stops until the pod's work ends or a person lets it go
    /// (drain.onTimeout: Pause).
    DrainPaused,
    /// A container of a pod that left was ended by SIGKILL: it was not done when its time was up, or out of
    /// memory.
    PodKilled,
    /// A container of a pod that left ended with an exit code other than 0.
    PodFailed,
    /// A pod left with connections to others that were not closed in order.
    PoolLeftOpen,
    /// Measured drains and shutdowns suggest another timeout, or say something else of the one that is set; or
    /// there is something to be said of the template.
    AdviceChanged,
    /// A rollout began.
    RolloutStarted,
    /// A rollout is complete.
    RolloutCompleted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
