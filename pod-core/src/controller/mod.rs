//! Applies the decisions of a workload's controller to its record. It is pure: no I/O.
//!
//! [`workload::step`] decides which pods should exist. [`Controller`] enters its actions into the [`WorkloadRecord`]:
//! it adds the pods to create, with the names and uids that the caller provides, and marks the pods to delete. The
//! caller saves the record first and then creates and deletes the pods. A supervisor does this as long as it runs. A
//! command that finds no supervisor does the same, so that the record is written only once.
//!
//! Start reading at [`Controller::change`]. [`pod_status`] computes the controller's view of a pod, and [`Status`] is
//! the status of the workload for clients that wait for it.

mod pod_status;
mod status;

pub use pod_status::{observed, pod_status};
pub use status::{Culprit, Status, wanted};

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kind::EventType;
use crate::plan::PodTemplate;
use crate::plan::resize::{self, Resize};
use crate::record::{Desired, PodRecord, WorkloadRecord};
use crate::store::WorkloadId;
use crate::workload::{self, Action, Event, PodStatus, Spec, State};

/// The maximum number of steps of the controller for one event. Each step except the last one creates or deletes pods;
/// two or three steps are enough in practice.
const MOST_STEPS: usize = 16;

/// The random parts of a new object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// metadata.uid.
    pub uid: String,
    /// The suffix of a generated name.
    pub suffix: String,
}

/// A requested change of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum WorkloadChange {
    /// Apply this spec. A workload that is being deleted is created again while its former pods terminate.
    Apply {
        /// The spec.
        spec: Box<Spec>,
        /// Uids of pods to delete first, without a grace period, because a failed `kube play` created them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kill: Vec<String>,
    },
    /// Stop and remove the workload.
    #[serde(rename_all = "camelCase")]
    Delete {
        /// The grace period in seconds to use instead of those of the pods.
        grace_seconds: Option<u64>,
    },
}

/// A Kubernetes event of a workload, which `kube events` shows to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmittedEvent {
    /// The event's type.
    pub kind: EventType,
    /// `ScalingReplicaSet`, ...
    pub reason: &'static str,
    /// The message for the user.
    pub message: String,
}

/// The new record, and the events to report once the record is saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The new record.
    pub record: WorkloadRecord,
    /// The events of the workload.
    pub emitted: Vec<EmittedEvent>,
}

/// The controller of a workload, with the functions that it needs from its caller.
pub struct Controller<'a> {
    /// Returns the status of a recorded pod ([`pod_status`]).
    pub status_of: &'a dyn Fn(&PodRecord) -> PodStatus,
    /// Creates identities.
    pub identity: &'a mut dyn FnMut() -> Identity,
    /// The current time.
    pub now: Timestamp,
}

impl Controller<'_> {
    /// Applies a change to a workload. `before` is its record, if there is one. Returns `None` if there is nothing to
    /// delete.
    pub fn change(
        &mut self,
        before: Option<&WorkloadRecord>,
        id: &WorkloadId,
        change: &WorkloadChange,
    ) -> Option<Outcome> {
        match change {
            WorkloadChange::Apply { spec, kill } => Some(self.apply(before, id, spec, kill)),
            WorkloadChange::Delete { grace_seconds } => {
                let mut record = before?.clone();
                record.delete(*grace_seconds);
                Some(Outcome { record, emitted: Vec::new() })
            }
        }
    }

    fn apply(
        &mut self,
        before: Option<&WorkloadRecord>,
        id: &WorkloadId,
        spec: &Spec,
        kill: &[String],
    ) -> Outcome {
        let mut record = match before.filter(|before| !before.deleting) {
            Some(before) => before.clone(),
            None => {
                let uid = (self.identity)().uid;
                let mut record = WorkloadRecord::new(id.clone(), uid, self.now, spec.clone());
                record.pods = before.map(|before| before.pods.clone()).unwrap_or_default();
                record
            }
        };
        // A spec with an older generation changes nothing. Its sender may have sent it again because the answer was
        // lost.
        if spec.generation > record.spec.generation {
            record.spec.clone_from(spec);
        }
        resize_in_place(&mut record);
        for pod in record.pods.iter_mut().filter(|pod| kill.contains(&pod.plan.uid)) {
            pod.remove(Some(0));
        }
        self.step(record, Event::Applied)
    }

    /// Takes one step of the controller. Returns the new state and the events if no pod has to be created, deleted or
    /// started, and `None` otherwise. A record of many pods then need not be copied each time that one of them becomes
    /// ready.
    pub fn look(&self, record: &WorkloadRecord, event: Event) -> Option<(State, Vec<EmittedEvent>)> {
        if record.deleting {
            return Some((record.state.clone(), Vec::new()));
        }
        let pods: Vec<PodStatus> = record.pods.iter().map(|pod| self.current_status(pod)).collect();
        let (state, actions) = workload::step(&record.spec, record.state.clone(), &pods, event, self.now);
        let emitted = actions.into_iter().map(|action| match action {
            Action::Emit { kind, reason, message } => Some(EmittedEvent { kind, reason, message }),
            _ => None,
        });
        Some((state, emitted.collect::<Option<_>>()?))
    }

    /// Takes steps of the controller until it requests no more actions.
    pub fn step(&mut self, mut record: WorkloadRecord, mut event: Event) -> Outcome {
        let mut emitted = Vec::new();
        for _ in 0..MOST_STEPS {
            // No more pods are created for a workload that is being deleted.
            if record.deleting {
                break;
            }
            let pods: Vec<PodStatus> = record.pods.iter().map(|pod| self.current_status(pod)).collect();
            let state = std::mem::take(&mut record.state);
            let (state, actions) = workload::step(&record.spec, state, &pods, event, self.now);
            record.state = state;
            let mut acted = false;
            for action in actions {
                match action {
                    Action::CreatePods { hash, count } => acted |= self.create(&mut record, &hash, count),
                    Action::DeletePod { uid } => acted |= change(&mut record, &uid, |pod| pod.remove(None)),
                    Action::StartPod { uid } => {
                        acted |= change(&mut record, &uid, |pod| pod.desired = Desired::Running);
                    }
                    Action::Emit { kind, reason, message } => {
                        emitted.push(EmittedEvent { kind, reason, message });
                    }
                }
            }
            if !acted {
                break;
            }
            event = Event::PodsChanged;
        }
        Outcome { record, emitted }
    }

    /// Returns the status of a pod, combined with the fields of its record.
    fn current_status(&self, pod: &PodRecord) -> PodStatus {
        let status = (self.status_of)(pod);
        let should_run = pod.desired == Desired::Running;
        // A pod that should not run may still have the state of an earlier run that was stopped.
        PodStatus {
            // A pod that has just been resized is of the new template, which its status does not say yet.
            hash: pod.plan.hash.clone(),
            terminating: pod.removing,
            should_run,
            has_ended: status.has_ended && should_run,
            ..status
        }
    }

    fn create(&mut self, record: &mut WorkloadRecord, hash: &str, count: u32) -> bool {
        let Some(template) = template(record, hash).cloned() else { return false };
        let desired = if record.spec.running { Desired::Running } else { Desired::Stopped };
        for _ in 0..count {
            let Identity { uid, suffix } = (self.identity)();
            let plan = template.instantiate(&uid, &suffix, self.now);
            record.pods.push(PodRecord { replaced: record.spec.replaced, ..PodRecord::new(plan, desired) });
        }
        count > 0
    }
}

/// Gives the pod of a workload of kind Pod the cpu and memory of the workload's template, if nothing else has changed. The
/// supervisor then changes the cgroups of the pod.
fn resize_in_place(record: &mut WorkloadRecord) {
    let spec = &record.spec;
    if !matches!(spec.rule, workload::Rule::Once) {
        return;
    }
    for pod in record.pods.iter_mut().filter(|pod| is_resized(pod, spec)) {
        pod.plan = Arc::new(resize::resized(&pod.plan, &spec.template));
    }
}

/// Returns whether a pod becomes current by a change of its cpu and memory.
pub fn is_resized(pod: &PodRecord, spec: &Spec) -> bool {
    matches!(resize_of(pod, spec), Some(Resize::InPlace { .. }))
}

/// Returns what a changed spec means for a pod; `None` if the pod is current, ends, or is replaced in any case.
pub fn resize_of(pod: &PodRecord, spec: &Spec) -> Option<Resize> {
    let stands = !pod.removing && pod.ended.is_none() && pod.replaced >= spec.replaced;
    let is_changed =
        stands && matches!(spec.rule, workload::Rule::Once) && pod.plan.hash != spec.template.hash;
    is_changed.then(|| resize::of_template(&pod.plan, &spec.template))
}

/// Returns the template of a revision.
fn template<'a>(record: &'a WorkloadRecord, hash: &str) -> Option<&'a PodTemplate> {
    let mut revisions = record.state.revisions.iter().rev();
    let of_revision = revisions.find(|revision| revision.hash == hash).map(|revision| &revision.template);
    of_revision.or(Some(&record.spec.template).filter(|template| template.hash == hash))
}

/// Changes a pod of the record. Returns false if there is no pod with this uid.
fn change(record: &mut WorkloadRecord, uid: &str, change: impl FnOnce(&mut PodRecord)) -> bool {
    let pod = record.pods.iter_mut().find(|pod| pod.plan.uid == uid);
    pod.map(change).is_some()
}

/// Returns a random identity.
pub fn random_identity() -> Identity {
    let uid = uuid::Uuid::new_v4();
    Identity { uid: uid.to_string(), suffix: suffix(uid.as_bytes()) }
}

/// Returns five characters of Kubernetes' alphabet for generated names, which has no vowels so that it spells no
/// words.
fn suffix(random: &[u8]) -> String {
    let alphabet = crate::plan::hash::SAFE_ALPHABET;
    random.iter().take(5).filter_map(|b| alphabet.get(usize::from(*b) % 27)).map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests;
