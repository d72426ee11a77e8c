use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::kind::{Kind, ObjectRef};

/// The file name of a workload's record.
pub const WORKLOAD_RECORD: &str = "workload.json";
/// What it is renamed to when all of the workload is to be removed and there is no room to write that down.
pub const WORKLOAD_LEAVING: &str = "leaving.json";

/// Where everything lies below `--root` and `--runroot`. Pure path arithmetic: makes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Survives reboots.
    pub root: PathBuf,
    /// Does not survive reboots.
    pub runroot: PathBuf,
}

/// One workload on this machine by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadId {
    /// Its kind, which records and messages to supervisors spell in lower case.
    #[serde(serialize_with = "Kind::serialize_singular")]
    pub kind: Kind,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

impl WorkloadId {
    /// Creates the id from its parts.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Kind, namespace and name as one word. Kubernetes' names hold no `_`, so this is unambiguous.
    pub fn key(&self) -> String {
        format!("{}_{}_{}", self.kind.singular(), self.namespace, self.name)
    }

    /// What names it on the command line.
    pub fn arguments(&self) -> String {
        match self.namespace.as_str() {
            "default" => self.to_string(),
            namespace => format!("{self} -n {namespace}"),
        }
    }

    /// The inverse of [`WorkloadId::key`].
    pub fn from_key(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '_');
        Some(Self::new(Kind::from_name_in_any_case(parts.next()?)?, parts.next()?, parts.next()?))
    }

    /// The folder name of this workload: its key, cut where that is longer than the name of a file may be.
    pub fn dir_name(&self) -> String {
        file_name(&self.key(), "")
    }

    /// The workload that a folder's name stands for. Of one that was cut, it has no more than the folder's name:
    /// it leads to the same folder, and the record in it says whose that is.
    pub fn from_dir_name(name: &str) -> Option<Self> {
        Self::from_key(name)
    }
}

/// How long the name of a file may be, in bytes (path_resolution(7)).
const MAX_FILE_NAME: usize = 255;
/// Separates the beginning of a name from the hash of all of it. Kubernetes' names hold no `~`.
const CUT: char = '~';

/// A file's name for a name of Kubernetes, with an ending: a name that is too long is cut and ends with a hash of
/// all of it.
pub(super) fn file_name(name: &str, ending: &str) -> String {
    if name.len() + ending.len() <= MAX_FILE_NAME {
        return format!("{name}{ending}");
    }
    let hash = Sha256::digest(name).iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let rest = MAX_FILE_NAME - hash.len() - CUT.len_utf8() - ending.len();
    let (at, _) = name.char_indices().take_while(|(at, _)| *at <= rest).last().unwrap_or_default();
    format!("{}{CUT}{hash}{ending}", name.get(..at).unwrap_or_default())
}

/// True for what [`file_name`] made of a name that was too long.
pub(super) fn is_cut(file_name: &str) -> bool {
    file_name.contains(CUT)
}

impl From<&WorkloadId> for ObjectRef {
    fn from(id: &WorkloadId) -> Self {
        Self::new(id.kind, &id.namespace, &id.name)
    }
}

impl fmt::Display for WorkloadId {
    /// As kubectl prints it: `pod/web`, `deployment.apps/api`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Layout {
    /// `<root>/images`: the content store.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    /// `<root>/volumes`: claims, as `<namespace>/<claim>`.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }
    /// `<root>/objects`: played ConfigMaps, Secrets and claims.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }
    /// `<root>/networks`: definitions and leases.
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }
    /// `<runroot>/networks`: netavark's and aardvark-dns' run files.
    pub fn networks_run(&self) -> PathBuf {
        self.runroot.join("networks")
    }
    /// `<root>/version.json`: the newest format of what lies in the trees.
    pub fn version(&self) -> PathBuf {
        self.root.join("version.json")
    }
    /// `<root>/workloads`.
    pub fn workloads(&self) -> PathBuf {
        self.root.join("workloads")
    }
    /// `<root>/workloads/<id>`: record and pods of one workload.
    pub fn workload(&self, id: &WorkloadId) -> PathBuf {
        self.workloads().join(id.dir_name())
    }
    /// The record of one workload.
    pub fn workload_record(&self, id: &WorkloadId) -> PathBuf {
        self.workload(id).join(WORKLOAD_RECORD)
    }
    /// The record of a workload that is to be removed, where that could not be written into the record.
    pub fn workload_leaving(&self, id: &WorkloadId) -> PathBuf {
        self.workload(id).join(WORKLOAD_LEAVING)
    }
    /// `<runroot>/removals`: removals that could not be written into records.
    pub fn removal_notes(&self) -> PathBuf {
        self.runroot.join("removals")
    }
    /// The note of one workload's removal.
    pub fn removal_note(&self, id: &WorkloadId) -> PathBuf {
        self.removal_notes().join(id.dir_name())
    }
    /// Room that is kept for [`Layout::removal_note`].
    pub fn removal_reserve(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("reserve")
    }
    /// What the controller of a workload has observed since its record was written.
    pub fn workload_state(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("state.json")
    }
    /// `<runroot>/glances.json`: what a glance at every record told last.
    pub fn glances(&self) -> PathBuf {
        self.runroot.join("glances.json")
    }
    /// `<root>/pods/<uid>`: logs, writable layers and volumes of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }
    /// The status of a pod as it last was when a container of it began or ended a run; survives reboots.
    pub fn pod_last_status(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("state.json")
    }
    /// The folder of a container's logs: `<n>.log` for its n-th run, `<n>.log.1` and so on when rotated.
    pub fn container_logs(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("logs").join(container)
    }
    /// `<runroot>/workloads/<id>`: socket and lock of its supervisor.
    pub fn workload_run(&self, id: &WorkloadId) -> PathBuf {
        self.runroot.join("workloads").join(id.dir_name())
    }
    /// The socket of a workload's supervisor.
    pub fn supervisor_socket(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("sock")
    }
    /// Held by a workload's supervisor for as long as it lives.
    pub fn supervisor_lock(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("lock")
    }
    /// Left by a supervisor that was told to end (SIGTERM): its pods start again with `play --all` or a play of their
    /// file, and by no repair.
    pub fn supervisor_left(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("left")
    }
    /// `<runroot>/pods/<uid>`: bundles, FIFOs and status of one pod.
    pub fn pod_run(&self, uid: &str) -> PathBuf {
        self.runroot.join("pods").join(uid)
    }
    /// The status of a pod: [`crate::lifecycle::PodState`] as its supervisor last wrote it.
    pub fn pod_status(&self, uid: &str) -> PathBuf {
        self.pod_run(uid).join("state.json")
    }
    /// The events of all workloads, one JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.runroot.join("events")
    }
    /// The bundle of one run of a container.
    pub fn bundle(&self, uid: &str, container: &str) -> PathBuf {
        self.pod_run(uid).join("bundles").join(container)
    }
    /// The bind mount that holds a pod's network namespace.
    pub fn netns(&self, uid: &str) -> PathBuf {
        self.runroot.join("netns").join(uid)
    }
    /// Held while the trees are made ready for this boot.
    pub fn boot_lock(&self) -> PathBuf {
        self.runroot.join("lock")
    }
    /// Held while a play decides and records what it changes.
    pub fn play_lock(&self) -> PathBuf {
        self.runroot.join("play.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workload_dir_name_round_trips() {
        let id = WorkloadId::new(Kind::Deployment, "my-ns", "api");
        assert_eq!(WorkloadId::from_dir_name(&id.dir_name()), Some(id.clone()));
        assert_eq!(id.to_string(), "deployment.apps/api");
        assert_eq!(WorkloadId::from_dir_name("widget_my-ns_api"), None);
    }

    #[test]
    fn a_workload_id_is_recorded_with_its_kind_in_lower_case() {
        let id = WorkloadId::new(Kind::Deployment, "my-ns", "api");
        let recorded = r#"{"kind":"deployment","namespace":"my-ns","name":"api"}"#;
        assert_eq!(serde_json::to_string(&id).unwrap(), recorded);
        assert_eq!(serde_json::from_str::<WorkloadId>(recorded).unwrap(), id);
    }

    #[test]
    fn names_of_any_length_have_folders_of_their_own() {
        let ids: Vec<WorkloadId> = ["a", "b"]
            .map(|last| {
                WorkloadId::new(Kind::Deployment, &"n".repeat(63), &format!("{}{last}", "x".repeat(252)))
            })
            .into();
        let names: Vec<String> = ids.iter().map(WorkloadId::dir_name).collect();
        assert_ne!(names[0], names[1]);
        for (id, name) in ids.iter().zip(&names) {
            assert_eq!(name.len(), MAX_FILE_NAME);
            assert!(is_cut(name) && name.starts_with(&id.key()[..200]));
            // Whatever is read of the folder's name leads back to it.
            assert_eq!(WorkloadId::from_dir_name(name).unwrap().dir_name(), *name);
            assert_eq!(WorkloadId::from_key(&id.key()).as_ref(), Some(id));
        }
        assert_eq!(file_name(&"x".repeat(250), ".json"), format!("{}.json", "x".repeat(250)));
        assert_eq!(file_name(&"x".repeat(251), ".json").len(), MAX_FILE_NAME);
        assert_eq!(file_name(&"ü".repeat(200), "").len(), MAX_FILE_NAME);
    }
}
