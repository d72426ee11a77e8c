//! PersistentVolumeClaims: named volumes that outlive pods, and the claims of ephemeral volumes, which do not.
//!
//! A claim's volume is created when the claim is played, or when a pod first uses it. A cluster would leave that pod
//! Pending, but on one machine no other component could provide the volume, and users of podman expect this. A claim that
//! is played may bind to a PersistentVolume instead of getting files of its own.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::file::names_in;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::claim::{self, folder, folders, lock, read, record};
pub use super::claim::{Claim, Data, Error, Owner};
use super::{block, copy, make_dir, mounts, persistent};
use crate::kind::{Kind, ObjectRef};
use crate::manifest::Quantity;
use crate::plan::binding::Binding;
use crate::plan::{self, PodPlan};
use crate::record::WorkloadRecord;
use crate::store::{self, Layout, Objects};

/// For whom a claim is created.
#[derive(Clone, Copy)]
enum For<'a> {
    /// Nobody yet: it is played.
    Play,
    /// This pod mounts it.
    User(&'a PodPlan),
    /// This pod owns it.
    Owner(&'a PodPlan),
}

/// Creates a claim's volume if there is none. `object` is the claim that was played, if any. Every user may write to its
/// folder (0777), as with the provisioners of small clusters, because the user who will need it is not known, and outside
/// of pods only root can reach it.
///
/// # Errors
/// If the volume cannot be created, or the claim binds to nothing.
pub fn ensure(
    layout: &Layout,
    namespace: &str,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
) -> Result<Claim, Error> {
    make(layout, namespace, name, object, For::Play)
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
) -> Result<Claim, Error> {
    make(layout, pod.namespace(), name, object, For::User(pod))
}

/// Like [`ensure`], for the claim of an ephemeral volume, which the pod owns.
///
/// # Errors
/// `NotOwned` if a claim of that name exists that the pod does not own; if the volume cannot be created.
pub fn ensure_owned(layout: &Layout, pod: &PodPlan, object: &PersistentVolumeClaim) -> Result<Claim, Error> {
    let name = object.metadata.name.clone().unwrap_or_default();
    // The mark is written before the claim, so that a command that cleans up after a crash finds the claim.
    let mark = owned(layout, &pod.uid).join(pod.namespace()).join(&name);
    base::file::create_private_dir_all(&mark).map_err(store::Error::io("create", &mark))?;
    base::fail_point!(Worker, "owned-claim-marked");
    make(layout, pod.namespace(), &name, Some(object), For::Owner(pod))
}

/// Returns the folder with a mark for each claim that a pod owns, as `<namespace>/<claim>`.
fn owned(layout: &Layout, uid: &str) -> PathBuf {
    layout.pod(uid).join("claims")
}

fn make(
    layout: &Layout,
    namespace: &str,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
    reason: For<'_>,
) -> Result<Claim, Error> {
    let dir = folder(layout, namespace, name);
    let claim = {
        let _lock = lock(layout)?;
        let existing = read(layout, namespace, name);
        if let For::Owner(pod) = reason
            && existing.as_ref().is_some_and(|known| !is_owned_by(known, &pod.uid))
        {
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            return Err(Error::NotOwned { namespace, name, pod: pod.name().to_owned() });
        }
        let claim = described(layout, namespace, name, object, reason, existing.as_ref())?;
        make_dir(&dir, 0o700)?;
        // The record is written before the data is created, so that after a crash the claim is listed and can be removed.
        if existing.as_ref() != Some(&claim) {
            base::file::write_json(&record(layout, namespace, name), &claim)?;
            base::fail_point!(Worker, "claim-recorded");
        }
        if claim.volume.is_some() {
            return Ok(claim);
        }
        if claim.copy_of.is_none() {
            make_data(layout, &claim)?;
            return Ok(claim);
        }
        claim
    };
    // A copy may take long, so the lock is not held meanwhile.
    copy_data(layout, &claim)?;
    Ok(claim)
}

fn is_owned_by(claim: &Claim, uid: &str) -> bool {
    claim.owner.as_ref().is_some_and(|owner| owner.uid == uid)
}

/// Returns the record of a claim: what it was before, with what is known now.
fn described(
    layout: &Layout,
    namespace: &str,
    name: &str,
    object: Option<&PersistentVolumeClaim>,
    reason: For<'_>,
    existing: Option<&Claim>,
) -> Result<Claim, Error> {
    let spec = object.and_then(|object| object.spec.as_ref());
    let storage = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let is_declared = object.is_some() && !matches!(reason, For::Owner(_));
    if let Some(existing) = existing {
        return Ok(Claim {
            storage: storage.map(|size| size.0.clone()).or_else(|| existing.storage.clone()),
            access_modes: spec
                .and_then(|s| s.access_modes.clone())
                .unwrap_or_else(|| existing.access_modes.clone()),
            declared: existing.declared || is_declared,
            ..existing.clone()
        });
    }
    let bind = |object| persistent::bind(layout, object, &BTreeMap::new(), &BTreeMap::new());
    let volume = match object.map(bind).transpose()? {
        Some(Binding::Volume(volume)) => Some(volume),
        Some(Binding::Folder) | None => None,
    };
    let copied = object.and_then(source_of).filter(|_| volume.is_none());
    Ok(Claim {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        created: Timestamp::now(),
        storage: storage.map(|size| size.0.clone()),
        access_modes: spec.and_then(|s| s.access_modes.clone()).unwrap_or_default(),
        declared: is_declared,
        made_for: match reason {
            For::User(pod) => Some(pod.uid.clone()),
            For::Play | For::Owner(_) => None,
        },
        owner: match reason {
            For::Owner(pod) => Some(Owner { uid: pod.uid.clone(), name: pod.name().to_owned() }),
            For::Play | For::User(_) => None,
        },
        volume,
        block: spec.and_then(|s| s.volume_mode.as_deref()) == Some("Block"),
        copy_of: copied.map(str::to_owned),
        used_by: Vec::new(),
        path: PathBuf::new(),
    })
}

/// Returns the claim whose data a claim is a copy of (dataSource, dataSourceRef).
pub fn source_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    let spec = claim.spec.as_ref()?;
    let new = spec.data_source_ref.as_ref().map(|source| source.name.as_str());
    new.or_else(|| spec.data_source.as_ref().map(|source| source.name.as_str()))
}

/// Returns the size of a claim in bytes.
fn size(claim: &Claim) -> u64 {
    let size = claim.storage.as_deref().and_then(Quantity::parse).map_or(0, Quantity::value);
    u64::try_from(size).unwrap_or(0)
}

/// Returns the path of a claim's own data.
fn own_data(layout: &Layout, claim: &Claim) -> PathBuf {
    folder(layout, &claim.namespace, &claim.name).join(if claim.block { "block" } else { "data" })
}

fn make_data(layout: &Layout, claim: &Claim) -> Result<(), Error> {
    let path = own_data(layout, claim);
    match claim.block {
        true => block::make_file(&path, size(claim))?,
        false => make_dir(&path, 0o777)?,
    }
    Ok(())
}

/// Copies the data of another claim, unless the claim has its data already.
fn copy_data(layout: &Layout, claim: &Claim) -> Result<(), Error> {
    let target = own_data(layout, claim);
    let Some(source) = claim.copy_of.as_deref().filter(|_| !target.exists()) else { return Ok(()) };
    let (namespace, name) = (claim.namespace.clone(), claim.name.clone());
    let original = read(layout, &namespace, source).ok_or_else(|| Error::NoSource {
        namespace: namespace.clone(),
        name: name.clone(),
        source_name: source.to_owned(),
    })?;
    let fail = |source_name: &str| {
        let (namespace, name, source_name) = (namespace.clone(), name.clone(), source_name.to_owned());
        move |source: std::io::Error| Error::Copy { namespace, name, source_name, source }
    };
    let unsupported = |what: &str| fail(source)(std::io::Error::other(what.to_owned()));
    let from = match data(layout, &original)? {
        Data::Folder(path) | Data::Local(path) => path,
        Data::HostPath(source) => source.path.into(),
        Data::BlockFile(path) => path,
        Data::Device(_) => return Err(unsupported("its data is a device")),
        Data::Nfs(_) => return Err(unsupported("its data is on a server")),
    };
    // A copy that is not complete is never used: it has its name only once it is.
    let staged = target.with_extension(format!("copy.{}", std::process::id()));
    base::file::remove_dir_if_exists(&staged)?;
    let copied = match claim.block {
        true => copy::copy_contents(&from, &staged).and_then(|()| grow(&staged, size(claim))),
        false => {
            make_dir(&staged, 0o777)?;
            if from.exists() { copy::copy_folder(&from, &staged) } else { Ok(()) }
        }
    };
    base::fail_point!(Worker, "claim-copied");
    let _lock = lock(layout)?;
    if let Err(error) = copied {
        base::file::remove_dir_if_exists(&staged)?;
        return Err(fail(source)(error));
    }
    // Another process may have been faster, or the claim was removed meanwhile.
    if target.exists() || read(layout, &namespace, &name).is_none() {
        base::file::remove_dir_if_exists(&staged)?;
        return Ok(());
    }
    fs::rename(&staged, &target).map_err(fail(source))
}

/// Makes a file at least this large.
fn grow(file: &Path, size: u64) -> std::io::Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    let file = fs::OpenOptions::new().write(true).open(file)?;
    let has = file.metadata()?.len();
    if has < size { file.set_len(size) } else { Ok(()) }
}

/// Returns where the data of a claim is.
///
/// # Errors
/// `VolumeLost` if its PersistentVolume does not exist any more.
pub fn data(layout: &Layout, claim: &Claim) -> Result<Data, Error> {
    let Some(volume) = &claim.volume else {
        let path = own_data(layout, claim);
        return Ok(if claim.block { Data::BlockFile(path) } else { Data::Folder(path) });
    };
    let found = Objects::persistent_volumes(layout)?.remove(volume);
    found.as_ref().and_then(persistent::data).ok_or_else(|| Error::VolumeLost {
        namespace: claim.namespace.clone(),
        name: claim.name.clone(),
        volume: volume.clone(),
    })
}

/// Returns the file of a claim of volumeMode Block.
pub(super) fn block_file(layout: &Layout, namespace: &str, name: &str) -> PathBuf {
    folder(layout, namespace, name).join("block")
}

/// Attaches the block device of a claim for a pod, and returns its path.
///
/// # Errors
/// If it cannot be made.
pub(super) fn attach(layout: &Layout, claim: &Claim, uid: &str) -> Result<PathBuf, Error> {
    let _lock = lock(layout)?;
    let file = block_file(layout, &claim.namespace, &claim.name);
    Ok(block::attach(layout, (&claim.namespace, &claim.name), &file, uid)?)
}

/// Detaches the block devices of claims that only this pod uses. Its containers must have ended. Continues after errors
/// and returns all of them.
pub fn detach(layout: &Layout, uid: &str) -> Vec<Error> {
    if !block::is_used(layout, uid) {
        return Vec::new();
    }
    let _lock = match lock(layout) {
        Ok(lock) => lock,
        Err(error) => return vec![error.into()],
    };
    let errors = block::detach(layout, uid, |namespace, name| block_file(layout, namespace, name));
    errors.into_iter().map(Error::from).collect()
}

/// Returns whether a claim's volume exists.
pub fn exists(layout: &Layout, namespace: &str, name: &str) -> bool {
    record(layout, namespace, name).exists()
}

/// Returns the claim with this name, if it has a volume.
pub fn get(layout: &Layout, namespace: &str, name: &str) -> Option<Claim> {
    read(layout, namespace, name)
}

/// Returns every claim, sorted by namespace and name, with the pods that use it.
///
/// # Errors
/// If the records cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<Claim>, store::Error> {
    let users = users(&WorkloadRecord::list(layout)?);
    let mut found = claim::read_all(layout)?;
    for claim in &mut found {
        claim.used_by = pods_of(&users, &claim.namespace, &claim.name);
        claim.path = match data(layout, claim) {
            Ok(Data::Folder(path) | Data::BlockFile(path) | Data::Local(path) | Data::Device(path)) => path,
            Ok(Data::HostPath(source)) => source.path.into(),
            Ok(Data::Nfs(share)) => format!("{}:{}", share.server, share.path).into(),
            Err(_) => PathBuf::new(),
        };
    }
    Ok(found)
}

/// Returns namespace and name of every claim that has a volume, whether played or created for a pod, except those that a
/// pod owns.
///
/// # Errors
/// If the folders cannot be read.
pub fn standing(layout: &Layout) -> Result<Vec<(String, String)>, store::Error> {
    let mut found = folders(layout)?;
    found.retain(|(namespace, name)| {
        exists(layout, namespace, name)
            && read(layout, namespace, name).is_none_or(|claim| claim.owner.is_none())
    });
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
        let claim: Option<Claim> = base::file::read_json(&record(layout, &namespace, &name))?;
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

/// Deletes the claims that a pod owns, with their data. Its containers must have been removed. Continues after errors and
/// returns all of them.
pub fn remove_owned(layout: &Layout, uid: &str) -> Vec<Error> {
    let top = owned(layout, uid);
    let mut errors = Vec::new();
    for namespace in names_in(&top).unwrap_or_default() {
        for name in names_in(&top.join(&namespace)).unwrap_or_default() {
            let removed =
                lock(layout).map_err(Error::from).and_then(|_lock| match read(layout, &namespace, &name) {
                    Some(claim) if is_owned_by(&claim, uid) => delete(layout, &namespace, &name),
                    _ => Ok(()),
                });
            errors.extend(removed.err());
            base::fail_point!(Worker, "owned-claim-removed");
        }
    }
    errors
}

/// Deletes a claim with its data and its object. The files of a PersistentVolume are kept or deleted as its reclaim
/// policy says.
///
/// # Errors
/// `InUse` if a recorded pod mounts it, whether it runs or not; `NotFound`; `Remove` with everything that could not be
/// deleted.
pub fn remove(layout: &Layout, namespace: &str, name: &str) -> Result<(), Error> {
    let here = || (namespace.to_owned(), name.to_owned());
    let id = ObjectRef::new(Kind::PersistentVolumeClaim, namespace, name);
    let _lock = lock(layout)?;
    let is_played = Objects::exists(layout, &id);
    let plain = |text: &str| !text.is_empty() && !text.contains('/') && !text.starts_with('.');
    let exists = plain(namespace) && plain(name) && exists(layout, namespace, name);
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
        delete(layout, namespace, name)?;
    }
    Objects::remove(layout, &id)?;
    Ok(())
}

/// Deletes the data and the record of a claim, and releases its PersistentVolume. Must be called with the lock held.
fn delete(layout: &Layout, namespace: &str, name: &str) -> Result<(), Error> {
    let dir = folder(layout, namespace, name);
    let volume = read(layout, namespace, name).and_then(|claim| claim.volume);
    if let Some(volume) = &volume {
        // Noted first: as long as the claim exists, the volume counts as bound nevertheless.
        persistent::note_release(layout, volume, (namespace.to_owned(), name.to_owned()))?;
    }
    let file = block_file(layout, namespace, name);
    if file.exists() {
        for error in block::detach_file(&file) {
            tracing::warn!("{error}");
        }
    }
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
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        return Err(Error::Remove { namespace, name, errors });
    }
    claim::remove_namespace(layout, namespace);
    volume.map_or(Ok(()), |volume| persistent::reclaim(layout, &volume))
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
        let _ = fs::remove_dir(folder(layout, namespace, name));
    }
    Ok(())
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
    let pods = records.iter().flat_map(|record| &record.pods);
    pods.flat_map(|pod| {
        plan::volumes::claims(&pod.plan.pod)
            .into_iter()
            .map(|claim| (pod.plan.namespace().to_owned(), claim, format!("pod/{}", pod.plan.name())))
    })
    .collect()
}

fn pods_of(users: &[(String, String, String)], namespace: &str, name: &str) -> Vec<String> {
    users
        .iter()
        .filter(|(ns, claim, _)| ns == namespace && claim == name)
        .map(|(.., pod)| pod.clone())
        .collect()
}
