use base::file::{names_in, write_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::removal::{self, Note};
use super::{Error, Layout, WorkloadId, damage, format};
use crate::plan::PodPlan;
use crate::version::Version;

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
}

impl PodRecord {
    /// There is nothing to do for this pod: it is not to run, or has ended, and it may stay.
    pub fn is_at_rest(&self) -> bool {
        !self.removing && (self.desired == Desired::Stopped || self.ended.is_some())
    }
}

/// One workload as recorded below `--root`: the intent, written before anything is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRecord {
    /// The format of the record. It comes first in the file, so that a newer record is refused before anything else of it
    /// is looked at.
    #[serde(default = "Version::first")]
    pub version: Version,
    /// Which workload.
    pub id: WorkloadId,
    /// The applied object, defaults not filled in: what `generate` gives back.
    pub object: Value,
    /// Hash of all that a change of which makes `play` say `configured`.
    pub hash: String,
    /// metadata.uid of the workload.
    pub uid: String,
    /// metadata.creationTimestamp, RFC 3339.
    pub created: jiff::Timestamp,
    /// The file the object was read from, for messages.
    pub source: String,
    /// Its pods, oldest first.
    pub pods: Vec<PodRecord>,
    /// The workload is known without any pod, as a Deployment with `replicas: 0` is. A record without pods that does
    /// not say so is a leftover of a removal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands_without_pods: bool,
}

impl WorkloadRecord {
    /// Nothing is left of the workload: its last pod was removed, and it does not stand without pods.
    pub fn is_leftover(&self) -> bool {
        self.pods.is_empty() && !self.stands_without_pods
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
        Ok(Some(record))
    }

    /// The same record with every pod on its way out.
    fn leaving(mut self) -> Self {
        for pod in &mut self.pods {
            (pod.desired, pod.removing) = (Desired::Stopped, true);
        }
        self.stands_without_pods = false;
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

    /// This record, taking over from `before`: a pod that `before` has and this one does not name is to go, and
    /// what has ended stays known.
    pub fn with_removals(mut self, before: Option<&Self>) -> Self {
        for old in before.into_iter().flat_map(|w| &w.pods) {
            match self.pods.iter_mut().find(|pod| pod.plan.uid == old.plan.uid) {
                Some(pod) => {
                    if pod.ended.is_none() {
                        pod.ended.clone_from(&old.ended);
                    }
                }
                None => {
                    self.pods.push(PodRecord { desired: Desired::Stopped, removing: true, ..old.clone() });
                }
            }
        }
        self
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
