//! What a person does about each reason, beside the meaning that the code gives it. The compiler wants a line
//! for each.

use graceful::api::reason::Reason;

/// Where a reason is met, and what to do.
#[expect(clippy::too_many_lines, reason = "a line for each reason")]
pub(super) fn advice(reason: Reason) -> (&'static str, &'static str) {
    const CONDITION: &str = "condition";
    const NORMAL: &str = "Event, Normal";
    const WARNING: &str = "Event, Warning";
    const NOTHING: &str = "Nothing.";
    match reason {
        Reason::Complete
        | Reason::MinimumReplicasAvailable
        | Reason::NewReplicaSetAvailable
        | Reason::NoPodsDraining => (CONDITION, NOTHING),
        Reason::RollingOut => (CONDITION, "Wait; the message says what for."),
        Reason::Unobserved => (CONDITION, "See that the operator runs and leads."),
        Reason::MinimumReplicasUnavailable => (
            CONDITION,
            "Look at the pods that are not ready. The operator takes none out of service meanwhile.",
        ),
        Reason::ReplicaSetUpdated => (CONDITION, "Wait."),
        Reason::ProgressDeadlineExceeded => (
            CONDITION,
            "Look at the new pods: mostly one does not turn ready. Write the old template back to undo.",
        ),
        Reason::Paused => (CONDITION, "Set spec.paused to false to go on."),
        Reason::FailedCreate => (
            CONDITION,
            "Mostly a quota, or an admission policy that refuses the pod: the message is Kubernetes' own.",
        ),
        Reason::PodsDraining => (CONDITION, "Wait; the message says until when."),
        Reason::InvalidSpec => (
            "condition; Event, Warning",
            "Correct the fields that the message names.",
        ),
        Reason::PodKilled => (
            WARNING,
            "See why the app did not exit in shutdown.timeoutSeconds, or raise it; or give it more memory.",
        ),
        Reason::PodFailed => (
            WARNING,
            "Read the log of such a pod's end: its exit code should be 0.",
        ),
        Reason::PoolLeftOpen => (
            WARNING,
            "Close pools at the app's end, after the requests that use them.",
        ),
        Reason::AdviceChanged => (
            "Event, Warning where a timeout is too short and for a remark",
            "Take the advice where it suits you: the message has the numbers.",
        ),
        Reason::DrainStarted
        | Reason::Drained
        | Reason::DrainCancelled
        | Reason::RolloutStarted
        | Reason::RolloutCompleted => (NORMAL, NOTHING),
        Reason::DrainTimedOut => (
            WARNING,
            "Connections may have been cut: raise drain.timeoutSeconds, or have the app end its streams on notify.",
        ),
        Reason::DrainUnresponsive => (
            WARNING,
            "See why the app left requests without an answer; the pod was let go after unresponsiveSeconds.",
        ),
        Reason::DrainSilent => (
            WARNING,
            "Look at the container graceful-agent of such pods, and at the node's kubelet.",
        ),
        Reason::DrainNodeLost => (WARNING, "Look at the node. The pod's work is lost with it."),
        Reason::DrainedPodDeleted => (
            WARNING,
            "See who deletes pods in a rollout (a node drain, an autoscaler, a person). It drains in its preStop hook.",
        ),
        Reason::DrainUnconfirmed => (
            WARNING,
            "Add confirmations to drain.confirm, or live with minSeconds alone.",
        ),
        Reason::ConfirmationIgnored => (
            WARNING,
            "Mend the page that could not be asked, or set onError: Wait to wait for it.",
        ),
        Reason::DrainHeld | Reason::DrainPaused => (
            "condition; Event, Warning",
            "Let the pod go as the message says, once its work may be cut: see Why is a pod still there?",
        ),
    }
}
