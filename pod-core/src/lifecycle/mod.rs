//! The life of a pod as a state machine: `step(spec, state, event, now) -> (state, actions)`. It is a pure function:
//! it does no I/O and reads no clock.
//!
//! The supervisor translates what the kernel reports into [`Event`]s, and carries out the [`Action`]s. All of the
//! kubelet's rules for phases, restarts, back-off, the order of init containers and graceful stop are implemented
//! here.

mod backoff;
mod conditions;
mod container_state;
mod halt;
mod hook;
mod phase;
mod printer;
mod probe;
mod problem;
mod spec;
mod state;
mod status;
mod step;
mod waiting;

pub use backoff::Backoff;
pub use conditions::{Conditions, Phase, Transition};
pub use container_state::{ContainerState, Halt, RunState, Terminated};
pub use hook::{HookKind, HookRun, HookSpecs, PostStart, PreStop};
pub use printer::{PodRow, human_duration, pod_row};
pub use probe::{ProbeKind, ProbeResult, ProbeRun, ProbeSchedule, ProbeSpec, ProbeSpecs};
pub use spec::{ContainerSpec, PodSpec, RestartPolicy, RestartRule, Role};
pub use state::{Failure, Goal, PodState, Sandbox, Stopping};
pub use status::pod_with_status;
pub use step::step;
pub use waiting::Waiting;

use std::net::IpAddr;

use crate::kind::{EventType, WaitingReason};

/// The current time on two clocks. Waits are measured on `boot` (CLOCK_BOOTTIME, which includes the time in suspend
/// and never jumps); timestamps shown to a user come from `wall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since boot.
    pub boot: u64,
    /// The time of the wall clock.
    pub wall: jiff::Timestamp,
}

/// Something that happened to the pod: input of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The pod was asked to run.
    Start,
    /// The pod's sandbox (namespaces, network, infra container) was created.
    SandboxReady {
        /// status.podIPs.
        ips: Vec<IpAddr>,
    },
    /// The pod's sandbox could not be created; the parts that had been created are removed again.
    SandboxFailed {
        /// The message for the user.
        message: String,
    },
    /// The infra container ended without having been asked to (it was killed, or the host rebooted). All containers of
    /// the pod end with it.
    SandboxDied,
    /// A container's process was started.
    Started {
        /// The container's name.
        container: String,
        /// The number of the run of the container, counted from 0.
        attempt: u32,
        /// Process id on the host.
        pid: i32,
        /// `kube://<id>`.
        container_id: String,
        /// Image id (`sha256:...`).
        image_id: String,
        /// The signal that asks the process to stop: the container's lifecycle.stopSignal, else the image's, else
        /// SIGTERM.
        stop_signal: String,
    },
    /// A container could not be created or started; the parts that had been created are removed again.
    StartFailed {
        /// The container's name.
        container: String,
        /// The number of the run of the container.
        attempt: u32,
        /// The waiting reason that the container has from now on.
        reason: WaitingReason,
        /// The message for the user.
        message: String,
    },
    /// A container's process has ended.
    Exited {
        /// The container's name.
        container: String,
        /// The number of the run of the container.
        attempt: u32,
        /// The exit code, 128+n for signal n. `None` if the exit code was lost: the status then shows 137 and
        /// ContainerStatusUnknown.
        code: Option<i32>,
        /// Whether the kernel killed the process for lack of memory.
        oom_killed: bool,
        /// What the container has left as its termination message.
        message: Option<String>,
    },
    /// A probe has passed or failed as often in a row as its threshold demands.
    Probed {
        /// The container's name.
        container: String,
        /// Which run of the container, from 0.
        attempt: u32,
        /// Which of its probes.
        probe: ProbeKind,
        /// Whether it passed.
        passed: bool,
    },
    /// A hook of a container has ended. Not reported if the hook was cancelled, because its container was stopped or has
    /// ended.
    HookEnded {
        /// The container's name.
        container: String,
        /// Which run of the container, from 0.
        attempt: u32,
        /// Which of its hooks.
        hook: HookKind,
        /// Why it has failed, for the user; `None` if it has succeeded.
        error: Option<String>,
    },
    /// The pod has to end as a whole, and is Failed whatever its containers do.
    Fail {
        /// status.reason, such as `Evicted`.
        reason: String,
        /// status.message.
        message: String,
        /// The grace period of its containers.
        grace_seconds: u64,
    },
    /// The plan of the pod has changed: what could not be created is tried again at once, and former failures do not
    /// count any more.
    Changed,
    /// A container has to be restarted, because its changed cpu or memory asks for that.
    Restart {
        /// The container's name.
        container: String,
    },
    /// The pod was asked to stop. A repeated request can only shorten the grace period.
    Stop {
        /// The grace period to use instead of the pod's own.
        grace_seconds: Option<u64>,
    },
    /// The sandbox was removed completely.
    SandboxRemoved,
    /// The time [`PodState::next_deadline`] was reached.
    Tick,
}

/// Something that the supervisor has to do: output of the state machine. Every action except `Emit` is answered by an
/// [`Event`] sooner or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create namespaces, network and infra container. Answered by SandboxReady or SandboxFailed.
    CreateSandbox,
    /// Create a container from its image and start it. Answered by Started or StartFailed.
    StartContainer {
        /// The container's name.
        container: String,
        /// The number of the run of the container, counted from 0.
        attempt: u32,
    },
    /// Run a hook of a container. Answered by HookEnded, or by Exited if the container ends first.
    RunHook {
        /// The container's name.
        container: String,
        /// The number of the run of the container, counted from 0.
        attempt: u32,
        /// Which of its hooks.
        hook: HookKind,
    },
    /// Send a container its stop signal. Answered by Exited.
    StopContainer {
        /// The container's name.
        container: String,
        /// The name of the signal, such as `SIGTERM`.
        signal: String,
    },
    /// Kill all processes of a container. Answered by Exited.
    KillContainer {
        /// The container's name.
        container: String,
    },
    /// Remove infra container, network and namespaces. Answered by SandboxRemoved.
    RemoveSandbox,
    /// Record a Kubernetes event, which `kube events` shows to the user.
    Emit {
        /// The event's type.
        kind: EventType,
        /// `Started`, `BackOff`, `Killing`, ...
        reason: String,
        /// The message for the user.
        message: String,
        /// The container that the event is about; `None` if it is about the pod.
        container: Option<String>,
    },
}

#[cfg(test)]
mod tests;
