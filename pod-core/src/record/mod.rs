//! What is on disk about workloads.
//!
//! A [`WorkloadRecord`] is the intent: it is written before anything of the workload is created in the kernel. Records
//! consist of templates, states of pods and the state of the controller, so this module is above those. Start reading at
//! [`WorkloadRecord`]; [`WorkloadSummary`] has the fields that listing needs; [`removal`] notes removals that a full disk
//! has no room to record.

mod former;
pub mod removal;
mod summary;

pub use summary::{DamagedRecord, PodSummary, WorkloadSummary};

use base::file::{names_in, write_json};
use serde::{Deserialize, Serialize};

use self::former::StoredWorkload;
use self::removal::Note;
use crate::plan::PodPlan;
use crate::store::{Error, Layout, WorkloadId, damage, format};
use crate::version::Version;
use crate::workload::{Rule, Spec, State};

/// What a workload should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// Its pods run; after a reboot `kube play --all` starts them again.
    Running,
    /// Made but not started (`--start=false`), or being taken down.
    Stopped,
}

/// A pod that exists, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// What it is made of.
    pub plan: PodPlan,
    /// Whether it should run. A pod being replaced is `Stopped` before it is removed.
    pub desired: Desired,
    /// True once it is to be removed as soon as it has stopped.
    #[serde(default)]
    pub removing: bool,
    /// Overrides the grace period of its stop, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
    /// Set when the pod has ended for good (Succeeded, Failed): its last state, kept over reboots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<crate::lifecycle::PodState>,
    /// [`Spec::replaced`] at the time that the pod was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u64,
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PodRecord {
    /// Returns the record of a new pod.
    pub fn new(plan: PodPlan, desired: Desired) -> Self {
        Self { plan, desired, removing: false, grace_seconds: None, ended: None, replaced: 0 }
    }

    /// Marks the pod as one to stop and remove. A grace period that was given before stays, unless there is another.
    pub fn remove(&mut self, grace_seconds: Option<u64>) {
        (self.desired, self.removing) = (Desired::Stopped, true);
        self.grace_seconds = grace_seconds.or(self.grace_seconds);
    }

    /// There is nothing to do for this pod: it is not to run, or has ended, and it may stay.
    pub fn is_at_rest(&self) -> bool {
        !self.removing && (self.desired == Desired::Stopped || self.ended.is_some())
    }
}

/// One workload as recorded below `--root`: the intent, written before anything is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "StoredWorkload")]
pub struct WorkloadRecord {
    /// The format of the record. It comes first in the file, so that a newer record is refused before anything else of it
    /// is looked at.
    #[serde(default = "Version::first")]
    pub version: Version,
    /// Which workload.
    pub id: WorkloadId,
    /// metadata.uid of the workload.
    pub uid: String,
    /// metadata.creationTimestamp, RFC 3339.
    pub created: jiff::Timestamp,
    /// What was applied.
    pub spec: Spec,
    /// What the controller remembers.
    pub state: State,
    /// metadata.deletionTimestamp is set: no pod is created any more, and the end of the last pod removes the record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
    /// Its pods, oldest first.
    pub pods: Vec<PodRecord>,
}

/// The part of [`State`] that changes without a durable write, because it follows from the pods or is told anew. The
/// supervisor keeps it below `--runroot`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volatile {
    uid: String,
    state: State,
}

impl WorkloadRecord {
    /// Returns the record of a workload that is applied for the first time.
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

    /// Nothing is left of the workload: it was deleted, and its last pod was removed.
    pub fn is_leftover(&self) -> bool {
        self.pods.is_empty() && self.deleting
    }

    /// Returns the pods that are not on their way out.
    pub fn standing(&self) -> impl Iterator<Item = &PodRecord> {
        self.pods.iter().filter(|pod| !pod.removing)
    }

    /// Marks the workload as deleted, with all its pods.
    pub fn delete(&mut self, grace_seconds: Option<u64>) {
        self.deleting = true;
        for pod in &mut self.pods {
            pod.remove(grace_seconds);
        }
    }

    /// Reads a workload's record, if there is one, with the removals that are noted beside it.
    pub fn load(layout: &Layout, id: &WorkloadId) -> Result<Option<Self>, Error> {
        let path = layout.workload_record(id);
        let mut record = match format::read(&path)? {
            Some(record) => record,
            None => match format::read::<Self>(&layout.workload_leaving(id))? {
                Some(record) => record.leaving(),
                // It may have been saved under its usual name in between.
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

    /// Takes over what the supervisor has observed since the record was written. Kind Pod has no such state.
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

    /// Writes the state without the cost of a durable write. After a reboot the controller observes it anew.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_volatile(&self, layout: &Layout) -> Result<(), Error> {
        let state = State { revisions: Vec::new(), ..self.state.clone() };
        let volatile = Volatile { uid: self.uid.clone(), state };
        Ok(base::file::write_json_volatile(&layout.workload_state(&self.id), &volatile)?)
    }

    /// Removes what [`WorkloadRecord::save_volatile`] wrote.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_volatile(&self, layout: &Layout) -> Result<(), Error> {
        match self.spec.rule {
            Rule::Once => Ok(()),
            Rule::Replicas(_) => Ok(base::file::remove_file_if_exists(&layout.workload_state(&self.id))?),
        }
    }

    /// Returns whether the record differs from `before` in what has to survive a reboot, and may be missing otherwise.
    pub fn differs_durably(&self, before: &Self) -> bool {
        self.deleting != before.deleting
            || self.uid != before.uid
            || self.state.differs_durably(&before.state)
            || self.pods != before.pods
            || self.spec != before.spec
    }

    /// The same record with every pod on its way out.
    fn leaving(mut self) -> Self {
        self.delete(None);
        self
    }

    /// Writes the record, atomically and durably. Removals that were noted beside it are in it by then.
    pub fn save(&self, layout: &Layout) -> Result<(), Error> {
        format::note(layout);
        write_json(&layout.workload_record(&self.id), self)?;
        removal::forget(layout, &self.id)
    }

    /// Saves the record. If there is no room for it, and it does no more to `before` than remove pods, this is noted
    /// where no room is needed.
    ///
    /// # Errors
    /// It can be neither saved nor noted.
    pub fn save_or_note(&self, layout: &Layout, before: Option<&Self>) -> Result<(), Error> {
        let Err(error) = self.save(layout) else { return Ok(()) };
        if !before.is_some_and(|before| removal::only_removes(before, self)) {
            return Err(error);
        }
        tracing::warn!(%error, "the removal of pods of {} is noted beside its record", self.id);
        removal::note(layout, self)
    }

    /// Every recorded workload, by id. Records that cannot be read are logged and left out.
    ///
    /// # Errors
    /// The folder cannot be read; a newer `kube` wrote a record.
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

    /// Every recorded workload, by id, for whoever would do harm if it missed one.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn list_all(layout: &Layout) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        for id in Self::ids(layout)? {
            found.extend(Self::load(layout, &id)?);
        }
        Ok(found)
    }

    /// The id of every workload that may be recorded.
    pub fn ids(layout: &Layout) -> Result<Vec<WorkloadId>, Error> {
        let names = names_in(&layout.workloads())?;
        let mut found: Vec<_> = names.iter().filter_map(|name| WorkloadId::from_dir_name(name)).collect();
        found.sort();
        Ok(found)
    }
}

impl State {
    /// Returns whether the state differs from `before` in more than what the controller observes anew at any time.
    pub fn differs_durably(&self, before: &Self) -> bool {
        let of = |state: &Self| (state.observed_generation, state.observed_replaced);
        of(self) != of(before) || self.revisions != before.revisions
    }
}
