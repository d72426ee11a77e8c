//! Which pods of a workload should exist now, as a state machine. Pure: no I/O, no clock, no randomness.
//!
//! [`step`] plays the part of Kubernetes' controllers: it takes what was applied ([`Spec`]), what the controller
//! remembers ([`State`]), what is known of the workload's pods ([`PodStatus`]) and the time, and returns the new state
//! and the pods to create and delete ([`Action`]). The supervisor of the workload carries the actions out; before a
//! supervisor runs, whoever records the workload does the same, so that a record is written once.
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

/// What the controller knows of one pod of the workload.
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
    /// The pod is being deleted. Such a pod does not count as a replica.
    pub terminating: bool,
    /// The pod is one that should run. `false` for a pod that was created by `play --start=false`.
    pub should_run: bool,
    /// Every container has started at least once.
    pub is_started: bool,
    /// status.phase is Succeeded or Failed.
    pub has_ended: bool,
    /// Since when condition Ready is True; `None` while it is not.
    pub ready_since: Option<Timestamp>,
    /// Sum of its containers' restart counts.
    pub restarts: u32,
    /// Annotation controller.kubernetes.io/pod-deletion-cost, else 0.
    pub deletion_cost: i32,
    /// Why the pod cannot become Ready as things are (`container main: ErrImagePull: ...`), if that is known.
    pub problem: Option<String>,
}

impl PodStatus {
    /// The pod counts as a replica.
    pub fn is_active(&self) -> bool {
        !self.terminating && !self.has_ended
    }

    /// The pod counts as available: it is active and has been Ready for long enough.
    pub fn is_available(&self, min_ready_seconds: u32, now: Timestamp) -> bool {
        self.available_at(min_ready_seconds).is_some_and(|at| at <= now)
    }

    /// When the pod becomes available if it stays Ready.
    pub(crate) fn available_at(&self, min_ready_seconds: u32) -> Option<Timestamp> {
        let ready_since = self.ready_since.filter(|_| self.is_active())?;
        Some(after(ready_since, min_ready_seconds))
    }
}

/// The time `seconds` after `from`.
fn after(from: Timestamp, seconds: u32) -> Timestamp {
    from.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

/// What happened since the last step. The spec, the pods and the time are given beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A spec was applied, or a supervisor took the workload over.
    Applied,
    /// A pod has changed, or is gone.
    PodsChanged,
    /// [`State::next_deadline`] has come.
    Tick,
}

/// Something to do. `CreatePods` and `DeletePod` are answered by [`Event::PodsChanged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create pods of the revision with this hash; [`Spec::running`] says whether they are started.
    CreatePods {
        /// [`Revision::hash`].
        hash: String,
        /// How many.
        count: u32,
    },
    /// Stop and remove a pod.
    DeletePod {
        /// Its uid.
        uid: String,
    },
    /// Start a pod that was created without being started.
    StartPod {
        /// Its uid.
        uid: String,
    },
    /// Tell the user (kube events).
    Emit {
        /// Its type.
        kind: EventType,
        /// `ScalingReplicaSet`, `SuccessfulCreate`, `ProgressDeadlineExceeded`, ...
        reason: &'static str,
        /// For a person.
        message: String,
    },
}

#[cfg(test)]
mod tests;
