//! Computes the columns that `kubectl get pods` prints for a pod, from its Kubernetes object alone.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::Phase;
use crate::kind::{ConditionType, TerminatedReason, WaitingReason};

/// The columns of one pod, named after their headings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRow {
    /// NAME.
    pub name: String,
    /// READY: `1/2`.
    pub ready: String,
    /// STATUS: `Running`, `Init:0/2`, `CrashLoopBackOff`, ...
    pub status: String,
    /// RESTARTS: `0`, or `3 (12s ago)`.
    pub restarts: String,
    /// AGE: `45s`, `2d3h`.
    pub age: String,
    /// IP: the first of status.podIPs, or `<none>`.
    pub ip: String,
}

/// Returns the columns of a pod at the time `now`.
pub fn pod_row(pod: &Pod, now: Timestamp) -> PodRow {
    let empty = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&empty);
    let sidecars = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten()).filter(|c| is_sidecar(c));
    let total = pod.spec.as_ref().map_or(0, |s| s.containers.len()) + sidecars.count();
    let summary = Summary::of(pod, status);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, human_duration(seconds_between(last, now)))
        }
        _ => summary.restarts.to_string(),
    };
    PodRow {
        name: pod.metadata.name.clone().unwrap_or_default(),
        ready: format!("{}/{total}", summary.ready),
        status: summary.reason,
        restarts,
        age: pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or_else(|| "<unknown>".to_owned(), |t| human_duration(seconds_between(t.0, now))),
        ip: status.pod_ip.clone().unwrap_or_else(|| "<none>".to_owned()),
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

#[derive(Default)]
struct Summary {
    ready: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
    /// The restarts of sidecars alone, and when the last was.
    sidecars: (i64, Option<Timestamp>),
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

impl Summary {
    fn of(pod: &Pod, status: &PodStatus) -> Self {
        let phase = status.phase.clone().unwrap_or_default();
        let mut this =
            Self { reason: status.reason.clone().unwrap_or_else(|| phase.clone()), ..Self::default() };
        let initializing = this.init_containers(pod, status);
        if !initializing || has_condition(status, ConditionType::Initialized) {
            this.app_containers(status);
        }
        let ended = [Phase::Succeeded, Phase::Failed].iter().any(|end| phase == end.as_str());
        // Says more than how its containers ended, which is with the signal that killed them.
        if let Some(reason) = status.reason.clone().filter(|_| ended) {
            this.reason = reason;
        }
        if pod.metadata.deletion_timestamp.is_some() && !ended {
            "Terminating".clone_into(&mut this.reason);
        }
        this
    }

    /// Evaluates the init containers up to the first that is not done, or that is a sidecar which has not started.
    /// Returns whether there is such a container.
    fn init_containers(&mut self, pod: &Pod, status: &PodStatus) -> bool {
        let init = pod.spec.as_ref().and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
        let total = init.len();
        for (i, c) in status.init_container_statuses.iter().flatten().enumerate() {
            self.count_restarts(c);
            let is_sidecar = init.iter().any(|of| of.name == c.name && is_sidecar(of));
            if is_sidecar {
                let (restarts, last) = self.sidecars;
                self.sidecars = (restarts + i64::from(c.restart_count), last.max(last_end(c)));
            }
            let state = c.state.clone().unwrap_or_default();
            let reason = match (state.terminated, state.waiting.and_then(|w| w.reason)) {
                (Some(t), _) if t.exit_code == 0 => continue,
                _ if is_sidecar && c.started == Some(true) => {
                    self.ready += usize::from(c.ready);
                    continue;
                }
                (Some(t), _) => end_reason(&t),
                (None, Some(reason))
                    if !reason.is_empty() && reason != WaitingReason::PodInitializing.as_str() =>
                {
                    reason
                }
                _ => format!("{i}/{total}"),
            };
            self.reason = format!("Init:{reason}");
            return true;
        }
        false
    }

    fn app_containers(&mut self, status: &PodStatus) {
        // Restarts of ordinary init containers are counted only while the pod initializes.
        (self.restarts, self.last_restart) = self.sidecars;
        let mut running = false;
        // The reason of the first container that has one is shown, so the containers are visited in reverse order.
        for c in status.container_statuses.iter().flatten().rev() {
            self.count_restarts(c);
            let state = c.state.clone().unwrap_or_default();
            if let Some(reason) = state.waiting.and_then(|w| w.reason).filter(|r| !r.is_empty()) {
                self.reason = reason;
            } else if let Some(t) = &state.terminated {
                self.reason = end_reason(t);
            } else if c.ready && state.running.is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == TerminatedReason::Completed.as_str() && running {
            let shown = if has_condition(status, ConditionType::Ready) {
                Phase::Running.as_str()
            } else {
                "NotReady"
            };
            shown.clone_into(&mut self.reason);
        }
    }

    fn count_restarts(&mut self, c: &ContainerStatus) {
        self.restarts += i64::from(c.restart_count);
        self.last_restart = self.last_restart.max(last_end(c));
    }
}

/// Returns when the run before the current one ended.
fn last_end(c: &ContainerStatus) -> Option<Timestamp> {
    let ended = c.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    ended.and_then(|t| t.finished_at.as_ref()).map(|t| t.0)
}

fn end_reason(t: &ContainerStateTerminated) -> String {
    match (&t.reason, t.signal) {
        (Some(reason), _) if !reason.is_empty() => reason.clone(),
        (_, Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", t.exit_code),
    }
}

fn has_condition(status: &PodStatus, type_: ConditionType) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == type_.as_str() && c.status == "True")
}

/// Formats a number of seconds in at most two units, as kubectl shows ages: `45s`, `2m30s`, `3h5m`, `2d3h`, `2y10d`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: char, small: i64, sub: char| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{sub}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        const M: i64 = 60;
        const H: i64 = 3600;
        const D: i64 = 86_400;
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (45, "45s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (10 * M + 5, "10m"),
            (179 * M, "179m"),
            (3 * H + 5 * M, "3h5m"),
            (7 * H, "7h"),
            (8 * H + 59, "8h"),
            (47 * H, "47h"),
            (51 * H, "2d3h"),
            (7 * D, "7d"),
            (8 * D + H, "8d"),
            (45 * D, "45d"),
            (729 * D, "729d"),
            (730 * D, "2y"),
            (740 * D, "2y10d"),
            (8 * 365 * D + D, "8y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds} s");
        }
    }

    #[test]
    fn kubectl_shows_init_progress_and_failures() {
        let row = |init: serde_json::Value| {
            row_of(&serde_json::json!({
                "spec": {"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]},
                "status": {"phase": "Pending", "initContainerStatuses": init, "containerStatuses": [
                    {"name": "a", "state": {"waiting": {"reason": "PodInitializing"}}}]},
            }))
        };
        let done =
            serde_json::json!({"name": "i", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let wait = |reason: &str| serde_json::json!({"name": "j", "state": {"waiting": {"reason": reason}}});
        let end = |end: serde_json::Value| serde_json::json!({"name": "j", "state": {"terminated": end}});
        assert_eq!(row(serde_json::json!([wait("PodInitializing")])).status, "Init:0/2");
        assert_eq!(row(serde_json::json!([done, wait("PodInitializing")])).status, "Init:1/2");
        assert_eq!(row(serde_json::json!([done, wait("CrashLoopBackOff")])).status, "Init:CrashLoopBackOff");
        assert_eq!(
            row(serde_json::json!([end(serde_json::json!({"exitCode": 3}))])).status,
            "Init:ExitCode:3"
        );
        let killed = end(serde_json::json!({"exitCode": 137, "signal": 9}));
        assert_eq!(row(serde_json::json!([killed])).status, "Init:Signal:9");
        let error = end(serde_json::json!({"exitCode": 1, "reason": "Error"}));
        assert_eq!(row(serde_json::json!([error])).status, "Init:Error");
        assert_eq!(row(serde_json::json!([done, done])).status, "PodInitializing");
    }

    fn row_of(pod: &serde_json::Value) -> PodRow {
        let mut pod = pod.clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod_row(&serde_json::from_value(pod).unwrap(), "2026-11-23T18:00:00Z".parse().unwrap())
    }

    #[test]
    fn kubectl_shows_the_state_of_app_containers() {
        let row = |states: &[serde_json::Value], ready: &str| {
            let containers: Vec<_> = states.iter().map(|_| serde_json::json!({"name": "a"})).collect();
            let statuses: Vec<_> = states
                .iter()
                .map(|s| serde_json::json!({"name": "a", "ready": s.get("running").is_some(), "state": s}))
                .collect();
            row_of(&serde_json::json!({
                "spec": {"containers": containers},
                "status": {"phase": "Running", "containerStatuses": statuses,
                    "conditions": [{"type": "Ready", "status": ready}]},
            }))
        };
        let up = serde_json::json!({"running": {"startedAt": "2026-11-23T17:00:00Z"}});
        let done = serde_json::json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        let oom = serde_json::json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let bare = serde_json::json!({"terminated": {"exitCode": 3}});
        let pull = serde_json::json!({"waiting": {"reason": "ErrImagePull"}});
        let shown = |states: &[serde_json::Value], ready| {
            let row = row(states, ready);
            (row.ready, row.status)
        };
        let is = |ready: &str, status: &str| (ready.to_owned(), status.to_owned());
        assert_eq!(shown(&[up.clone(), up.clone()], "True"), is("2/2", "Running"));
        assert_eq!(shown(&[up.clone(), done.clone()], "False"), is("1/2", "NotReady"));
        assert_eq!(shown(&[up.clone(), done.clone()], "True"), is("1/2", "Running"));
        assert_eq!(shown(&[done.clone(), done], "False"), is("0/2", "Completed"));
        assert_eq!(shown(&[oom.clone(), up.clone()], "False"), is("1/2", "OOMKilled"));
        assert_eq!(shown(&[bare, oom], "False"), is("0/2", "ExitCode:3"));
        assert_eq!(shown(&[up, pull], "False"), is("1/2", "ErrImagePull"));
    }

    #[test]
    fn kubectl_shows_restarts_with_their_age_and_terminating() {
        let pod = serde_json::json!({
            "metadata": {"name": "web", "creationTimestamp": "2026-11-23T17:57:30Z"},
            "spec": {"containers": [{"name": "a"}]},
            "status": {"phase": "Running", "podIP": "10.88.0.2", "containerStatuses": [{
                "name": "a", "restartCount": 3, "ready": true,
                "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-11-23T17:59:48Z"}}}]},
        });
        let row = row_of(&pod);
        let shown = [&row.name, &row.ready, &row.status, &row.restarts, &row.age, &row.ip];
        assert_eq!(shown, ["web", "1/1", "Running", "3 (12s ago)", "2m30s", "10.88.0.2"]);
        let mut stopping = pod.clone();
        stopping["metadata"]["deletionTimestamp"] = "2026-11-23T18:00:30Z".into();
        assert_eq!(row_of(&stopping).status, "Terminating");
        stopping["status"]["phase"] = "Succeeded".into();
        assert_eq!(row_of(&stopping).status, "Succeeded");
    }
}
