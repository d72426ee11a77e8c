use serde::{Deserialize, Serialize};

/// First wait.
const INITIAL_MS: u64 = 10_000;
/// Longest wait.
const MAX_MS: u64 = 300_000;
/// What has held for longer than this after the last try counts as well again.
const RESET_MS: u64 = 600_000;

/// The kubelet's back-off: 10 s, 20 s, 40 s ... at most 300 s between tries, forgotten after 10 minutes.
///
/// The wait counts from when the container *ended*; being well counts from when it was last *started*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the next failure, in milliseconds.
    pub delay: u64,
    /// When the last try was made, in milliseconds since boot.
    pub updated: u64,
}

impl Backoff {
    /// When a container that failed at `failed` may be tried again. With no failure on record: at once.
    pub fn due(entry: Option<Self>, failed: u64) -> u64 {
        match entry {
            Some(entry) if !entry.expired(failed) => failed.saturating_add(entry.delay),
            _ => failed,
        }
    }

    /// The entry after a try at `now` that follows a failure at `failed`.
    pub fn next(entry: Option<Self>, failed: u64, now: u64) -> Self {
        let delay = match entry {
            Some(entry) if !entry.expired(failed) => entry.delay.saturating_mul(2).min(MAX_MS),
            _ => INITIAL_MS,
        };
        Self { delay, updated: now }
    }

    fn expired(self, failed: u64) -> bool {
        failed.saturating_sub(self.updated) > RESET_MS
    }
}

/// Milliseconds as Go writes a duration of whole seconds (`10s`, `1m20s`, `5m0s`), as in the kubelet's messages.
pub(super) fn go_duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        let written: Vec<_> = [0, 10_000, 59_999, 80_000, 300_000, 3_600_000].map(go_duration).into();
        assert_eq!(written, ["0s", "10s", "59s", "1m20s", "5m0s", "1h0m0s"]);
    }
}
