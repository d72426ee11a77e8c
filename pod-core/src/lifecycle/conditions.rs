use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kind::ConditionType;

/// status.phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not every container has started yet.
    Pending,
    /// Every container has started, and at least one runs, starts or will restart.
    Running,
    /// Every container has ended with exit code 0 and none will restart. Final.
    Succeeded,
    /// Every container has ended, at least one with an exit code other than 0, and none will restart. Final.
    Failed,
}

impl Phase {
    /// Returns whether the phase is Succeeded or Failed.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// Returns the phase as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// A condition's status and when it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// `True` or `False`.
    pub status: bool,
    /// lastTransitionTime.
    pub since: Timestamp,
}

impl Transition {
    pub(super) fn set(&mut self, status: bool, now: Timestamp) {
        if self.status != status {
            *self = Self { status, since: now };
        }
    }
}

/// status.conditions, without their reasons, which follow from the rest of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// PodScheduled: always true, because there is only one node.
    pub scheduled: Transition,
    /// PodReadyToStartContainers: the sandbox is ready.
    pub ready_to_start: Transition,
    /// Initialized: every init container is done.
    pub initialized: Transition,
    /// ContainersReady: every app container is ready.
    pub containers_ready: Transition,
    /// Ready.
    pub ready: Transition,
    /// AllContainersRestarting: all containers are being stopped to run again. Only a pod with such a rule has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_restarting: Option<Transition>,
}

impl Conditions {
    /// Returns the status of a condition by its type; `None` if the pod has no such condition.
    pub(super) fn get(&self, type_: &str) -> Option<bool> {
        let all = [
            (ConditionType::PodScheduled, self.scheduled),
            (ConditionType::PodReadyToStartContainers, self.ready_to_start),
            (ConditionType::Initialized, self.initialized),
            (ConditionType::ContainersReady, self.containers_ready),
        ];
        all.iter().find(|(known, _)| known.as_str() == type_).map(|(_, transition)| transition.status)
    }

    /// Creates the conditions of a pod that was just created.
    pub fn new(now: Timestamp) -> Self {
        let no = Transition { status: false, since: now };
        Self {
            scheduled: Transition { status: true, since: now },
            ready_to_start: no,
            initialized: no,
            containers_ready: no,
            ready: no,
            all_restarting: None,
        }
    }
}
