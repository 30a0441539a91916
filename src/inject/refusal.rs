//! Why a template is not injected, in the user's words: where, what is wrong, what to write instead.
//! Becomes the message of the condition `Stalled`. Where the API's rules refuse the same, the sentence
//! is theirs.

use crate::api::v1alpha1::sentences as say;

/// Why a template is not injected. Every field `at` is a path from the object's root, such as
/// `spec.template.spec.containers[1].name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something is not what Kubernetes has there.
    #[error("{at}: cannot be read: {why}")]
    Unreadable {
        /// Where.
        at: String,
        /// What was found and what was expected.
        why: String,
    },
    /// There is no container.
    #[error("spec.template.spec.containers: {}", say::NO_CONTAINER)]
    NoContainer,
    /// A container has the agent's name.
    #[error("{at}: {}", say::RESERVED_CONTAINER)]
    ReservedContainer {
        /// Where.
        at: String,
    },
    /// A volume has the name of an injected one.
    #[error("{at}: the volume name {name} is reserved: choose another name")]
    ReservedVolume {
        /// Where.
        at: String,
        /// The name.
        name: String,
    },
    /// A label or annotation with our prefix.
    #[error(
        "{at}: labels and annotations beginning with graceful.dev/ are reserved: leave {key} out of \
         the template"
    )]
    ReservedKey {
        /// Where.
        at: String,
        /// The label or annotation.
        key: String,
    },
    /// A mount where the agent's binary is mounted.
    #[error("{at}: {}", say::RESERVED_MOUNT)]
    ReservedPath {
        /// Where.
        at: String,
    },
    /// There is no agent for Windows.
    #[error("{at}: there is no drain agent for Windows: use a Deployment for Windows pods")]
    Windows {
        /// Where.
        at: String,
    },
    /// A hook that could not be run after the drain.
    #[error(
        "{at}: must have exactly one of exec, httpGet and sleep (Kubernetes never ran a tcpSocket \
         here): write one of them, or leave preStop out"
    )]
    UnknownHook {
        /// Where.
        at: String,
    },
    /// An exec hook without a command.
    #[error("{at}: an exec hook needs a command: write one, or leave preStop out")]
    NoCommand {
        /// Where.
        at: String,
    },
    /// A port by a name that nobody has.
    #[error("{at}: no port is named {name}: write the port's number, or name a port {name}")]
    UnknownPort {
        /// Where.
        at: String,
        /// The name.
        name: String,
    },
    /// A preStop sleep that its own grace period would cut.
    #[error("{at}: {}", say::SLEEP)]
    LongSleep {
        /// Where.
        at: String,
    },
    /// A number below what it can be.
    #[error("{at}: must not be negative: write 0 or more")]
    Negative {
        /// Where.
        at: String,
    },
    /// A probe that probes nothing.
    #[error("{at}: a probe needs one of exec, grpc, httpGet and tcpSocket: write one of them")]
    NoProbeHandler {
        /// Where.
        at: String,
    },
    /// A grace period where Kubernetes has none.
    #[error("{at}: a readiness probe ends no container and has no grace period: leave it out")]
    ReadinessGrace {
        /// Where.
        at: String,
    },
}
