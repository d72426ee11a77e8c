//! Decides which pods of a workload should exist now, as a state machine. It is pure: no I/O, no clock, no randomness.
//!
//! [`step`] does the work of Kubernetes' controllers. It takes the applied [`Spec`], the stored [`State`] of the
//! controller, the status of the workload's pods ([`PodStatus`]) and the time. It returns the new state and the pods
//! to create and delete ([`Action`]). The supervisor of the workload carries out the actions. A command that records a
//! workload before its supervisor runs does the same, so that the record is written only once.
//!
//! Start reading at [`Spec`], then [`step`].

mod conditions;
mod conflict;
mod controller;
mod counts;
pub mod patch;
mod replica_set;
mod revisions;
mod rolling;
mod scaling;
mod spec;
mod state;
mod step;
pub mod view;

pub use crate::plan::rule::{Bounds, IntOrPercent, Replicas, Rule, Strategy};
pub use conflict::{Conflict, Exclusive, conflict, may_start};
pub use counts::Counts;
pub use spec::Spec;
pub use state::{Condition, Progress, Revision, State};
pub use step::step;

use jiff::{SignedDuration, Timestamp};

use crate::kind::EventType;

/// The status of one pod of the workload, as far as the controller needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    /// metadata.uid.
    pub uid: String,
    /// metadata.name, for messages.
    pub name: String,
    /// [`Revision::hash`] of the template that the pod was created from.
    pub hash: String,
    /// [`Spec::replaced`] at the time that the pod was created.
    pub replaced: u64,
    /// metadata.creationTimestamp.
    pub created: Timestamp,
    /// Whether the pod is being deleted. Such a pod does not count as a replica.
    pub terminating: bool,
    /// Whether the pod should run. `false` for a pod that was created by `play --start=false`.
    pub should_run: bool,
    /// Whether every container has started at least once.
    pub is_started: bool,
    /// Whether status.phase is Succeeded or Failed.
    pub has_ended: bool,
    /// When condition Ready became True; `None` while it is not True.
    pub ready_since: Option<Timestamp>,
    /// The sum of the restart counts of the pod's containers.
    pub restarts: u32,
    /// The annotation controller.kubernetes.io/pod-deletion-cost; 0 if the pod has none.
    pub deletion_cost: i32,
    /// Why the pod cannot become Ready (`container main: ErrImagePull: ...`), if that is known.
    pub problem: Option<String>,
    /// Why the pod's app containers do not start although everything was created: an init container failed.
    pub failed_init: Option<String>,
}

impl PodStatus {
    /// Returns whether the pod counts as a replica.
    pub fn is_active(&self) -> bool {
        !self.terminating && !self.has_ended
    }

    /// Returns whether the pod counts as available: it is active and has been Ready for minReadySeconds.
    pub fn is_available(&self, min_ready_seconds: u32, now: Timestamp) -> bool {
        self.available_at(min_ready_seconds).is_some_and(|at| at <= now)
    }

    /// Returns when the pod becomes available if it stays Ready.
    pub(crate) fn available_at(&self, min_ready_seconds: u32) -> Option<Timestamp> {
        let ready_since = self.ready_since.filter(|_| self.is_active())?;
        Some(after(ready_since, min_ready_seconds))
    }
}

/// Returns the time `seconds` after `from`.
fn after(from: Timestamp, seconds: u32) -> Timestamp {
    from.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

/// What happened since the last step. Spec, pods and time are separate arguments of [`step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A spec was applied, or a supervisor took the workload over.
    Applied,
    /// A pod has changed or was removed.
    PodsChanged,
    /// The time [`State::next_deadline`] was reached.
    Tick,
}

/// Something that the supervisor has to do. `CreatePods` and `DeletePod` are answered by [`Event::PodsChanged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create pods of the revision with this hash; [`Spec::running`] says whether they are started.
    CreatePods {
        /// [`Revision::hash`].
        hash: String,
        /// The number of pods to create.
        count: u32,
    },
    /// Stop and remove a pod.
    DeletePod {
        /// The pod's uid.
        uid: String,
    },
    /// Start a pod that was created without being started.
    StartPod {
        /// The pod's uid.
        uid: String,
    },
    /// Record a Kubernetes event of the workload, which `kube events` shows to the user.
    Emit {
        /// The event's type.
        kind: EventType,
        /// `ScalingReplicaSet`, `SuccessfulCreate`, `ProgressDeadlineExceeded`, ...
        reason: &'static str,
        /// The message for the user.
        message: String,
    },
}

#[cfg(test)]
mod tests;
