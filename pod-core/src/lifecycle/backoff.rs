use serde::{Deserialize, Serialize};

/// The first wait.
pub(super) const INITIAL_MS: u64 = 10_000;
/// The longest wait.
const MAX_MS: u64 = 300_000;
/// A container that has run for longer than this since its last start counts as healthy again.
const RESET_MS: u64 = 600_000;

/// The kubelet's back-off: it waits 10 s, 20 s, 40 s ... and at most 300 s between attempts, and is reset after 10
/// minutes without a failure.
///
/// The wait is measured from when the container *ended*; the 10 minutes are measured from when it was last *started*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the next failure, in milliseconds.
    pub delay: u64,
    /// When the last attempt was made, in milliseconds since boot.
    pub updated: u64,
}

impl Backoff {
    /// Returns when a container that failed at `failed` may be tried again. Without an earlier failure (`entry` is
    /// `None` or has expired) that is at once.
    pub fn due(entry: Option<Self>, failed: u64) -> u64 {
        match entry {
            Some(entry) if !entry.expired(failed) => failed.saturating_add(entry.delay),
            _ => failed,
        }
    }

    /// Returns the back-off after an attempt at `now` that follows a failure at `failed`.
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

/// Formats milliseconds as Go prints a duration of whole seconds (`10s`, `1m20s`, `5m0s`), as the kubelet's messages
/// do.
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
