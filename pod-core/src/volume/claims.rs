//! PersistentVolumeClaims: named volumes that outlive pods, stored in `<root>/volumes/<namespace>/<claim>`.
//!
//! A claim's volume is created when the claim is played, or when a pod first uses it. A cluster would leave that pod
//! Pending, but on one machine no other component could provide the volume, and users of podman expect this.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use base::file::{FileLock, LockKind, names_in};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde::{Deserialize, Serialize};

use super::{make_dir, mounts};
use crate::kind::{Kind, ObjectRef};
use crate::plan::PodPlan;
use crate::record::WorkloadRecord;
use crate::store::{self, Layout, Objects};

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
    /// spec.resources.requests.storage as written; not enforced.
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
    /// Names of the pods that mount it; not stored, filled in by [`list`].
    #[serde(skip)]
    pub used_by: Vec<String>,
    /// The path of its files; not stored.
    #[serde(skip)]
    pub path: PathBuf,
}

/// Errors of claims.
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
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

fn list_errors(errors: &[store::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn claim_dir(layout: &Layout, namespace: &str, name: &str) -> PathBuf {
    layout.volumes().join(namespace).join(name)
}

/// Takes the lock under which claims are created and removed. The lock file is in the run tree and need not survive a
/// reboot, because everything that it protects is written atomically.
fn lock(layout: &Layout) -> Result<FileLock, store::Error> {
    Ok(FileLock::acquire(&layout.runroot.join("volumes.lock"), LockKind::Exclusive)?)
}

/// Creates a claim's volume if there is none, and returns the folder to mount. `object` is the claim that was played,
/// if any. Every user may write to the folder (0777), as with the provisioners of small clusters, because the user who
/// will need it is not known, and outside of pods only root can reach it.
///
/// # Errors
/// If the volume cannot be created.
pub fn ensure(
    layout: &Layout,
    namespace: &str,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
) -> Result<PathBuf, store::Error> {
    make(layout, namespace, name, object, None)
}

/// Like [`ensure`], for a pod that mounts the claim: a volume that does not exist is recorded as created for this pod.
///
/// # Errors
/// If the volume cannot be created.
pub fn ensure_for(
    layout: &Layout,
    pod: &PodPlan,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
) -> Result<PathBuf, store::Error> {
    make(layout, pod.namespace(), name, object, Some(&pod.uid))
}

fn make(
    layout: &Layout,
    namespace: &str,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
    made_for: Option<&str>,
) -> Result<PathBuf, store::Error> {
    let dir = claim_dir(layout, namespace, name);
    let data = dir.join("data");
    let _lock = lock(layout)?;
    let record = dir.join("volume.json");
    let existing: Option<Claim> = store::damage::or_none(base::file::read_json(&record));
    let spec = object.and_then(|o| o.spec.as_ref());
    let claim = Claim {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        created: existing.as_ref().map_or_else(Timestamp::now, |c| c.created),
        storage: spec
            .and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"))
            .map(|q| q.0.clone())
            .or_else(|| existing.as_ref().and_then(|c| c.storage.clone())),
        access_modes: spec
            .and_then(|s| s.access_modes.clone())
            .or_else(|| existing.as_ref().map(|c| c.access_modes.clone()))
            .unwrap_or_default(),
        declared: object.is_some() || existing.as_ref().is_some_and(|c| c.declared),
        made_for: match &existing {
            Some(existing) => existing.made_for.clone(),
            None => made_for.map(str::to_owned),
        },
        used_by: Vec::new(),
        path: PathBuf::new(),
    };
    make_dir(&dir, 0o700)?;
    // The record is written before the data is created, so that after a crash the claim is listed and can be removed.
    if existing.as_ref() != Some(&claim) {
        base::file::write_json(&record, &claim)?;
        base::fail_point!(Worker, "claim-recorded");
    }
    make_dir(&data, 0o777)?;
    Ok(data)
}

/// Returns whether a claim's volume exists.
pub fn exists(layout: &Layout, namespace: &str, name: &str) -> bool {
    claim_dir(layout, namespace, name).join("volume.json").exists()
}

/// Returns every claim, sorted by namespace and name, with the pods that use it.
///
/// # Errors
/// If the records cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<Claim>, store::Error> {
    let users = users(&WorkloadRecord::list(layout)?);
    let mut found = Vec::new();
    for (namespace, name) in folders(layout)? {
        let dir = claim_dir(layout, &namespace, &name);
        let read = store::damage::or_none(base::file::read_json::<Claim>(&dir.join("volume.json")));
        let Some(mut claim) = read else { continue };
        claim.used_by = pods_of(&users, &namespace, &name);
        claim.path = dir.join("data");
        found.push(claim);
    }
    Ok(found)
}

/// Returns namespace and name of every claim that has a volume, whether played or created for a pod.
///
/// # Errors
/// If the folders cannot be read.
pub fn standing(layout: &Layout) -> Result<Vec<(String, String)>, store::Error> {
    let mut found = folders(layout)?;
    found.retain(|(namespace, name)| exists(layout, namespace, name));
    Ok(found)
}

/// Deletes the volumes that were created for one of the pods `uids`, once no pod mounts them. Claims that were played
/// or that another pod mounts are kept.
///
/// # Errors
/// The first error; the other volumes are deleted nevertheless.
pub fn remove_made_for(layout: &Layout, uids: &[&str]) -> Result<(), Error> {
    let mut first = Ok(());
    for (namespace, name) in folders(layout)? {
        let record = claim_dir(layout, &namespace, &name).join("volume.json");
        let claim: Option<Claim> = base::file::read_json(&record)?;
        let made_for = claim.filter(|claim| !claim.declared).and_then(|claim| claim.made_for);
        if made_for.is_none_or(|uid| !uids.contains(&uid.as_str())) {
            continue;
        }
        match remove(layout, &namespace, &name) {
            Err(Error::NotFound { .. } | Error::InUse { .. }) | Ok(()) => {}
            failed => first = first.and(failed),
        }
    }
    first
}

/// Deletes a claim with its data and its object.
///
/// # Errors
/// `InUse` if a recorded pod mounts it, whether it runs or not; `NotFound`; `Remove` with everything that could not be
/// deleted.
pub fn remove(layout: &Layout, namespace: &str, name: &str) -> Result<(), Error> {
    let here = || (namespace.to_owned(), name.to_owned());
    let id = ObjectRef::new(Kind::PersistentVolumeClaim, namespace, name);
    let _lock = lock(layout)?;
    let dir = claim_dir(layout, namespace, name);
    let is_played = Objects::exists(layout, &id);
    let plain = |text: &str| !text.is_empty() && !text.contains('/') && !text.starts_with('.');
    let exists = plain(namespace) && plain(name) && dir.join("volume.json").exists();
    if !exists && !is_played {
        let (namespace, name) = here();
        return Err(Error::NotFound { namespace, name });
    }
    let pods = pods_of(&users(&WorkloadRecord::list_all(layout)?), namespace, name);
    if !pods.is_empty() {
        let (namespace, name) = here();
        return Err(Error::InUse { namespace, name, pods });
    }
    if exists {
        let mut errors = mounts::unmount_below(&[&dir]);
        // The data is deleted first and the record last: after a crash the claim is still listed and can be removed
        // again.
        if errors.is_empty()
            && let Err(more) =
                base::file::remove_tree(&dir.join("data")).and_then(|()| base::file::remove_tree(&dir))
        {
            errors.extend(more.into_iter().map(store::Error::from));
        }
        if !errors.is_empty() {
            let (namespace, name) = here();
            return Err(Error::Remove { namespace, name, errors });
        }
        // Removes the namespace's folder if this was its last claim.
        let _ = fs::remove_dir(layout.volumes().join(namespace));
    }
    Objects::remove(layout, &id)?;
    Ok(())
}

/// Removes claim folders without a record, which a crash before recording or during a removal left behind.
///
/// # Errors
/// If the lock cannot be taken.
pub fn remove_unmade(layout: &Layout) -> Result<(), store::Error> {
    let mut found = folders(layout)?;
    found.retain(|(namespace, name)| !exists(layout, namespace, name));
    if found.is_empty() {
        return Ok(());
    }
    let _lock = lock(layout)?;
    for (namespace, name) in found.iter().filter(|(namespace, name)| !exists(layout, namespace, name)) {
        // Such a folder has no data: data is created after the record and deleted before it. A folder that is not empty
        // is kept, and the next `down` tries again.
        let _ = fs::remove_dir(claim_dir(layout, namespace, name));
    }
    Ok(())
}

/// Returns namespace and name of every claim folder.
fn folders(layout: &Layout) -> Result<Vec<(String, String)>, store::Error> {
    let mut found = Vec::new();
    for namespace in names_in(&layout.volumes())? {
        let names = names_in(&layout.volumes().join(&namespace))?;
        found.extend(names.into_iter().map(|name| (namespace.clone(), name)));
    }
    Ok(found)
}

/// Returns the claims of a pod that one pod at a time may use (accessMode ReadWriteOncePod).
pub fn exclusive(layout: &Layout, pod: &PodPlan) -> HashSet<(String, String)> {
    let volumes = pod.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let names = volumes.filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name));
    let is_exclusive = |name: &&String| {
        let id = ObjectRef::new(Kind::PersistentVolumeClaim, pod.namespace(), name);
        let claim = store::damage::or_none(Objects::get(layout, &id));
        let modes = claim.as_ref().and_then(|claim| claim.pointer("/spec/accessModes")?.as_array());
        modes.into_iter().flatten().any(|mode| mode == "ReadWriteOncePod")
    };
    names.filter(is_exclusive).map(|name| (pod.namespace().to_owned(), name.clone())).collect()
}

/// Returns (namespace, claim, pod) for every recorded pod that mounts a claim.
fn users(records: &[WorkloadRecord]) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for record in records {
        for pod in &record.pods {
            let volumes = pod.plan.pod.spec.as_ref().and_then(|s| s.volumes.as_ref());
            for volume in volumes.into_iter().flatten() {
                if let Some(source) = &volume.persistent_volume_claim {
                    found.push((
                        pod.plan.namespace().to_owned(),
                        source.claim_name.clone(),
                        format!("pod/{}", pod.plan.name()),
                    ));
                }
            }
        }
    }
    found
}

fn pods_of(users: &[(String, String, String)], namespace: &str, name: &str) -> Vec<String> {
    users
        .iter()
        .filter(|(ns, claim, _)| ns == namespace && claim == name)
        .map(|(.., pod)| pod.clone())
        .collect()
}
