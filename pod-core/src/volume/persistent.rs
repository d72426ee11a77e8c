//! PersistentVolumes of this host: which claim has each, and what happens to it when that claim is removed.
//!
//! The manifest of a volume is recorded as an object. What is not in it is in `<root>/persistentvolumes/<name>.json`:
//! when it was played, and the claim that it was released from. The claim that it is bound to is not stored here: the
//! record of that claim names the volume.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde::{Deserialize, Serialize};

use super::claim::{self, Claim, Data, Error};
use super::nfs::Share;
use crate::kind::{Kind, ObjectRef};
use crate::plan::binding::{self, Binding, ClaimName, Offer};
use crate::store::{self, Layout, Objects};

/// Below this folder Kubernetes deletes the files of a hostPath volume with reclaim policy Delete, and nowhere else.
const DELETABLE: &str = "/tmp/";

/// status.phase of a PersistentVolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No claim has it.
    Available,
    /// A claim has it.
    Bound,
    /// Its claim was removed, and its files are kept.
    Released,
    /// Its claim was removed, and its files should be deleted, which is not possible.
    Failed,
}

impl Phase {
    /// Returns the phase as the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Bound => "Bound",
            Self::Released => "Released",
            Self::Failed => "Failed",
        }
    }
}

/// A PersistentVolume as commands see it.
#[derive(Debug, Clone)]
pub struct Volume {
    /// metadata.name.
    pub name: String,
    /// When it was played; `None` if that is not known.
    pub created: Option<Timestamp>,
    /// The volume as it was played.
    pub object: PersistentVolume,
    /// status.phase.
    pub phase: Phase,
    /// The claim that has it, or had it.
    pub claim: Option<ClaimName>,
    /// status.message.
    pub message: Option<String>,
}

/// What is stored of a volume besides its manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    created: Timestamp,
    /// The claim that had the volume and was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released_from: Option<ClaimName>,
}

fn record_path(layout: &Layout, name: &str) -> PathBuf {
    layout.persistent_volume(name)
}

fn read_record(layout: &Layout, name: &str) -> Option<Record> {
    store::damage::or_none(base::file::read_json(&record_path(layout, name)))
}

/// Records that a volume was played.
///
/// # Errors
/// If the record cannot be written.
pub fn ensure(layout: &Layout, name: &str) -> Result<(), Error> {
    let _lock = claim::lock(layout)?;
    if read_record(layout, name).is_none() {
        let record = Record { created: Timestamp::now(), released_from: None };
        base::file::write_json(&record_path(layout, name), &record)?;
    }
    Ok(())
}

/// Returns the claims that have a volume, by the volume's name.
fn bound(claims: &[Claim]) -> BTreeMap<&str, ClaimName> {
    let bound = claims.iter().filter_map(|claim| Some((claim.volume.as_deref()?, claim)));
    bound.map(|(volume, claim)| (volume, (claim.namespace.clone(), claim.name.clone()))).collect()
}

/// Returns all volumes, sorted by name.
///
/// # Errors
/// If the records cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<Volume>, Error> {
    let claims = claim::read_all(layout)?;
    let bound = bound(&claims);
    let volumes = Objects::persistent_volumes(layout)?;
    let volume = |(name, object): (String, PersistentVolume)| {
        let record = read_record(layout, &name);
        let released = record.as_ref().and_then(|record| record.released_from.clone());
        let (phase, claim, message) = match (bound.get(name.as_str()), released) {
            (Some(claim), _) => (Phase::Bound, Some(claim.clone()), None),
            (None, Some(claim)) => match (is_deleted_with_claim(&object), deletable(&object)) {
                (true, Err(why)) => (Phase::Failed, Some(claim), Some(why.to_string())),
                _ => (Phase::Released, Some(claim), None),
            },
            (None, None) => (Phase::Available, None, None),
        };
        Volume { created: record.map(|record| record.created), name, object, phase, claim, message }
    };
    Ok(volumes.into_iter().map(volume).collect())
}

/// Decides what a claim binds to, among the volumes that exist and those in `added`, which replace existing ones of the
/// same name. `taken` are claims that are about to be bound.
///
/// # Errors
/// `Unbound` if it binds to nothing and gets no folder.
pub fn bind(
    layout: &Layout,
    wanted: &PersistentVolumeClaim,
    added: &BTreeMap<String, PersistentVolume>,
    taken: &BTreeMap<String, ClaimName>,
) -> Result<Binding, Error> {
    let claims = claim::read_all(layout)?;
    let bound = bound(&claims);
    let mut volumes = Objects::persistent_volumes(layout)?;
    volumes.extend(added.iter().map(|(name, volume)| (name.clone(), volume.clone())));
    let released: BTreeMap<&String, ClaimName> =
        volumes.keys().filter_map(|name| Some((name, read_record(layout, name)?.released_from?))).collect();
    let offer = |(name, volume)| {
        let name: &String = name;
        let has = bound.get(name.as_str()).or_else(|| taken.get(name));
        Offer { volume, taken: has.or_else(|| released.get(name)), is_released: has.is_none() }
    };
    let offers: Vec<Offer<'_>> = volumes.iter().map(offer).collect();
    binding::bind(wanted, &offers).map_err(Box::new).map_err(|source| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let metadata = &wanted.metadata;
        Error::Unbound { namespace: part(&metadata.namespace), name: part(&metadata.name), source }
    })
}

/// Returns where the files of a volume are.
pub(super) fn data(volume: &PersistentVolume) -> Option<Data> {
    let spec = volume.spec.as_ref()?;
    if let Some(source) = &spec.host_path {
        return Some(Data::HostPath(source.clone()));
    }
    if let Some(source) = &spec.local {
        let is_block = spec.volume_mode.as_deref() == Some("Block");
        let path = PathBuf::from(&source.path);
        return Some(if is_block { Data::Device(path) } else { Data::Local(path) });
    }
    let source = spec.nfs.as_ref()?;
    Some(Data::Nfs(Share {
        server: source.server.clone(),
        path: source.path.clone(),
        read_only: source.read_only == Some(true),
        options: spec.mount_options.clone().unwrap_or_default(),
    }))
}

/// Returns where the files of a volume are, for a user.
pub fn place(volume: &PersistentVolume) -> String {
    match data(volume) {
        Some(Data::HostPath(source)) => source.path,
        Some(Data::Folder(path) | Data::Local(path) | Data::Device(path) | Data::BlockFile(path)) => {
            path.display().to_string()
        }
        Some(Data::Nfs(share)) => format!("{}:{}", share.server, share.path),
        None => String::new(),
    }
}

/// Notes that a volume is released from a claim that is about to be removed. Must be called with the lock of claims held.
pub(super) fn note_release(layout: &Layout, name: &str, from: ClaimName) -> Result<(), Error> {
    if !Objects::exists(layout, &object(name)) {
        return Ok(());
    }
    let created = read_record(layout, name).map_or_else(Timestamp::now, |record| record.created);
    let record = Record { created, released_from: Some(from) };
    Ok(base::file::write_json(&record_path(layout, name), &record)?)
}

/// Does what the reclaim policy of a released volume says: with Delete, removes the volume and, below /tmp, its files.
/// Must be called with the lock of claims held, after the claim has been removed.
pub(super) fn reclaim(layout: &Layout, name: &str) -> Result<(), Error> {
    let Some(volume) = Objects::persistent_volumes(layout)?.remove(name) else { return Ok(()) };
    if !is_deleted_with_claim(&volume) {
        return Ok(());
    }
    match deletable(&volume) {
        Ok(path) => {
            // Every user may write in /tmp.
            match base::file::remove_tree_below_no_symlink(&path) {
                Ok(()) => forget(layout, name),
                Err(errors) => {
                    for error in errors {
                        tracing::warn!("persistentvolume/{name} is kept: {error}");
                    }
                    Ok(())
                }
            }
        }
        Err(why) => {
            tracing::warn!("persistentvolume/{name}: {why}");
            Ok(())
        }
    }
}

/// Removes a volume that no claim has. Its files are kept.
///
/// # Errors
/// `VolumeInUse` if a claim has it; `NoVolume`.
pub fn remove(layout: &Layout, name: &str) -> Result<(), Error> {
    let _lock = claim::lock(layout)?;
    let claims = claim::read_all(layout)?;
    if let Some((namespace, claim)) = bound(&claims).remove(name) {
        return Err(Error::VolumeInUse { volume: name.to_owned(), namespace, claim });
    }
    if !Objects::exists(layout, &object(name)) {
        return Err(Error::NoVolume(name.to_owned()));
    }
    forget(layout, name)
}

/// Finishes what a crash left: records of volumes without a manifest, and released volumes whose policy is Delete.
///
/// # Errors
/// If the lock cannot be taken, or a record cannot be removed.
pub fn sweep(layout: &Layout) -> Result<(), Error> {
    let names = base::file::names_in(&layout.persistent_volumes())?;
    if names.is_empty() {
        return Ok(());
    }
    let _lock = claim::lock(layout)?;
    for name in names.iter().filter_map(|file| file.strip_suffix(".json")) {
        if !Objects::exists(layout, &object(name)) {
            base::file::remove_file_if_exists(&record_path(layout, name))?;
        }
    }
    let released = list(layout)?.into_iter().filter(|volume| volume.phase == Phase::Released);
    for volume in released.filter(|volume| is_deleted_with_claim(&volume.object)) {
        reclaim(layout, &volume.name)?;
    }
    Ok(())
}

fn forget(layout: &Layout, name: &str) -> Result<(), Error> {
    Objects::remove(layout, &object(name))?;
    base::file::remove_file_if_exists(&record_path(layout, name))?;
    Ok(())
}

fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::PersistentVolume, "", name)
}

/// Returns whether the reclaim policy is Delete. The default of a volume that is not provisioned is Retain.
fn is_deleted_with_claim(volume: &PersistentVolume) -> bool {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()) == Some("Delete")
}

/// Why the files of a volume are not deleted with it. The messages are those of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum KeptError {
    /// The volume is not of kind hostPath.
    #[error("no deletable volume plugin matched: the files are kept")]
    NoPlugin,
    /// The folder is not below /tmp.
    #[error("host_path deleter only supports /tmp/.+ but received provided {path}")]
    Elsewhere {
        /// The folder.
        path: String,
    },
}

/// Returns the folder to delete with a volume. Kubernetes deletes nothing else either.
fn deletable(volume: &PersistentVolume) -> Result<PathBuf, KeptError> {
    let path =
        volume.spec.as_ref().and_then(|spec| spec.host_path.as_ref()).map(|source| source.path.clone());
    match path {
        None => Err(KeptError::NoPlugin),
        Some(path) => {
            let is_below = path.starts_with(DELETABLE) && Path::new(&path).components().count() > 2;
            let climbs = path.split('/').any(|part| part == "..");
            if is_below && !climbs {
                return Ok(PathBuf::from(path));
            }
            Err(KeptError::Elsewhere { path })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(spec: serde_json::Value) -> PersistentVolume {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn files_are_deleted_only_below_tmp() {
        let path = |path: &str| deletable(&of(json!({"hostPath": {"path": path}})));
        assert_eq!(path("/tmp/data").unwrap(), Path::new("/tmp/data"));
        for kept in ["/srv/data", "/tmp", "/tmp/", "/tmp/.", "/tmp/../etc", "/srv/tmp/x"] {
            assert_eq!(path(kept), Err(KeptError::Elsewhere { path: kept.to_owned() }));
        }
        assert!(deletable(&of(json!({"local": {"path": "/tmp/x"}}))).is_err());
    }

    #[test]
    fn every_source_is_found() {
        assert!(matches!(data(&of(json!({"hostPath": {"path": "/a"}}))), Some(Data::HostPath(_))));
        assert_eq!(data(&of(json!({"local": {"path": "/a"}}))), Some(Data::Local("/a".into())));
        let block = json!({"local": {"path": "/dev/sdx"}, "volumeMode": "Block"});
        assert_eq!(data(&of(block)), Some(Data::Device("/dev/sdx".into())));
        let nfs = json!({"nfs": {"server": "s", "path": "/e", "readOnly": true}, "mountOptions": ["soft"]});
        let Some(Data::Nfs(share)) = data(&of(nfs)) else { panic!() };
        assert!(share.read_only && share.options == ["soft"]);
        assert_eq!(data(&of(json!({"csi": {"driver": "x", "volumeHandle": "y"}}))), None);
    }
}
