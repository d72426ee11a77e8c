//! The hooks of a container: postStart and preStop.
//!
//! When a hook runs and what follows from its end is decided here and in [`halt`](super::halt). How it is done is not the
//! concern of the state machine.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use serde::{Deserialize, Serialize};

use super::step::Machine;
use super::{Action, ContainerState, Halt, PodState, RunState, Waiting};
use crate::kind::WaitingReason;

/// How long a container whose preStop hook has run has for its stop signal, also if its grace period is over (the
/// kubelet's minimumGracePeriodInSeconds). This is the extension, given once, of a grace period that a hook used up.
const SHUTDOWN_WINDOW_MS: u64 = 2_000;

/// Which hook of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HookKind {
    /// lifecycle.postStart.
    PostStart,
    /// lifecycle.preStop.
    PreStop,
}

/// One execution of a hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HookRun {
    /// Container.
    pub container: String,
    /// Which run of the container, from 0.
    pub attempt: u32,
    /// Which hook.
    pub kind: HookKind,
}

/// Which hooks a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookSpecs {
    /// Whether it has lifecycle.postStart.
    pub post_start: bool,
    /// Whether it has lifecycle.preStop.
    pub pre_stop: bool,
}

/// How far the postStart hook of the latest run of a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostStart {
    /// It has returned, or there is none.
    #[default]
    Done,
    /// RunHook was requested and has not been answered.
    Running {
        /// The waiting reason that is shown meanwhile, as in [`RunState::Starting`].
        waiting: Option<Waiting>,
    },
    /// It has failed; the container is killed for it.
    Failed {
        /// The message for the user.
        message: String,
    },
}

/// How far the preStop hook of a running container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreStop {
    /// It was not requested.
    #[default]
    None,
    /// RunHook was requested and has not been answered. The stop signal waits for it.
    Running,
    /// It has ended, or it still ran when the grace period was over. The stop signal was requested.
    Over {
        /// The container is not killed before this time, in milliseconds since boot.
        kill_after: u64,
    },
}

impl HookKind {
    /// Returns its field of `lifecycle`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostStart => "postStart",
            Self::PreStop => "preStop",
        }
    }

    /// Returns this hook of a container.
    pub fn of(self, container: &Container) -> Option<&LifecycleHandler> {
        let lifecycle = container.lifecycle.as_ref()?;
        match self {
            Self::PostStart => lifecycle.post_start.as_ref(),
            Self::PreStop => lifecycle.pre_stop.as_ref(),
        }
    }

    /// Returns whether a hook that was running when its supervisor was killed runs again. How it ended is not known.
    ///
    /// A preStop hook does, because the container must not be stopped before it has run, and a restarted kubelet begins
    /// the stop anew as well. A postStart hook does not: its command still runs in the container or has already done
    /// its work, which would be done twice, and a restarted kubelet counts a container that it finds running as
    /// started.
    pub fn runs_again(self) -> bool {
        self == Self::PreStop
    }
}

impl HookSpecs {
    /// Reads the hooks of a container.
    pub fn from_container(container: &Container) -> Self {
        let has = |kind: HookKind| kind.of(container).is_some();
        Self { post_start: has(HookKind::PostStart), pre_stop: has(HookKind::PreStop) }
    }
}

impl PostStart {
    /// Returns whether it has returned without a failure, or there is none.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Returns the waiting reason of a container whose hook has failed.
    pub(super) fn failure(&self) -> Option<Waiting> {
        let Self::Failed { message } = self else { return None };
        Some(Waiting { message: Some(message.clone()), ..Waiting::new(WaitingReason::PostStartHookError) })
    }
}

impl PreStop {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Creates the state of a hook that is over now.
    pub(super) fn over(now: u64) -> Self {
        Self::Over { kill_after: now.saturating_add(SHUTDOWN_WINDOW_MS) }
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

impl PodState {
    /// Returns whether a hook that runs may go on. A postStart hook ends when its container is stopped; a preStop hook
    /// that the grace period was too short for goes on until its container is killed.
    pub fn may_run(&self, run: &HookRun) -> bool {
        let Some(c) = self.container(&run.container) else { return false };
        let RunState::Running { halt, .. } = &c.state else { return false };
        let runs = match run.kind {
            HookKind::PostStart => c.pending_hook() == Some(HookKind::PostStart),
            HookKind::PreStop => !c.pre_stop.is_none() && !matches!(halt, Halt::Killed(_)),
        };
        runs && c.restart_count() == run.attempt
    }
}

impl Machine<'_> {
    /// Applies the end of a hook.
    pub(super) fn hook_ended(&mut self, container: &str, attempt: u32, kind: HookKind, error: Option<&str>) {
        let run = HookRun { container: container.to_owned(), attempt, kind };
        if !self.state.may_run(&run) {
            return;
        }
        let now = self.now.boot;
        let grace = self.spec.grace_seconds.saturating_mul(1000);
        let Some(c) = self.state.containers.iter_mut().find(|c| c.name == container) else { return };
        let RunState::Running { stop_signal, halt, kill_at, .. } = &mut c.state else { return };
        match (kind, error) {
            (HookKind::PostStart, None) => c.post_start = PostStart::Done,
            (HookKind::PostStart, Some(message)) => {
                c.post_start = PostStart::Failed { message: message.to_owned() };
                *kill_at = Some(now.saturating_add(grace));
                // As in a cluster, events do not say why: that is in the status, because it may contain secrets.
                self.emit_warning("FailedPostStartHook", "PostStartHook failed".to_owned(), Some(container));
                self.emit_normal("Killing", "FailedPostStartHook".to_owned(), Some(container));
            }
            (HookKind::PreStop, error) => {
                if *halt == Halt::None {
                    *halt = Halt::Signalled;
                    c.pre_stop = PreStop::over(now);
                    let (container, signal) = (c.name.clone(), stop_signal.clone());
                    self.actions.push(Action::StopContainer { container, signal });
                }
                if error.is_some() {
                    self.emit_warning("FailedPreStopHook", "PreStopHook failed".to_owned(), Some(container));
                }
            }
        }
    }
}
