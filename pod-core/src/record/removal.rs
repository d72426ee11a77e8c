//! Notes removals that cannot be written into a record because the disk below `--root` is full or read-only.
//!
//! Taking a workload down must not need free disk space, because otherwise a pod that fills the disk could not be
//! stopped. If a record cannot be saved, the removal is noted in two ways. If the whole workload is deleted, the
//! record is renamed to [`Layout::workload_leaving`], which needs no space and survives a reboot. In any case a
//! [`Note`] with the uids and the grace period is written below `--runroot`, into space that was reserved when the
//! workload was started. [`WorkloadRecord::load`] and [`super::WorkloadSummary`] read both, so other modules need not
//! know about notes.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base::file::{names_in, read_json, remove_file_if_exists};
use serde::{Deserialize, Serialize};

use super::{PodRecord, WorkloadRecord};
use crate::store::{Error, Layout, WorkloadId};

/// The pods of one workload that have to be removed, in addition to those that are marked in its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    uids: Vec<String>,
    #[serde(default)]
    grace_seconds: Option<u64>,
    /// Whether the whole workload is deleted.
    #[serde(default)]
    deleting: bool,
}

impl Note {
    fn of(record: &WorkloadRecord) -> Self {
        let removing = || record.pods.iter().filter(|pod| pod.removing);
        Self {
            uids: removing().map(|pod| pod.plan.uid.clone()).collect(),
            grace_seconds: removing().find_map(|pod| pod.grace_seconds),
            deleting: record.deleting,
        }
    }

    /// Returns whether the pod with this uid has to be removed.
    pub fn names(&self, uid: &str) -> bool {
        self.uids.iter().any(|named| named == uid)
    }

    /// Marks the pods of a record that the note names.
    pub(super) fn apply(&self, record: &mut WorkloadRecord) {
        for pod in record.pods.iter_mut().filter(|pod| self.names(&pod.plan.uid)) {
            pod.remove(self.grace_seconds);
        }
        // A pod that was created after the note means that the workload was applied again since.
        record.deleting |= self.deletes(record.pods.iter().map(|pod| pod.removing));
    }

    /// Returns whether the whole workload is deleted: the note says so, and all pods are being removed. `removing`
    /// says for each pod of the workload whether it is being removed.
    pub(super) fn deletes(&self, mut removing: impl Iterator<Item = bool>) -> bool {
        self.deleting && removing.all(|removing| removing)
    }

    /// Reads the note of one workload. A damaged note is ignored with a warning, and the removal has to be requested
    /// again.
    pub(super) fn read(layout: &Layout, id: &WorkloadId) -> Option<Self> {
        match read_json(&layout.removal_note(id)) {
            Ok(note) => note,
            Err(error) => {
                crate::store::damage::pass_over(&error.into());
                None
            }
        }
    }

    /// Reads all notes, by the folder names of their workloads. This is cheap if there are none.
    pub(super) fn list(layout: &Layout) -> BTreeMap<String, Self> {
        let names = names_in(&layout.removal_notes()).unwrap_or_default();
        let read = |name: String| {
            let note = Self::read(layout, &WorkloadId::from_dir_name(&name)?)?;
            Some((name, note))
        };
        names.into_iter().filter_map(read).collect()
    }
}

/// Returns whether the only difference between `before` and `after` is that `after` removes pods.
pub fn only_removes(before: &WorkloadRecord, after: &WorkloadRecord) -> bool {
    let is_same = |pod: &PodRecord| {
        let old = before.pods.iter().find(|old| old.plan.uid == pod.plan.uid);
        old.is_some_and(|old| pod.removing || (pod.desired, pod.removing) == (old.desired, old.removing))
    };
    let is_of_before = before.spec == after.spec && before.deleting == after.deleting;
    (after.deleting || is_of_before) && after.pods.iter().all(is_same)
}

/// Notes the removal of those pods that are marked `removing` in a record that cannot be saved.
///
/// # Errors
/// If neither of the two notes could be written.
pub fn note(layout: &Layout, record: &WorkloadRecord) -> Result<(), Error> {
    let renamed = if record.deleting {
        let (from, to) = (layout.workload_record(&record.id), layout.workload_leaving(&record.id));
        match fs::rename(&from, &to) {
            Ok(()) => {
                base::fail_point!(FullDisk, "record-leaving");
                // A power failure may restore the old name; the note below does not survive a power failure either.
                if let Err(error) = fs::File::open(layout.workload(&record.id)).and_then(|dir| dir.sync_all())
                {
                    tracing::warn!(workload = %record.id, %error, "cannot sync the folder of a workload");
                }
                true
            }
            // An earlier call has renamed the record.
            Err(e) if e.kind() == ErrorKind::NotFound => to.exists(),
            Err(_) => false,
        }
    } else {
        false
    };
    match write_note(layout, record) {
        Err(error) if renamed => {
            tracing::warn!(workload = %record.id, %error, "the grace period of a removal is not noted");
            Ok(())
        }
        result => result,
    }
}

/// Writes the note of a record into its reserved file, which needs no free space, and moves the file to its place.
fn write_note(layout: &Layout, record: &WorkloadRecord) -> Result<(), Error> {
    let path = layout.removal_note(&record.id);
    let reserve = layout.removal_reserve(&record.id);
    let note = Note::of(record);
    let text = serde_json::to_vec(&note).map_err(|source| Error::damaged(&path, source))?;
    // The JSON is padded with spaces, so that the file keeps its size.
    let mut bytes = text.clone();
    bytes.resize(text.len().max(RESERVE_BYTES), b' ');
    let fill = |file: &Path| OpenOptions::new().write(true).open(file)?.write_all(&bytes);
    let noted = fill(&reserve).and_then(|()| fs::rename(&reserve, &path));
    base::fail_point!(FullDisk, "removal-noted");
    // If an earlier note has used the reserved file, that note is overwritten. If that fails too, a new file is
    // written, because there may be free space.
    noted.or_else(|_| fill(&path)).or_else(|_| Ok(base::file::write_volatile(&path, &text)?))
}

/// The size of a reserved file: one page, which is enough for a hundred pods. A longer note needs free space.
const RESERVE_BYTES: usize = 4096;

/// Reserves space below `--runroot` for the removal of a workload. This is cheap if the space is already reserved.
///
/// # Errors
/// If there is no free space.
pub fn reserve(layout: &Layout, id: &WorkloadId) -> Result<(), Error> {
    let path = layout.removal_reserve(id);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() >= RESERVE_BYTES as u64) {
        return Ok(());
    }
    let notes = layout.removal_notes();
    base::file::create_private_dir_all(&notes).map_err(Error::io("create", &notes))?;
    let dir = layout.workload_run(id);
    base::file::create_private_dir_all(&dir).map_err(Error::io("create", &dir))?;
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&[b' '; RESERVE_BYTES]));
    base::fail_point!(FullDisk, "removal-reserved");
    written.map_err(Error::io("write", path))
}

/// Releases the reserved space, for a supervisor that cannot start otherwise.
pub fn release_reserve(layout: &Layout, id: &WorkloadId) {
    let _ = fs::remove_file(layout.removal_reserve(id));
}

/// Returns whether a removal of this workload is recorded only in a note, so that it would be lost by a reboot.
pub fn is_volatile(layout: &Layout, id: &WorkloadId) -> bool {
    layout.workload_record(id).exists() && layout.removal_note(id).exists()
}

/// Removes the notes of a workload whose record has been saved or removed.
pub(super) fn forget(layout: &Layout, id: &WorkloadId) -> Result<(), Error> {
    remove_file_if_exists(&layout.workload_leaving(id))?;
    forget_note(layout, id)
}

/// Removes the note of a workload whose record has been removed.
///
/// # Errors
/// If the note cannot be removed.
pub fn forget_note(layout: &Layout, id: &WorkloadId) -> Result<(), Error> {
    Ok(remove_file_if_exists(&layout.removal_note(id))?)
}

/// Removes the notes of workloads that have no folder. Such notes are left if a process was killed after it removed
/// the record and before it removed the note.
///
/// # Errors
/// If a note cannot be removed.
pub fn sweep(layout: &Layout) -> Result<(), Error> {
    for name in names_in(&layout.removal_notes())? {
        if let Some(id) = WorkloadId::from_dir_name(&name)
            && !layout.workload(&id).exists()
        {
            forget_note(layout, &id)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{Desired, WorkloadSummary};

    fn record(pods: &[&str]) -> WorkloadRecord {
        let pod = |uid: &&str| {
            let network = crate::plan::PodNetwork::default();
            let plan =
                json!({"uid": uid, "hash": "h", "pod": {"metadata": {"name": uid}}, "network": network});
            json!({"desired": "running", "plan": plan})
        };
        serde_json::from_value(json!({
            "id": {"kind": "deployment", "namespace": "default", "name": "web"},
            "object": {}, "hash": "1", "uid": "w", "created": "2026-01-01T00:00:00Z", "source": "-",
            "pods": pods.iter().map(pod).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    fn removing(mut record: WorkloadRecord, uids: &[&str], grace_seconds: Option<u64>) -> WorkloadRecord {
        for pod in record.pods.iter_mut().filter(|pod| uids.contains(&pod.plan.uid.as_str())) {
            (pod.desired, pod.removing, pod.grace_seconds) = (Desired::Stopped, true, grace_seconds);
        }
        record
    }

    fn layout(dir: &Path) -> Layout {
        Layout { root: dir.join("root"), runroot: dir.join("run") }
    }

    /// Returns whether each pod is being removed, and asserts that the record and its summary agree.
    fn seen(layout: &Layout, record: &WorkloadRecord) -> Vec<bool> {
        let loaded = WorkloadRecord::load(layout, &record.id).unwrap().unwrap();
        let seen: Vec<bool> = loaded.pods.iter().map(|pod| pod.removing).collect();
        let summaries = WorkloadSummary::list(layout).unwrap();
        assert_eq!(summaries[0].pods.iter().map(|pod| pod.removing).collect::<Vec<_>>(), seen);
        seen
    }

    #[test]
    fn a_removal_is_noted_and_read_back_if_the_record_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let before = record(&["a", "b"]);
        before.save(&layout).unwrap();
        reserve(&layout, &before.id).unwrap();
        assert_eq!(seen(&layout, &before), [false, false]);

        note(&layout, &removing(before.clone(), &["a"], Some(3))).unwrap();
        assert_eq!(seen(&layout, &before), [true, false]);
        assert!(!layout.removal_reserve(&before.id).exists(), "the note lies in the reserved room");
        let loaded = WorkloadRecord::load(&layout, &before.id).unwrap().unwrap();
        assert_eq!(loaded.pods[0].grace_seconds, Some(3));
        assert!(is_volatile(&layout, &before.id));

        let mut deleted = before.clone();
        deleted.delete(Some(0));
        note(&layout, &deleted).unwrap();
        assert!(layout.workload_leaving(&before.id).exists() && !layout.workload_record(&before.id).exists());
        assert_eq!(seen(&layout, &before), [true, true]);
        assert!(!is_volatile(&layout, &before.id), "the renamed record survives a reboot");
        // A reboot removes the tree below --runroot.
        fs::remove_dir_all(&layout.runroot).unwrap();
        assert_eq!(seen(&layout, &before), [true, true]);

        // Once there is free space again, the removal is saved in the record.
        WorkloadRecord::load(&layout, &before.id).unwrap().unwrap().save(&layout).unwrap();
        assert!(!layout.workload_leaving(&before.id).exists());
        assert_eq!(seen(&layout, &before), [true, true]);
    }

    #[test]
    fn a_note_applies_to_the_pods_it_names_and_not_to_later_ones() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let before = record(&["a"]);
        before.save(&layout).unwrap();
        note(&layout, &removing(record(&["a", "x"]), &["a"], None)).unwrap();
        write_record(&layout, &record(&["a", "c"]));
        assert_eq!(seen(&layout, &before), [true, false]);
        // A damaged note is ignored.
        fs::write(layout.removal_note(&before.id), "{").unwrap();
        assert_eq!(seen(&layout, &before), [false, false]);
        // The note of a workload that no longer exists is removed.
        fs::remove_dir_all(layout.workload(&before.id)).unwrap();
        sweep(&layout).unwrap();
        assert!(!layout.removal_note(&before.id).exists());
    }

    /// Writes the record like a process that was killed before it removed the note.
    fn write_record(layout: &Layout, record: &WorkloadRecord) {
        base::file::write_json(&layout.workload_record(&record.id), record).unwrap();
    }

    #[test]
    fn only_changes_that_just_remove_pods_are_noted() {
        let before = record(&["a", "b"]);
        assert!(only_removes(&before, &removing(before.clone(), &["a", "b"], None)));
        assert!(only_removes(&before, &removing(before.clone(), &["a"], None)));
        assert!(!only_removes(&before, &record(&["a", "b", "c"])), "a new pod");
        let mut changed = before.clone();
        changed.spec.hash = "2".to_owned();
        assert!(
            !only_removes(&before, &removing(changed.clone(), &["a"], None)),
            "b is of another object now"
        );
        assert!(
            !only_removes(&before, &removing(changed.clone(), &["a", "b"], None)),
            "it stays, with no pods"
        );
        let mut deleted = changed;
        deleted.delete(None);
        assert!(only_removes(&before, &deleted));
        let stopped = removing(before.clone(), &["a", "b"], None);
        assert!(!only_removes(&stopped, &before), "what was to go is to run again");
        let mut deleted = before.clone();
        deleted.delete(None);
        assert!(!only_removes(&deleted, &stopped), "what was to go is to stay");
    }
}
