//! What is recorded of a claim's volume on this machine, and where its files are: `<root>/volumes/<namespace>/<claim>`.

use std::fs;
use std::path::PathBuf;

use base::file::{FileLock, LockKind, names_in};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{block, nfs};
use crate::plan::binding::Unbound;
use crate::store::{self, Layout};

/// A claim's volume on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// When the volume was created.
    pub created: Timestamp,
    /// spec.resources.requests.storage as written; enforced only for a block device, whose size it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// spec.accessModes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<String>,
    /// True if a PersistentVolumeClaim was played, false if the volume was created because a pod used the claim.
    #[serde(default)]
    pub declared: bool,
    /// The uid of the pod that the volume was created for, unless the claim was played first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
    /// The pod that the claim is removed with (an ephemeral volume).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The PersistentVolume that the claim is bound to; `None` if it has files of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// spec.volumeMode is Block.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub block: bool,
    /// The claim in the same namespace whose data is copied before the claim is used for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// Names of the pods that mount it; not stored, filled in by [`super::claims::list`].
    #[serde(skip)]
    pub used_by: Vec<String>,
    /// The path of its files; not stored.
    #[serde(skip)]
    pub path: PathBuf,
}

/// The pod that owns a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// metadata.uid.
    pub uid: String,
    /// metadata.name.
    pub name: String,
}

/// Errors of claims and PersistentVolumes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record or lock file cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The claim does not exist.
    #[error("volume {namespace}/{name} not found")]
    NotFound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The claim is in use by pods.
    #[error("volume {namespace}/{name} is in use by {}", pods.join(", "))]
    InUse {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// `pod/web`, ...
        pods: Vec<String>,
    },
    /// Some of its files could not be deleted; the others have been.
    #[error("volume {namespace}/{name} could not be removed: {}", list_errors(errors))]
    Remove {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Everything that went wrong.
        errors: Vec<store::Error>,
    },
    /// The claim binds to no PersistentVolume, and no folder is made for it.
    #[error("claim {namespace}/{name}: {source}")]
    Unbound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<Unbound>,
    },
    /// The claim of an ephemeral volume exists already, and its pod does not own it. In the words of Kubernetes.
    #[error("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)")]
    NotOwned {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The pod.
        pod: String,
    },
    /// The PersistentVolume that the claim is bound to does not exist any more.
    #[error(
        "claim {namespace}/{name} is bound to PersistentVolume {volume}, which does not exist: play it again"
    )]
    VolumeLost {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The volume.
        volume: String,
    },
    /// The claim to copy does not exist.
    #[error("claim {namespace}/{name} is a copy of claim {source_name}, which does not exist")]
    NoSource {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The claim to copy.
        source_name: String,
    },
    /// The data of another claim could not be copied.
    #[error("claim {namespace}/{name}: cannot copy the data of claim {source_name}: {source}")]
    Copy {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The claim to copy.
        source_name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A block device cannot be made of a file.
    #[error(transparent)]
    Block(#[from] block::Error),
    /// A PersistentVolume does not exist.
    #[error("persistentvolume/{0} not found")]
    NoVolume(String),
    /// A PersistentVolume is bound to a claim.
    #[error("persistentvolume/{volume} is bound to claim {namespace}/{claim}")]
    VolumeInUse {
        /// The volume.
        volume: String,
        /// The claim's namespace.
        namespace: String,
        /// The claim's name.
        claim: String,
    },
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

fn list_errors(errors: &[store::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Where the data of a claim is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A folder of its own.
    Folder(PathBuf),
    /// A file of its own, for a block device.
    BlockFile(PathBuf),
    /// A folder of the host, which is made if it is missing (the hostPath of a PersistentVolume).
    HostPath(k8s_openapi::api::core::v1::HostPathVolumeSource),
    /// A folder of the host that has to exist (a local PersistentVolume).
    Local(PathBuf),
    /// A block device of the host (a local PersistentVolume of volumeMode Block).
    Device(PathBuf),
    /// A folder of a server.
    Nfs(nfs::Share),
}

/// Returns the folder of a claim.
pub(super) fn folder(layout: &Layout, namespace: &str, name: &str) -> PathBuf {
    layout.volumes().join(namespace).join(name)
}

/// Returns the path of the record of a claim.
pub(super) fn record(layout: &Layout, namespace: &str, name: &str) -> PathBuf {
    folder(layout, namespace, name).join("volume.json")
}

/// Takes the lock under which claims and PersistentVolumes are created, bound and removed. The lock file is in the run
/// tree and need not survive a reboot, because everything that it protects is written atomically.
pub(super) fn lock(layout: &Layout) -> Result<FileLock, store::Error> {
    Ok(FileLock::acquire(&layout.runroot.join("volumes.lock"), LockKind::Exclusive)?)
}

/// Returns namespace and name of every claim folder.
pub(super) fn folders(layout: &Layout) -> Result<Vec<(String, String)>, store::Error> {
    let mut found = Vec::new();
    for namespace in names_in(&layout.volumes())? {
        let names = names_in(&layout.volumes().join(&namespace))?;
        found.extend(names.into_iter().map(|name| (namespace.clone(), name)));
    }
    Ok(found)
}

/// Reads the record of a claim. A damaged record counts as missing.
pub(super) fn read(layout: &Layout, namespace: &str, name: &str) -> Option<Claim> {
    store::damage::or_none(base::file::read_json(&record(layout, namespace, name)))
}

/// Reads the records of all claims, sorted by namespace and name.
pub(super) fn read_all(layout: &Layout) -> Result<Vec<Claim>, store::Error> {
    let all = folders(layout)?;
    Ok(all.iter().filter_map(|(namespace, name)| read(layout, namespace, name)).collect())
}

/// Removes the folder of a namespace if it has no claim any more.
pub(super) fn remove_namespace(layout: &Layout, namespace: &str) {
    let _ = fs::remove_dir(layout.volumes().join(namespace));
}
