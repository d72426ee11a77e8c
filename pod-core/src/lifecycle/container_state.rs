//! The state of a container.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Backoff, ContainerSpec, HookKind, Now, PostStart, PreStop, Role, Waiting};
use crate::kind::TerminatedReason;

/// How long to wait for the answer to a KillContainer before that action is requested again.
pub(super) const KILL_RETRY_MS: u64 = 10_000;

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// The container's name.
    pub name: String,
    /// What the container is doing now.
    pub state: RunState,
    /// How many times the container has run. The current or latest run has the number `runs - 1`, the next run has the
    /// number `runs`.
    pub runs: u32,
    /// How many of these runs took place before the pod was last reset by [`PodState::revive`](super::PodState::revive).
    #[serde(default)]
    pub former_runs: u32,
    /// Whether the container is an init container that has completed in the current sandbox, or a sidecar that has
    /// started in it.
    #[serde(default)]
    pub done: bool,
    /// How the latest run ended; while that run is still going, how the run before it ended.
    #[serde(default)]
    pub latest: Option<Terminated>,
    /// How the run before `latest` ended.
    #[serde(default)]
    pub previous: Option<Terminated>,
    /// The back-off of the container's restarts.
    #[serde(default)]
    pub backoff: Option<Backoff>,
    /// The back-off of the pulls of the container's image.
    #[serde(default)]
    pub pull_backoff: Option<Backoff>,
    /// How many attempts to create the container have failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub create_failures: u32,
    /// The image id of the latest run.
    #[serde(default)]
    pub image_id: String,
    /// The container id of the latest run, `kube://<id>`.
    #[serde(default)]
    pub container_id: String,
    /// Whether the startupProbe of the current run has not passed yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub awaits_startup: bool,
    /// Whether the readinessProbe of the current run has not passed yet, or fails. Stored this way round, so that a
    /// container that an earlier version started stays ready until a probe decides otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unready: bool,
    /// Whether the latest run was stopped in order to restart the container: then its exit code does not matter.
    #[serde(default, skip_serializing_if = "is_false")]
    pub must_restart: bool,
    /// How far the postStart hook of the current run is. After a run whose hook has failed this is kept until the next.
    #[serde(default, skip_serializing_if = "PostStart::is_done")]
    pub post_start: PostStart,
    /// How far the preStop hook of the current run is.
    #[serde(default, skip_serializing_if = "PreStop::is_none")]
    pub pre_stop: PreStop,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunState {
    /// The container is not running; it waits to be started.
    Waiting(Waiting),
    /// StartContainer was requested for attempt [`ContainerState::runs`] and has not been answered.
    Starting {
        /// The waiting reason that is shown until the container runs. `None`: the status shows the previous run as
        /// terminated.
        waiting: Option<Waiting>,
    },
    /// The container's process is running.
    Running {
        /// Process id on the host.
        pid: i32,
        /// When the process was started.
        since: Timestamp,
        /// The signal that asks the process to stop.
        stop_signal: String,
        /// How far the stop of the container has got.
        halt: Halt,
        /// Set if this container alone is to be stopped: when it is killed, in milliseconds since boot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kill_at: Option<u64>,
    },
    /// The container has ended; [`ContainerState::latest`] says how.
    Terminated,
}

/// How far the stop of a running container has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Halt {
    /// The container was not asked to stop.
    None,
    /// StopContainer was requested.
    Signalled,
    /// KillContainer was requested, for the last time at this time in milliseconds since boot.
    Killed(u64),
}

/// How a run of a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// The exit code, 128+n for signal n.
    pub exit_code: i32,
    /// state.terminated.reason.
    pub reason: TerminatedReason,
    /// Why the container could not start, why its exit code is unknown, or what the container said about its end
    /// (terminationMessagePath).
    #[serde(default)]
    pub message: Option<String>,
    /// When the run started; `None` if the process could not be started.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When the run ended.
    pub finished_at: Timestamp,
    /// When the run ended, in milliseconds since boot.
    pub finished_boot: u64,
    /// The container id of the run, `kube://<id>`.
    #[serde(default)]
    pub container_id: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl ContainerState {
    /// Returns status.restartCount.
    pub fn restart_count(&self) -> u32 {
        self.runs.saturating_sub(1)
    }

    /// Returns whether the container has run since the pod was created, or since it was last reset by
    /// [`PodState::revive`](super::PodState::revive).
    pub fn has_run(&self) -> bool {
        self.runs > self.former_runs
    }

    /// Returns whether the status has shown the container as running, or as ended: it has run, and this is not its first
    /// run whose postStart hook has not returned.
    pub(super) fn has_run_in_status(&self) -> bool {
        let starts = self.is_running() && matches!(self.post_start, PostStart::Running { .. });
        self.has_run() && !(starts && self.runs == self.former_runs.saturating_add(1))
    }

    /// Returns whether the container's process is running.
    pub fn is_running(&self) -> bool {
        matches!(self.state, RunState::Running { .. })
    }

    /// Returns status.started: the container runs, its postStart hook has returned and its startupProbe has passed, if
    /// it has them.
    pub fn is_started(&self) -> bool {
        self.is_running() && self.post_start.is_done() && !self.awaits_startup
    }

    /// Returns status.ready. An init container is ready once it has completed; a sidecar or an app container while it
    /// runs, its startupProbe has passed and its readinessProbe passes.
    pub fn is_ready(&self, role: Role) -> bool {
        match role {
            Role::Init => self.done,
            Role::Sidecar | Role::App => self.is_started() && !self.unready,
        }
    }

    /// Returns when the running container is killed, for the first time or again, if the pod is stopped by `stop`.
    pub(super) fn next_kill(&self, stop: Option<u64>) -> Option<u64> {
        match &self.state {
            RunState::Running { halt: Halt::Killed(at), .. } => Some(at.saturating_add(KILL_RETRY_MS)),
            RunState::Running { kill_at, .. } => {
                let deadline = stop.into_iter().chain(*kill_at).min()?;
                match self.pre_stop {
                    PreStop::Over { kill_after } => Some(deadline.max(kill_after)),
                    PreStop::None | PreStop::Running => Some(deadline),
                }
            }
            _ => None,
        }
    }

    /// Returns whether the container, which has ended with `code`, runs again.
    pub(super) fn restarts(&self, spec: &ContainerSpec, code: i32) -> bool {
        self.must_restart || spec.restarts(code)
    }

    /// Returns the attempt whose log `kube logs` shows. With `previous`, returns the attempt that `kube logs -p`
    /// shows: the one that the status calls lastState. `None`: there was no such run.
    pub fn log_attempt(&self, previous: bool) -> Option<u32> {
        let latest = self.runs.checked_sub(1)?;
        let waits = match &self.state {
            RunState::Waiting(_) | RunState::Starting { waiting: Some(_) } => true,
            RunState::Starting { waiting: None } | RunState::Running { .. } | RunState::Terminated => false,
        };
        if previous && !waits { latest.checked_sub(1) } else { Some(latest) }
    }

    /// Returns whether the container is running, or its start was requested and has not been answered.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, RunState::Running { .. } | RunState::Starting { .. })
    }
}

impl ContainerState {
    /// Returns whether the container runs and is being stopped.
    pub fn is_stopping(&self) -> bool {
        matches!(&self.state, RunState::Running { halt, kill_at, .. }
            if *halt != Halt::None || kill_at.is_some() || !self.pre_stop.is_none())
    }

    /// Returns the hook whose result is waited for.
    pub fn pending_hook(&self) -> Option<HookKind> {
        let RunState::Running { halt: Halt::None, .. } = &self.state else { return None };
        if self.pre_stop == PreStop::Running {
            return Some(HookKind::PreStop);
        }
        let starts = matches!(self.post_start, PostStart::Running { .. }) && !self.is_stopping();
        starts.then_some(HookKind::PostStart)
    }
}

impl Terminated {
    /// Creates the record of a run whose exit code is unknown. It gets the exit code of a killed process.
    pub(super) fn lost(started_at: Option<Timestamp>, now: Now, container_id: &str) -> Self {
        Self {
            exit_code: 137,
            reason: TerminatedReason::ContainerStatusUnknown,
            message: Some("The exit code of the container is lost".to_owned()),
            started_at,
            finished_at: now.wall,
            finished_boot: now.boot,
            container_id: container_id.to_owned(),
        }
    }
}
