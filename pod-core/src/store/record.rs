use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Layout, WorkloadId, names_in, read_json, write_json};
use crate::plan::PodPlan;

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
}

impl WorkloadRecord {
    /// Reads a workload's record, if there is one.
    pub fn load(layout: &Layout, id: &WorkloadId) -> Result<Option<Self>, Error> {
        read_json(&layout.workload_record(id))
    }

    /// Writes the record, atomically and durably.
    pub fn save(&self, layout: &Layout) -> Result<(), Error> {
        write_json(&layout.workload_record(&self.id), self)
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

    /// Every recorded workload, by id.
    pub fn list(layout: &Layout) -> Result<Vec<Self>, Error> {
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
