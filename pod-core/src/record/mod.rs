//! The records of workloads on disk.
//!
//! A [`WorkloadRecord`] is the intent: it is written before any part of the workload is created in the kernel. Records
//! consist of templates, states of pods and the state of the controller, so this module is above the modules of those.
//! Start reading at [`WorkloadRecord`]. [`WorkloadSummary`] has the fields that listing needs. [`removal`] notes
//! removals that cannot be recorded because the disk is full.

mod pod_state;
pub mod removal;
mod shared;
mod stored;
mod summary;

pub use pod_state::{has_no_process, now};
pub use summary::{DamagedRecord, PodSummary, WorkloadSummary};

use std::sync::Arc;

use base::file::{names_in, write_json};
use serde::{Deserialize, Serialize};

use self::removal::Note;
use self::stored::StoredWorkload;
use crate::plan::PodPlan;
use crate::store::{Error, Layout, WorkloadId, damage, format};
use crate::version::Version;
use crate::workload::{Rule, Spec, State};

/// Whether a pod should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// The pod should run; after a reboot `kube play --all` starts it again.
    Running,
    /// The pod was created but not started (`--start=false`), or is being taken down.
    Stopped,
}

/// The record of a pod that exists or is about to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// The plan from which the pod is created.
    #[serde(with = "shared")]
    pub plan: Arc<PodPlan>,
    /// Whether the pod should run. A pod that is being replaced is `Stopped` before it is removed.
    pub desired: Desired,
    /// Whether the pod has to be removed as soon as it has stopped.
    #[serde(default)]
    pub removing: bool,
    /// The grace period of the pod's stop in seconds, instead of the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
    /// The last state of a pod that has ended for good (Succeeded, Failed). It is kept over reboots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<crate::lifecycle::PodState>,
    /// [`Spec::replaced`] at the time that the pod was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u64,
}

// serde requires this signature.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PodRecord {
    /// Creates the record of a new pod.
    pub fn new(plan: PodPlan, desired: Desired) -> Self {
        Self { plan: Arc::new(plan), desired, removing: false, grace_seconds: None, ended: None, replaced: 0 }
    }

    /// Marks the pod to be stopped and removed. An earlier grace period is kept if `grace_seconds` is `None`.
    pub fn remove(&mut self, grace_seconds: Option<u64>) {
        (self.desired, self.removing) = (Desired::Stopped, true);
        self.grace_seconds = grace_seconds.or(self.grace_seconds);
    }

    /// Returns whether nothing has to be done for this pod: it should not run or has ended, and it is not being
    /// removed.
    pub fn is_at_rest(&self) -> bool {
        !self.removing && (self.desired == Desired::Stopped || self.ended.is_some())
    }
}

/// The record of one workload below `--root`. It is the intent, and is written before any part of the workload is
/// created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "StoredWorkload")]
pub struct WorkloadRecord {
    /// The version of the format. It comes first in the file, so that a newer record is refused before any other field
    /// is read.
    #[serde(default = "Version::first")]
    pub version: Version,
    /// The id of the workload.
    pub id: WorkloadId,
    /// metadata.uid of the workload.
    pub uid: String,
    /// metadata.creationTimestamp, RFC 3339.
    pub created: jiff::Timestamp,
    /// The applied spec.
    pub spec: Spec,
    /// The state of the controller.
    pub state: State,
    /// Whether the workload is being deleted (metadata.deletionTimestamp is set). No pod is created any more, and the
    /// record is removed once the last pod is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// The workload's pods, oldest first.
    pub pods: Vec<PodRecord>,
}

/// The part of [`State`] that is saved without a durable write, because the controller can compute it again from the
/// pods. The supervisor stores it below `--runroot`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volatile {
    uid: String,
    state: State,
}

impl WorkloadRecord {
    /// Creates the record of a workload that is applied for the first time.
    pub fn new(id: WorkloadId, uid: String, created: jiff::Timestamp, spec: Spec) -> Self {
        Self {
            version: Version::current(),
            id,
            uid,
            created,
            spec,
            state: State::default(),
            deleting: false,
            pods: Vec::new(),
        }
    }

    /// Returns whether only the record is left of the workload: the workload was deleted, and its last pod was
    /// removed.
    pub fn is_leftover(&self) -> bool {
        self.pods.is_empty() && self.deleting
    }

    /// Returns the pods that are not being removed.
    pub fn standing(&self) -> impl Iterator<Item = &PodRecord> {
        self.pods.iter().filter(|pod| !pod.removing)
    }

    /// Marks the workload and all its pods as deleted.
    pub fn delete(&mut self, grace_seconds: Option<u64>) {
        self.deleting = true;
        for pod in &mut self.pods {
            pod.remove(grace_seconds);
        }
    }

    /// Reads a workload's record, if there is one, and applies the removals that are noted in separate files.
    pub fn load(layout: &Layout, id: &WorkloadId) -> Result<Option<Self>, Error> {
        let path = layout.workload_record(id);
        let mut record = match format::read(&path)? {
            Some(record) => record,
            None => match format::read::<Self>(&layout.workload_leaving(id))? {
                Some(record) => record.marked_deleted(),
                // Between the two reads the record may have been saved under its usual name again.
                None => match format::read(&path)? {
                    Some(record) => record,
                    None => return Ok(None),
                },
            },
        };
        if let Some(note) = Note::read(layout, id) {
            note.apply(&mut record);
        }
        record.read_volatile(layout);
        Ok(Some(record))
    }

    /// Reads the state that the supervisor has observed since the record was written. Kind Pod has no such state.
    fn read_volatile(&mut self, layout: &Layout) {
        if matches!(self.spec.rule, Rule::Once) {
            return;
        }
        let Some(seen) = damage::or_none(format::read::<Volatile>(&layout.workload_state(&self.id))) else {
            return;
        };
        if seen.uid == self.uid && seen.state.observed_generation == self.state.observed_generation {
            let revisions = std::mem::take(&mut self.state.revisions);
            self.state = State { revisions, ..seen.state };
        }
    }

    /// Writes the state without the cost of a durable write. After a reboot the controller observes the state again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_volatile(&self, layout: &Layout) -> Result<(), Error> {
        let state = State { revisions: Vec::new(), ..self.state.clone() };
        let volatile = Volatile { uid: self.uid.clone(), state };
        Ok(base::file::write_json_volatile(&layout.workload_state(&self.id), &volatile)?)
    }

    /// Removes the file that [`WorkloadRecord::save_volatile`] wrote.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn forget_volatile(&self, layout: &Layout) -> Result<(), Error> {
        match self.spec.rule {
            Rule::Once => Ok(()),
            Rule::Replicas(_) => Ok(base::file::remove_file_if_exists(&layout.workload_state(&self.id))?),
        }
    }

    /// Returns whether the record differs from `before` in fields that have to survive a reboot. Other changes need no
    /// durable write.
    pub fn differs_durably(&self, before: &Self) -> bool {
        self.deleting != before.deleting
            || self.uid != before.uid
            || self.state.differs_durably(&before.state)
            || self.pods != before.pods
            || self.spec != before.spec
    }

    /// Returns the same record with the workload and every pod marked as deleted.
    fn marked_deleted(mut self) -> Self {
        self.delete(None);
        self
    }

    /// Writes the record atomically and durably. The notes of removals are removed afterwards, because the record
    /// contains these removals.
    pub fn save(&self, layout: &Layout) -> Result<(), Error> {
        format::note(layout);
        write_json(&layout.workload_record(&self.id), self)?;
        removal::forget(layout, &self.id)
    }

    /// Saves the record. If that fails, and the record only removes pods compared to `before`, the removals are noted
    /// in a file that needs no free space.
    ///
    /// # Errors
    /// If the record can be neither saved nor noted.
    pub fn save_or_note(&self, layout: &Layout, before: Option<&Self>) -> Result<(), Error> {
        let Err(error) = self.save(layout) else { return Ok(()) };
        if !before.is_some_and(|before| removal::only_removes(before, self)) {
            return Err(error);
        }
        tracing::warn!(workload = %self.id, %error, "the record cannot be saved; the removal of its pods is noted separately");
        removal::note(layout, self)
    }

    /// Returns every recorded workload, sorted by id. Records that cannot be read are logged and left out.
    ///
    /// # Errors
    /// If the folder cannot be read, or if a newer `kube` wrote a record.
    pub fn list(layout: &Layout) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        for id in Self::ids(layout)? {
            match Self::load(layout, &id) {
                Err(error @ Error::Newer { .. }) => return Err(error),
                read => found.extend(damage::or_none(read)),
            }
        }
        Ok(found)
    }

    /// Returns every recorded workload, sorted by id, for callers that could destroy data if a workload were missing.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn list_all(layout: &Layout) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        for id in Self::ids(layout)? {
            found.extend(Self::load(layout, &id)?);
        }
        Ok(found)
    }

    /// Returns the ids of all workloads that have a folder, and therefore may have a record.
    pub fn ids(layout: &Layout) -> Result<Vec<WorkloadId>, Error> {
        let names = names_in(&layout.workloads())?;
        let mut found: Vec<_> = names.iter().filter_map(|name| WorkloadId::from_dir_name(name)).collect();
        found.sort();
        Ok(found)
    }
}

impl State {
    /// Returns whether the state differs from `before` in fields that the controller cannot observe again.
    pub fn differs_durably(&self, before: &Self) -> bool {
        let of = |state: &Self| (state.observed_generation, state.observed_replaced);
        of(self) != of(before) || self.revisions != before.revisions
    }
}
