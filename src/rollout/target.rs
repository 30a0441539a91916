//! The spec, parsed once: numbers resolved, lengths typed. What cannot be parsed is [`Invalid`].

use std::time::Duration;

/// What is wanted, with every percentage resolved against the number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Pods wanted.
    pub replicas: u32,
    /// How old pods are replaced.
    pub strategy: Strategy,
    /// Pods that may exist above `replicas`.
    pub max_surge: u32,
    /// Pods that may be missing below `replicas`.
    pub max_unavailable: u32,
    /// Pods that may drain at the same time.
    pub max_draining: u32,
    /// When a pod that leaves may be replaced.
    pub replacement: ReplacementPolicy,
    /// Time for which a pod must be ready to be available.
    pub min_ready: Duration,
    /// Time without progress after which the rollout is reported as failed.
    pub progress_deadline: Duration,
    /// Old ReplicaSets that are kept.
    pub history_limit: usize,
    /// No new revision, no replacement; only scaling.
    pub paused: bool,
    /// How pods are taken out of traffic.
    pub withdrawal: Withdrawal,
    /// Length of one planned drain.
    pub drain_timeout: Duration,
    /// Least length of one drain, from when the pod is out of every EndpointSlice.
    pub drain_min: Duration,
    /// For how long confirmations must hold.
    pub drain_quiet: Duration,
    /// Length of the application's own exit.
    pub shutdown_timeout: Duration,
    /// What a drain request carries, as JSON without the epoch; also the value of the config
    /// annotation.
    pub drain_settings: String,
    /// Conditions of a pod that must be True before it leaves.
    pub conditions: Vec<AwaitedCondition>,
    /// What becomes of a pod whose drain has reached its deadline.
    pub on_timeout: Overdue,
    /// Why nothing confirms that a pod's work is over, in words for the user, where that is so.
    pub unconfirmed: Option<String>,
    /// The selector of the scale subresource.
    pub scale_selector: String,
}

/// How many pods there may be: what a ReplicaSet's share is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pods wanted.
    pub replicas: u32,
    /// Pods that may exist above them.
    pub max_surge: u32,
}

impl Size {
    /// Most pods.
    #[must_use]
    pub fn most(self) -> u32 {
        self.replicas.saturating_add(self.max_surge)
    }
}

impl Target {
    /// How many pods there may be.
    #[must_use]
    pub fn size(&self) -> Size {
        Size {
            replicas: self.replicas,
            max_surge: self.max_surge,
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{}", self.replicas, self.max_surge)
    }
}

impl std::str::FromStr for Size {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (replicas, max_surge) = text.split_once('+').unwrap_or((text, "0"));
        Ok(Self {
            replicas: replicas.parse()?,
            max_surge: max_surge.parse()?,
        })
    }
}

/// How old pods are replaced by new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// In sequence, within the bounds.
    RollingUpdate,
    /// All old pods are gone before the first new one is made.
    Recreate,
}

/// When a pod that leaves may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacementPolicy {
    /// As soon as its drain began.
    DrainStarted,
    /// When it is gone.
    TerminationComplete,
}

/// How pods are taken out of traffic, as the user wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// Readiness, unless Termination is the better way for the pod.
    Auto,
    /// Always by readiness.
    Readiness,
    /// Always by deletion.
    Termination,
}

/// A condition of a pod that must be True before it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedCondition {
    /// Its type.
    pub kind: String,
    /// For how long it is waited for, where that is not up to the drain's deadline.
    pub timeout: Option<Duration>,
    /// The status Unknown does not hold the drain.
    pub ignores_errors: bool,
}

/// What becomes of a pod whose drain has reached its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It leaves as it is.
    Leaves,
    /// It stays until a person lets it go.
    IsHeld,
    /// It stays and drains on, and no other pod of the rollout is withdrawn meanwhile.
    Pauses,
}

/// Why a spec cannot be acted on: sentences that say what is wrong and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub Vec<String>);
