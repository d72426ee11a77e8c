//! What the controller of a workload makes of its record. Pure.
//!
//! [`workload::step`] decides which pods should exist; [`Controller`] carries its actions into the
//! [`WorkloadRecord`]: pods to create are recorded with the names and uids that the caller provides, pods to delete are
//! marked. Whoever saves the record acts afterwards. A supervisor does so for as long as it lives; a command that finds
//! no supervisor does the same, so that a record is written once.
//!
//! Start reading at [`Controller::apply`]; [`pod_status`] says what the controller knows of a pod, [`Status`] what it
//! tells whoever waits.

mod pod_status;
mod status;

pub use pod_status::{observed, pod_status};
pub use status::{Culprit, Status, wanted};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kind::EventType;
use crate::plan::PodTemplate;
use crate::record::{Desired, PodRecord, WorkloadRecord};
use crate::store::WorkloadId;
use crate::workload::{self, Action, Event, PodStatus, Spec, State};

/// How many times the controller is stepped for one event at most. Each step but the last one creates or deletes pods,
/// which settles after two or three.
const MOST_STEPS: usize = 16;

/// What a new object gets that follows from nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// metadata.uid.
    pub uid: String,
    /// The end of a generated name.
    pub suffix: String,
}

/// What is asked of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum WorkloadChange {
    /// The workload is to be as this spec says. A workload that is being deleted is created anew beside its pods that
    /// are on their way out.
    Apply {
        /// The spec.
        spec: Box<Spec>,
        /// Uids of pods to delete first, without a grace period: a play that failed made them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kill: Vec<String>,
    },
    /// The workload is to be stopped and removed.
    #[serde(rename_all = "camelCase")]
    Delete {
        /// Overrides the grace periods of its pods, in seconds.
        grace_seconds: Option<u64>,
    },
}

/// Something to tell the user about a workload (kube events).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its type.
    pub kind: EventType,
    /// `ScalingReplicaSet`, ...
    pub reason: &'static str,
    /// For a person.
    pub message: String,
}

/// A record as it should be, and what is to be told once it is saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The record.
    pub record: WorkloadRecord,
    /// Events of the workload.
    pub told: Vec<Told>,
}

/// What a controller needs of its surroundings.
pub struct Controller<'a> {
    /// The status of a recorded pod ([`pod_status`]).
    pub status_of: &'a dyn Fn(&PodRecord) -> PodStatus,
    /// Makes identities.
    pub identity: &'a mut dyn FnMut() -> Identity,
    /// The time.
    pub now: Timestamp,
}

impl Controller<'_> {
    /// Makes a change to a workload: `before` is its record, if there is one. `None` if there is nothing to delete.
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
                Some(Outcome { record, told: Vec::new() })
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
        // An older spec that comes again, because its sender lost the answer, changes nothing.
        if spec.generation > record.spec.generation {
            record.spec.clone_from(spec);
        }
        for pod in record.pods.iter_mut().filter(|pod| kill.contains(&pod.plan.uid)) {
            pod.remove(Some(0));
        }
        self.step(record, Event::Applied)
    }

    /// Lets the controller decide once. Returns the new state alone if no pod is to be created, deleted or started, so
    /// that a record of many pods need not be copied whenever one of them is ready.
    pub fn look(&self, record: &WorkloadRecord, event: Event) -> Option<(State, Vec<Told>)> {
        if record.deleting {
            return Some((record.state.clone(), Vec::new()));
        }
        let pods: Vec<PodStatus> = record.pods.iter().map(|pod| self.current_status(pod)).collect();
        let (state, actions) = workload::step(&record.spec, record.state.clone(), &pods, event, self.now);
        let told = actions.into_iter().map(|action| match action {
            Action::Emit { kind, reason, message } => Some(Told { kind, reason, message }),
            _ => None,
        });
        Some((state, told.collect::<Option<_>>()?))
    }

    /// Lets the controller decide, until it has nothing more to do.
    pub fn step(&mut self, mut record: WorkloadRecord, mut event: Event) -> Outcome {
        let mut told = Vec::new();
        for _ in 0..MOST_STEPS {
            // No pod of a workload that is being deleted is created any more.
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
                    Action::Emit { kind, reason, message } => told.push(Told { kind, reason, message }),
                }
            }
            if !acted {
                break;
            }
            event = Event::PodsChanged;
        }
        Outcome { record, told }
    }

    /// The status of a pod, with what the record says of it now.
    fn current_status(&self, pod: &PodRecord) -> PodStatus {
        let status = (self.status_of)(pod);
        let should_run = pod.desired == Desired::Running;
        // The state of a pod that is not to run may be that of one that was stopped.
        PodStatus {
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

/// The template of a revision.
fn template<'a>(record: &'a WorkloadRecord, hash: &str) -> Option<&'a PodTemplate> {
    let mut revisions = record.state.revisions.iter().rev();
    let of_revision = revisions.find(|revision| revision.hash == hash).map(|revision| &revision.template);
    of_revision.or(Some(&record.spec.template).filter(|template| template.hash == hash))
}

/// Changes a pod of the record; false if there is none of this uid.
fn change(record: &mut WorkloadRecord, uid: &str, change: impl FnOnce(&mut PodRecord)) -> bool {
    let pod = record.pods.iter_mut().find(|pod| pod.plan.uid == uid);
    pod.map(change).is_some()
}

/// Returns identities by chance.
pub fn random_identity() -> Identity {
    let uid = uuid::Uuid::new_v4();
    Identity { uid: uid.to_string(), suffix: suffix(uid.as_bytes()) }
}

/// Five characters of Kubernetes' alphabet for generated names, which spells no words.
fn suffix(random: &[u8]) -> String {
    let alphabet = crate::plan::hash::SAFE_ALPHABET;
    random.iter().take(5).filter_map(|b| alphabet.get(usize::from(*b) % 27)).map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests;
