//! The agent's report of a finished drain, carried by the kubelet in the agent container's
//! termination message.

use serde::{Deserialize, Serialize};

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Every confirmation held for the quiet time.
    Drained,
    /// The deadline passed with work left.
    TimedOut,
    /// Only connections were left whose request has gone unanswered, with no byte either way, for
    /// longer than `unresponsiveSeconds`.
    Unresponsive,
}

/// How the agent read the kernel's socket table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MeasuredBy {
    /// `NETLINK_SOCK_DIAG` with `tcp_info`: bytes and ages of every connection.
    SockDiag,
    /// `/proc/net/tcp` and `/proc/net/tcp6`: states and queues only.
    ProcNet,
    /// No socket was looked at: no confirmation by connections was asked for.
    Nothing,
}

/// The agent's report of a finished drain. At most 512 bytes as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The epoch of the request that this answers.
    pub epoch: String,
    /// The pod that was drained.
    pub uid: String,
    /// How the drain ended.
    pub outcome: Outcome,
    /// Milliseconds from hearing the request to the end.
    pub milliseconds: u64,
    /// Inbound connections when the drain began.
    pub connections_at_start: u32,
    /// Inbound connections when it ended, idle and cycling ones included.
    pub connections_at_end: u32,
    /// Connections with work left at the end: what SIGTERM may cut.
    pub busy: u32,
    /// The confirmation that held last, such as `connections` or `httpGet :9000/idle`: its kind and what
    /// tells it from others. On a drain that timed out, the first that did not hold. Absent where none
    /// was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Why that one did not hold, or which error of it was ignored; absent where it held. Of a closed
    /// list of words: nothing that the application wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where the numbers come from.
    pub measured_by: MeasuredBy,
    /// New connections that probes do not explain and that came more than `arrivalsSeconds` after the
    /// pod was withdrawn. They no longer held the drain: something sends clients here regardless.
    #[serde(default, skip_serializing_if = "is_none")]
    pub late_arrivals: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Receipt {
    /// Reads a termination message. `None` where it is not a receipt: the agent crashed, or another
    /// version wrote something else.
    #[must_use]
    pub fn parse(message: &str) -> Option<Self> {
        serde_json::from_str(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest() -> Receipt {
        Receipt {
            epoch: "e".repeat(64),
            uid: "123e4567-e89b-12d3-a456-426614174000".into(),
            outcome: Outcome::Unresponsive,
            milliseconds: u64::MAX,
            connections_at_start: u32::MAX,
            connections_at_end: u32::MAX,
            busy: u32::MAX,
            last: Some("x".repeat(64)),
            why: Some("the page has no series of that name with these labels".into()),
            measured_by: MeasuredBy::SockDiag,
            late_arrivals: u64::MAX,
        }
    }

    #[test]
    fn longest_receipt_fits_and_is_read_back() {
        let text = serde_json::to_string(&longest()).unwrap();
        assert!(text.len() <= 512, "{}", text.len());
        assert_eq!(Receipt::parse(&text), Some(longest()));
    }

    #[test]
    fn arrivals_that_were_not_late_take_no_room() {
        let receipt = Receipt {
            late_arrivals: 0,
            ..longest()
        };
        let text = serde_json::to_string(&receipt).unwrap();
        assert!(!text.contains("late"), "{text}");
        assert_eq!(Receipt::parse(&text), Some(receipt));
    }
}
