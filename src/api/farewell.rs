//! The agent's last words, in its termination message when the pod ends: how the application ended, by
//! what the kernel's socket table told. The kubelet ends the agent after the application's containers.

use serde::{Deserialize, Serialize};

/// The agent's last words. At most 256 bytes as JSON, in the same object as the receipt of a drain that
/// was still under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Farewell {
    /// The pod that ended.
    pub uid: String,
    /// How its application ended.
    pub exit: Exit,
}

/// How the application of a pod ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Milliseconds from the end of the first preStop hook, upon which the kubelet sends SIGTERM, until
    /// the application's containers were gone. Absent where the hook could not tell the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<u64>,
    /// Inbound connections with work at the last look before the end, a second before it at most. They
    /// were cut only where the application was killed: else it may have finished them since.
    #[serde(default)]
    pub busy: u32,
    /// Connections to others that this side closed in the last second and a half. Open to the end where
    /// the application was killed; else it may have closed them in order.
    #[serde(default)]
    pub open: u32,
    /// To how many addresses and ports these led.
    #[serde(default)]
    pub pools: u32,
    /// To how many of these, of a protocol whose every client says goodbye, one was closed without a word:
    /// nothing had been sent on it for half a second.
    #[serde(default)]
    pub silent: u32,
}

impl Farewell {
    /// Reads a termination message. `None` where it has no last words.
    #[must_use]
    pub fn parse(message: &str) -> Option<Self> {
        serde_json::from_str(message).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_farewell_fits_and_is_read_back() {
        let longest = Farewell {
            uid: "123e4567-e89b-12d3-a456-426614174000".into(),
            exit: Exit {
                shutdown: Some(u64::MAX),
                busy: u32::MAX,
                open: u32::MAX,
                pools: u32::MAX,
                silent: u32::MAX,
            },
        };
        let text = serde_json::to_string(&longest).unwrap();
        assert!(text.len() <= 256, "{}", text.len());
        assert_eq!(Farewell::parse(&text), Some(longest));
    }

    #[test]
    fn a_receipt_alone_is_no_farewell() {
        let receipt = r#"{"epoch":"e","uid":"u","outcome":"Drained"}"#;
        assert_eq!(Farewell::parse(receipt), None);
    }
}
