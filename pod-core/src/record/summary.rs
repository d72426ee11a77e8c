use std::cell::RefCell;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use super::removal::Note;
use super::{Desired, WorkloadRecord};
use crate::store::{Error, Layout, WorkloadId, damage, format};
use crate::store::{WORKLOAD_LEAVING, WORKLOAD_RECORD};
use crate::version::Version;

/// The fields of a [`WorkloadRecord`] that listing needs. With hundreds of workloads, a command would otherwise spend
/// most of its time reading complete records.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "StoredSummary")]
pub struct WorkloadSummary {
    /// The version of the record's format.
    #[serde(default = "Version::first")]
    pub version: Version,
    /// The id of the workload.
    pub id: WorkloadId,
    /// The file that the object was read from.
    pub source: String,
    /// The workload's pods, oldest first.
    pub pods: Vec<PodSummary>,
    /// Whether the workload is being deleted, as in [`WorkloadRecord`].
    pub deleting: bool,
}

/// A summary in the form in which it is stored: as part of a record of this version or of 0.1.0, or in the memo.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredSummary {
    #[serde(default = "Version::first")]
    version: Version,
    id: WorkloadId,
    pods: Vec<PodSummary>,
    #[serde(default)]
    spec: Option<SpecSummary>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    deleting: Option<bool>,
    #[serde(default)]
    stands_without_pods: bool,
}

#[derive(Deserialize)]
struct SpecSummary {
    source: String,
}

impl From<StoredSummary> for WorkloadSummary {
    fn from(stored: StoredSummary) -> Self {
        let StoredSummary { version, id, pods, spec, source, deleting, stands_without_pods } = stored;
        // A record of 0.1.0 has neither field, and is evaluated as in `stored`.
        let is_former = spec.is_none() && deleting.is_none();
        let goes = || is_former && !stands_without_pods && pods.iter().all(|pod| pod.removing);
        let deleting = deleting.unwrap_or_else(goes);
        let source = spec.map(|spec| spec.source).or(source).unwrap_or_default();
        Self { version, id, source, pods, deleting }
    }
}

/// A workload whose record cannot be read, and the error.
pub type DamagedRecord = (WorkloadId, Error);

/// The fields of a [`PodRecord`](super::PodRecord) that listing needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSummary {
    plan: PlanSummary,
    /// Whether the pod should run.
    pub desired: Desired,
    /// Whether the pod has to be removed as soon as it has stopped.
    #[serde(default)]
    pub removing: bool,
    #[serde(default, deserialize_with = "is_present", skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PlanSummary {
    uid: String,
}

/// Returns whether a value is present and not null.
fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

impl PodSummary {
    /// Returns metadata.uid.
    pub fn uid(&self) -> &str {
        &self.plan.uid
    }

    /// Marks the pod to be stopped and removed.
    fn mark_removing(&mut self) {
        (self.desired, self.removing) = (Desired::Stopped, true);
    }

    /// Returns whether the pod has ended for good.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl From<&WorkloadRecord> for WorkloadSummary {
    fn from(record: &WorkloadRecord) -> Self {
        let pods = record.pods.iter().map(|pod| PodSummary {
            plan: PlanSummary { uid: pod.plan.uid.clone() },
            desired: pod.desired,
            removing: pod.removing,
            ended: pod.ended.is_some(),
        });
        Self {
            version: record.version,
            id: record.id.clone(),
            source: record.spec.source.clone(),
            pods: pods.collect(),
            deleting: record.deleting,
        }
    }
}

impl WorkloadSummary {
    /// Returns whether only the record is left of the workload: the workload was deleted, and its last pod was
    /// removed.
    pub fn is_leftover(&self) -> bool {
        self.pods.is_empty() && self.deleting
    }

    /// Returns whether the workload exists and is not being deleted.
    pub fn stands(&self) -> bool {
        !self.deleting
    }

    /// Reads the summary of a workload's record, if there is one.
    pub fn load(layout: &Layout, id: &WorkloadId) -> Result<Option<Self>, Error> {
        Ok(WorkloadRecord::load(layout, id)?.as_ref().map(Self::from))
    }

    /// Reads the summary of a record, which may have been renamed to [`WORKLOAD_LEAVING`].
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        if let Some(summary) = format::read(path)? {
            return Ok(Some(summary));
        }
        let Some(mut summary) = format::read::<Self>(&path.with_file_name(WORKLOAD_LEAVING))? else {
            // Between the two reads the record may have been saved under its usual name again.
            return format::read(path);
        };
        summary.pods.iter_mut().for_each(PodSummary::mark_removing);
        summary.deleting = true;
        Ok(Some(summary))
    }

    /// Returns every recorded workload, sorted by id. Records that cannot be read are logged and left out.
    pub fn list(layout: &Layout) -> Result<Vec<Self>, Error> {
        let (found, damaged) = Self::list_with_damaged(layout)?;
        for (_, error) in &damaged {
            damage::pass_over(error);
        }
        Ok(found)
    }

    /// Returns every recorded workload, sorted by id, and the workloads whose records cannot be read.
    pub fn list_with_damaged(layout: &Layout) -> Result<(Vec<Self>, Vec<DamagedRecord>), Error> {
        let damaged = RefCell::new(Vec::new());
        let read = |path: &Path| -> Result<Option<Self>, Error> {
            let read = match Self::read(path) {
                Err(error @ Error::Newer { .. }) => return Err(error),
                read => read,
            };
            let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            Ok(read.unwrap_or_else(|error| {
                let id = name.and_then(WorkloadId::from_dir_name);
                damaged.borrow_mut().extend(id.map(|id| (id, error)));
                None
            }))
        };
        let names = WorkloadRecord::ids(layout)?.iter().map(WorkloadId::dir_name).collect();
        let record = |name: &str| layout.workloads().join(name).join(WORKLOAD_RECORD);
        let mut found = base::memo::read_through(names, record, &layout.summaries(), read)?;
        let notes = Note::list(layout);
        for summary in &mut found {
            if let Some(note) = notes.get(&summary.id.dir_name()) {
                let named = summary.pods.iter_mut().filter(|pod| note.names(&pod.plan.uid));
                named.for_each(PodSummary::mark_removing);
                summary.deleting |= note.deletes(summary.pods.iter().map(|pod| pod.removing));
            }
        }
        Ok((found, damaged.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_keeps_the_values_of_the_record_when_it_is_stored() {
        let json = serde_json::json!({
            "id": {"kind": "pod", "namespace": "default", "name": "web"},
            "object": {"spec": {"containers": []}},
            "hash": "1",
            "uid": "w",
            "created": "2026-01-01T00:00:00Z",
            "source": "/web.yaml",
            "pods": [
                {"plan": {"uid": "a", "hash": "2", "pod": {}}, "desired": "running"},
                {"plan": {"uid": "b"}, "desired": "stopped", "removing": true, "ended": {"any": [1, null]}},
                {"plan": {"uid": "c"}, "desired": "stopped", "ended": null},
            ],
        });
        let summary: WorkloadSummary = serde_json::from_value(json).unwrap();
        let text = serde_json::to_string(&summary).unwrap();
        let summary: WorkloadSummary = serde_json::from_str(&text).unwrap();
        assert_eq!((summary.id.name.as_str(), summary.source.as_str()), ("web", "/web.yaml"));
        let pods: Vec<_> =
            summary.pods.iter().map(|p| (p.uid(), p.desired, p.removing, p.has_ended())).collect();
        assert_eq!(
            pods,
            [
                ("a", Desired::Running, false, false),
                ("b", Desired::Stopped, true, true),
                ("c", Desired::Stopped, false, false)
            ]
        );
    }
}
