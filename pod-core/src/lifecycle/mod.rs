//! One pod as a state machine: `step(state, event, now) -> (state, actions)`. Pure: no I/O, no clock.
//!
//! The supervisor turns what the kernel says into [`Event`]s and [`Action`]s into calls. All of the kubelet's
//! rules for phases, restarts, back-off, init order and orderly stop live here.

mod backoff;
mod conditions;
mod phase;
mod printer;
mod problem;
mod spec;
mod state;
mod status;
mod step;

pub use backoff::Backoff;
pub use conditions::{Conditions, Phase, Transition};
pub use printer::{PodRow, human_duration, pod_row};
pub use spec::{ContainerSpec, PodSpec, RestartPolicy, Role};
pub use state::{ContainerState, Goal, Halt, PodState, RunState, Sandbox, Stopping, Terminated, Waiting};
pub use status::pod_with_status;
pub use step::step;

use std::net::IpAddr;

use crate::kind::{EventType, WaitingReason};

/// A moment, by both clocks. Waits are measured on `boot` (CLOCK_BOOTTIME: runs on through suspend, never
/// jumps); what a user sees is `wall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since boot.
    pub boot: u64,
    /// Wall clock.
    pub wall: jiff::Timestamp,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The pod should run.
    Start,
    /// Its sandbox (namespaces, network, infra container) stands.
    SandboxReady {
        /// status.podIPs.
        ips: Vec<IpAddr>,
    },
    /// Its sandbox could not be made; what was made of it is undone.
    SandboxFailed {
        /// For a person.
        message: String,
    },
    /// The infra container ended though nobody asked (killed, reboot): all containers go with it.
    SandboxDied,
    /// A container's process runs.
    Started {
        /// Which container.
        container: String,
        /// Which run of it, from 0.
        attempt: u32,
        /// Process id on the host.
        pid: i32,
        /// `kube://<id>`.
        container_id: String,
        /// Image id (`sha256:...`).
        image_id: String,
        /// SIGTERM, or what image or lifecycle.stopSignal say.
        stop_signal: String,
    },
    /// A container could not be made or started; nothing of it is left.
    StartFailed {
        /// Which container.
        container: String,
        /// Which run of it.
        attempt: u32,
        /// What the container waits for from now on.
        reason: WaitingReason,
        /// For a person.
        message: String,
    },
    /// A container's process ended.
    Exited {
        /// Which container.
        container: String,
        /// Which run of it.
        attempt: u32,
        /// Exit code, 128+n for signal n; `None` when it was lost (137, ContainerStatusUnknown).
        code: Option<i32>,
        /// Killed by the kernel for lack of memory.
        oom_killed: bool,
    },
    /// The pod should end; repeated requests may only shorten the grace.
    Stop {
        /// Overrides the pod's grace period.
        grace_seconds: Option<u64>,
    },
    /// Everything of the sandbox is gone.
    SandboxRemoved,
    /// [`PodState::next_deadline`] has come.
    Tick,
}

/// Something to do. Each but `Emit` is answered by an [`Event`] sooner or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make namespaces, network and infra container: answers SandboxReady or SandboxFailed.
    CreateSandbox,
    /// Make and start a container from its image: answers Started or StartFailed.
    StartContainer {
        /// Which container.
        container: String,
        /// Which run of it, from 0.
        attempt: u32,
    },
    /// Ask a container to stop with its stop signal: answers Exited.
    StopContainer {
        /// Which container.
        container: String,
        /// `SIGTERM` or another.
        signal: String,
    },
    /// Kill all of a container: answers Exited.
    KillContainer {
        /// Which container.
        container: String,
    },
    /// Remove infra container, network and namespaces: answers SandboxRemoved.
    RemoveSandbox,
    /// Tell the user (kube events).
    Emit {
        /// Its type.
        kind: EventType,
        /// `Started`, `BackOff`, `Killing`, ...
        reason: String,
        /// For a person.
        message: String,
        /// The container it is about.
        container: Option<String>,
    },
}

#[cfg(test)]
mod tests;
