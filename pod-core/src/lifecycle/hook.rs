//! The hooks of a container: postStart and preStop.
//!
//! These are their parts of specs and states. When a hook runs and what follows from its end is decided in
//! [`halt`](super::halt). How it is done is not the concern of the state machine.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use serde::{Deserialize, Serialize};

use super::Waiting;
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
    /// It has ended, or it still ran when the grace period was over. The stop signal was requested, unless a sidecar
    /// waits for its turn.
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
    /// the stop from its start as well. A postStart hook does not: its command still runs in the container or has already
    /// done its work, which would be done twice, and a restarted kubelet counts a container that it finds running as
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
