//! How many processes a pod may have.

use crate::manifest::PidsLimit;

/// The variable that sets how many processes each pod may have: a number, or `unlimited`.
pub const PIDS_VARIABLE: &str = "KUBE_PLAY_PIDS_LIMIT";

/// How many processes and threads a pod may have unless a setting says otherwise, so that one that forks without end
/// leaves the host its pids. (The kubelet's `podPidsLimit` has no limit by default; distributions set it to 4096.)
pub const DEFAULT_PIDS: u64 = 4096;

/// Returns the limit that `setting`, the value of [`PIDS_VARIABLE`], asks for; `None` is no limit. A setting that
/// cannot be read counts as not set.
pub fn default_pids_limit(setting: Option<&str>) -> Option<u64> {
    setting.and_then(|text| PidsLimit::parse(text).ok()).map_or(Some(DEFAULT_PIDS), PidsLimit::number)
}

/// Returns [`default_pids_limit`] of this process's environment.
pub fn pids_limit_of_environment() -> Option<u64> {
    default_pids_limit(std::env::var(PIDS_VARIABLE).ok().as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_may_have_4096_processes_unless_a_setting_says_otherwise() {
        assert_eq!(default_pids_limit(None), Some(4096));
        assert_eq!(default_pids_limit(Some("100")), Some(100));
        assert_eq!(default_pids_limit(Some("unlimited")), None);
        assert_eq!(default_pids_limit(Some("lots")), Some(4096));
    }
}
