use serde::{Deserialize, Serialize};

use crate::kind::WaitingReason;

/// Why a container waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// state.waiting.reason.
    pub reason: WaitingReason,
    /// state.waiting.message.
    #[serde(default)]
    pub message: Option<String>,
    /// When the container is tried again, in milliseconds since boot. `None`: as soon as its turn comes.
    #[serde(default)]
    pub retry: Option<u64>,
    /// When the reason shown changes from ErrImagePull to ImagePullBackOff, in milliseconds since boot.
    #[serde(default, rename = "turns")]
    pub backoff_shown_at: Option<u64>,
}

impl Waiting {
    /// Creates a `Waiting` from a reason alone.
    pub(super) fn new(reason: WaitingReason) -> Self {
        Self { reason, message: None, retry: None, backoff_shown_at: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_wait_keeps_its_words_and_its_fields() {
        for reason in ["ErrImagePull", "ReasonOfAnotherVersion"] {
            let stored = json!({"reason": reason, "message": "no route", "retry": 20_000, "turns": 12_000});
            let waiting: Waiting = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!((waiting.reason.as_str(), waiting.backoff_shown_at), (reason, Some(12_000)));
            assert_eq!(serde_json::to_value(&waiting).unwrap(), stored);
        }
    }
}
