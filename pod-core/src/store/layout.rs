use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::kind::{Kind, ObjectRef};

/// The file name of a workload's record.
pub const WORKLOAD_RECORD: &str = "workload.json";
/// The name to which the record is renamed when the whole workload is deleted and there is no free space to save that
/// in the record.
pub const WORKLOAD_LEAVING: &str = "leaving.json";

/// The paths of all files below `--root` and `--runroot`. It only computes paths and creates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The tree that survives reboots.
    pub root: PathBuf,
    /// The tree that does not survive reboots.
    pub runroot: PathBuf,
}

/// Identifies a workload of this host by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkloadId {
    /// The workload's kind, which records and messages to supervisors spell in lower case.
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

    /// Returns kind, namespace and name as one word. Kubernetes' names do not contain `_`, so the word is unambiguous.
    pub fn key(&self) -> String {
        format!("{}_{}_{}", self.kind.singular(), self.namespace, self.name)
    }

    /// Returns the arguments that name the workload on the command line.
    pub fn arguments(&self) -> String {
        match self.namespace.as_str() {
            "default" => self.to_string(),
            namespace => format!("{self} -n {namespace}"),
        }
    }

    /// Parses the result of [`WorkloadId::key`].
    pub fn from_key(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '_');
        Some(Self::new(Kind::from_name_in_any_case(parts.next()?)?, parts.next()?, parts.next()?))
    }

    /// Returns the folder name of this workload: its key, cut if the key is longer than the name of a file may be.
    pub fn dir_name(&self) -> String {
        file_name(&self.key(), "")
    }

    /// Returns the workload that a folder name belongs to. If the folder name was cut, the returned id has the cut
    /// name. It still has the same folder, and the record in the folder has the complete name.
    pub fn from_dir_name(name: &str) -> Option<Self> {
        Self::from_key(name)
    }
}

/// The maximum length of the name of a file, in bytes (path_resolution(7)).
const MAX_FILE_NAME: usize = 255;
/// Separates the beginning of a cut name from the hash of the complete name. Kubernetes' names do not contain `~`.
const CUT: char = '~';

/// Returns a file name for a name of Kubernetes, with an ending. A name that is too long is cut and gets a hash of the
/// complete name.
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

/// Returns whether [`file_name`] has cut this name.
pub(super) fn is_cut(file_name: &str) -> bool {
    file_name.contains(CUT)
}

impl From<&WorkloadId> for ObjectRef {
    fn from(id: &WorkloadId) -> Self {
        Self::new(id.kind, &id.namespace, &id.name)
    }
}

impl fmt::Display for WorkloadId {
    /// Writes the id as kubectl prints it: `pod/web`, `deployment.apps/api`.
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
    /// `<root>/persistentvolumes`: what is known of `PersistentVolumes` besides their manifests.
    pub fn persistent_volumes(&self) -> PathBuf {
        self.root.join("persistentvolumes")
    }
    /// What is known of one PersistentVolume.
    pub fn persistent_volume(&self, name: &str) -> PathBuf {
        self.persistent_volumes().join(file_name(name, ".json"))
    }
    /// `<root>/objects`: played ConfigMaps, Secrets, claims and `PersistentVolumes`.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }
    /// `<root>/networks`: definitions and leases.
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }
    /// `<runroot>/networks`: the files of netavark and of the name server.
    pub fn networks_run(&self) -> PathBuf {
        self.runroot.join("networks")
    }
    /// `<root>/version.json`: the newest format of the files in the trees.
    pub fn version(&self) -> PathBuf {
        self.root.join("version.json")
    }
    /// `<root>/workloads`: a folder per workload.
    pub fn workloads(&self) -> PathBuf {
        self.root.join("workloads")
    }
    /// `<root>/workloads/<id>`: the record of one workload.
    pub fn workload(&self, id: &WorkloadId) -> PathBuf {
        self.workloads().join(id.dir_name())
    }
    /// The record of one workload.
    pub fn workload_record(&self, id: &WorkloadId) -> PathBuf {
        self.workload(id).join(WORKLOAD_RECORD)
    }
    /// The renamed record of a workload that is deleted, if the deletion could not be saved in the record.
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
    /// The file that reserves space for [`Layout::removal_note`].
    pub fn removal_reserve(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("reserve")
    }
    /// The state that the controller of a workload has observed since the record was written.
    pub fn workload_state(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("state.json")
    }
    /// What the supervisor of a workload says of its pods to Services.
    pub fn workload_endpoints(&self, id: &WorkloadId) -> PathBuf {
        self.workload_endpoints_of(&id.dir_name())
    }
    /// The same, by the name of the workload's folder.
    pub fn workload_endpoints_of(&self, dir_name: &str) -> PathBuf {
        self.runroot.join("workloads").join(dir_name).join("endpoints.json")
    }
    /// `<runroot>/services`: what of Services was handed to the network, a lock, and caches.
    pub fn services_run(&self) -> PathBuf {
        self.runroot.join("services")
    }
    /// `<root>/ingress`: settings of the Ingress proxy, and the certificate for hosts that have none.
    pub fn ingress(&self) -> PathBuf {
        self.root.join("ingress")
    }
    /// `<runroot>/ingress`: the routes of the Ingress proxy, what it reports, its log.
    pub fn ingress_run(&self) -> PathBuf {
        self.runroot.join("ingress")
    }
    /// `<runroot>/glances.json`: a cache of the summaries of all records.
    pub fn summaries(&self) -> PathBuf {
        self.runroot.join("glances.json")
    }
    /// `<root>/pods/<uid>`: logs, writable layers and volumes of one pod.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }
    /// The status of a pod at the time when one of its containers last started or ended. It survives reboots.
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
    /// The lock that a workload's supervisor holds as long as it runs.
    pub fn supervisor_lock(&self, id: &WorkloadId) -> PathBuf {
        self.workload_run(id).join("lock")
    }
    /// The mark that a supervisor leaves when it is asked to end (SIGTERM). Its pods are started again by `kube play
    /// --all` or by playing their file, but not by an automatic repair.
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
    /// The events of all workloads, one JSON object per line.
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
    /// The bind mount that holds the user namespace of a pod with hostUsers: false.
    pub fn user_namespace(&self, uid: &str) -> PathBuf {
        self.pod_run(uid).join("users")
    }
    /// The lock that is held while the trees are prepared for this boot.
    pub fn boot_lock(&self) -> PathBuf {
        self.runroot.join("lock")
    }
    /// The lock that is held while a `kube play` decides and records its changes.
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
            // The id that is read from the folder name has the same folder.
            assert_eq!(WorkloadId::from_dir_name(name).unwrap().dir_name(), *name);
            assert_eq!(WorkloadId::from_key(&id.key()).as_ref(), Some(id));
        }
        assert_eq!(file_name(&"x".repeat(250), ".json"), format!("{}.json", "x".repeat(250)));
        assert_eq!(file_name(&"x".repeat(251), ".json").len(), MAX_FILE_NAME);
        assert_eq!(file_name(&"ü".repeat(200), "").len(), MAX_FILE_NAME);
    }
}
