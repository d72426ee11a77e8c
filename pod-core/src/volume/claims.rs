//! PersistentVolumeClaims: named volumes that outlive pods, below `<root>/volumes/<namespace>/<claim>`.
//!
//! A claim is made when it is played, or when a pod first uses it: a cluster would leave that pod Pending, but
//! on one machine there is nobody else who could provide the volume, and podman's users expect it.

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
use crate::store::{self, Layout, Objects, WorkloadRecord};

/// A claim's volume on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// spec.resources.requests.storage, as it was asked for; not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// spec.accessModes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<String>,
    /// True when a PersistentVolumeClaim was played, false when a pod's use made it.
    #[serde(default)]
    pub declared: bool,
    /// The uid of the pod whose use made it, unless it was played first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
    /// Names of the pods that mount it; not recorded, found by [`list`].
    #[serde(skip)]
    pub used_by: Vec<String>,
    /// Where its files are; not recorded.
    #[serde(skip)]
    pub path: PathBuf,
}

/// What can go wrong with a claim.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our files.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// There is none.
    #[error("volume {namespace}/{name} not found")]
    NotFound {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Pods use it.
    #[error("volume {namespace}/{name} is in use by {}", pods.join(", "))]
    InUse {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// `pod/web`, ...
        pods: Vec<String>,
    },
    /// Some of it could not be deleted; the rest is.
    #[error("volume {namespace}/{name} could not be removed: {}", list_errors(errors))]
    Remove {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// All that went wrong.
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

/// Held while a claim is made or removed. Lies in the run tree: what it guards is written whole anyway.
fn lock(layout: &Layout) -> Result<FileLock, store::Error> {
    Ok(FileLock::acquire(&layout.runroot.join("volumes.lock"), LockKind::Exclusive)?)
}

/// Makes a claim's volume if there is none, and gives the folder to mount. `object` is what was played, if
/// anything was. Everybody may write to it (0777), as with the provisioners of small clusters: which user will
/// need it is not known, and only root can reach it from outside of a pod.
///
/// # Errors
/// When it cannot be made.
pub fn ensure(
    layout: &Layout,
    namespace: &str,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
) -> Result<PathBuf, store::Error> {
    make(layout, namespace, name, object, None)
}

/// [`ensure`] for a pod that mounts the claim: one that is not there is remembered as made for this pod.
///
/// # Errors
/// When it cannot be made.
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
    // The record before the data: a crash leaves a claim that is listed and can be removed.
    if existing.as_ref() != Some(&claim) {
        base::file::write_json(&record, &claim)?;
        base::fail_point!(Worker, "claim-recorded");
    }
    make_dir(&data, 0o777)?;
    Ok(data)
}

/// True when a claim's volume stands.
pub fn exists(layout: &Layout, namespace: &str, name: &str) -> bool {
    claim_dir(layout, namespace, name).join("volume.json").exists()
}

/// Every claim, by namespace and name, with the pods that use it.
///
/// # Errors
/// When our files cannot be read.
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

/// Namespace and name of every claim that stands, played or made by a pod's use.
///
/// # Errors
/// When our folders cannot be read.
pub fn standing(layout: &Layout) -> Result<Vec<(String, String)>, store::Error> {
    let mut found = folders(layout)?;
    found.retain(|(namespace, name)| exists(layout, namespace, name));
    Ok(found)
}

/// Deletes the claims that the use of one of the pods `uids` made, once no pod is left that mounts them. What was
/// played, or is mounted by another pod, stays.
///
/// # Errors
/// The first that went wrong; the others are deleted all the same.
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

/// Deletes a claim with all that is in it, and forgets the object.
///
/// # Errors
/// `InUse` when a recorded pod mounts it, whether it runs or not; `NotFound`; `Remove` with all that could not
/// be deleted.
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
        // The data goes first, the record last: what a crash leaves is listed and can be removed again.
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
        // The namespace's folder, if this was its last.
        let _ = fs::remove_dir(layout.volumes().join(namespace));
    }
    Objects::remove(layout, &id)?;
    Ok(())
}

/// Removes folders of claims that a crash kept from being recorded, or that are all that is left of a removed one.
///
/// # Errors
/// When the lock cannot be taken.
pub fn remove_unmade(layout: &Layout) -> Result<(), store::Error> {
    let mut found = folders(layout)?;
    found.retain(|(namespace, name)| !exists(layout, namespace, name));
    if found.is_empty() {
        return Ok(());
    }
    let _lock = lock(layout)?;
    for (namespace, name) in found.iter().filter(|(namespace, name)| !exists(layout, namespace, name)) {
        // The data of a claim is not removed with it: there is none before the record, and after it none is left. A
        // folder that is not empty stays, and is looked at again by the next `down`.
        let _ = fs::remove_dir(claim_dir(layout, namespace, name));
    }
    Ok(())
}

/// Namespace and name of everything that has a claim's folder.
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
