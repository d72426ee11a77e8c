//! Prepares every kind of volume source as a path to mount; one file per kind.

mod atomic_writer;
pub mod block;
mod claim;
pub mod claims;
mod copy;
mod empty_dir;
mod env_files;
pub mod ephemeral;
mod files;
mod group;
mod host_path;
mod huge_pages;
mod image_volumes;
mod label;
mod mounts;
mod nested;
pub mod nfs;
pub mod persistent;
mod shared_mount;
mod sub_path;
mod tmpfs;
pub mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;

pub use claims::Claim;
pub use env_files::read_env_files;
pub use image_volumes::prepare_image_volumes;
pub use nested::make_mount_points;
pub use shared_mount::SharedMount;
pub use sub_path::{bind_sub_path, open_sub_path};

use base::file::{FileLock, LockKind, is_mount_point};

use self::atomic_writer::Payload;
use self::claims::Data;
use self::files::Medium;
use self::group::Group;
use self::label::Labelling;
use crate::kind::WaitingReason;
use crate::plan::{self, ContainerError, PodPlan};
use crate::runtime::selinux::{self, Labels};
use crate::runtime::spec::DeviceNumber;
use crate::store::{Error, Layout, Objects};

/// A volume that is ready for a container.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// A file or folder of the host, to bind.
    Path(PathBuf),
    /// A block device of the host.
    Device(PathBuf),
    /// A folder of a server, to be mounted in the container's own mount namespace, so that the mount ends with it.
    Nfs(nfs::Share),
}

/// Creates every volume of the pod that `container` mounts or has as a device, and returns each by volume name.
/// Idempotent: a restarted container finds its earlier data; ConfigMap and Secret contents are updated by one rename of
/// `..data`. Several processes may prepare volumes of the same pod at the same time. Where there is SELinux, `labels` are
/// those of the container.
///
/// # Errors
/// With the kubelet's waiting reason (`CreateContainerConfigError` for a missing ConfigMap, `FailedMount` for the wrong
/// type of hostPath, ...).
pub fn prepare(
    layout: &Layout,
    pod: &PodPlan,
    objects: &Objects,
    container: &str,
    labels: Option<&Labels>,
) -> Result<BTreeMap<String, Prepared>, ContainerError> {
    let mut paths = BTreeMap::new();
    let Some(spec) = &pod.pod.spec else { return Ok(paths) };
    let found = spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == container);
    let mounts = found.and_then(|c| c.volume_mounts.as_deref()).unwrap_or_default();
    let devices = found.and_then(|c| c.volume_devices.as_deref()).unwrap_or_default();
    if mounts.is_empty() && devices.is_empty() {
        return Ok(paths);
    }
    let _lock = lock(layout, &pod.uid)?;
    let mounts = mounts.iter().map(|mount| (&mount.name, false));
    for (name, as_device) in mounts.chain(devices.iter().map(|device| (&device.name, true))) {
        if paths.contains_key(name) {
            continue;
        }
        let volume = spec.volumes.iter().flatten().find(|v| v.name == *name).ok_or_else(|| {
            ContainerError::config(format!(
                "container {container} mounts {name:?}, but the pod has no such volume"
            ))
        })?;
        if volume.image.is_some() {
            // Mounted in the container's own mount namespace, as its root is.
            continue;
        }
        let scope = Scope { layout, pod, objects, labels };
        let path = match (prepare_one(&scope, volume, as_device), scope.existing(volume)) {
            (Ok(path), _) => path,
            // The ConfigMap or one of its keys was deleted: a restarted container gets the contents that its pod had
            // before.
            (Err(error), Some(path)) => {
                tracing::warn!(pod = pod.uid, volume = volume.name, %error, "the volume keeps its contents");
                Prepared::Path(path)
            }
            (Err(error), None) => return Err(error),
        };
        paths.insert(name.clone(), path);
    }
    Ok(paths)
}

/// Updates the contents of the pod's existing volumes of files (ConfigMap, Secret, downwardAPI, projected); called when objects changed while the pod
/// runs. Continues after errors and collects them.
///
/// # Errors
/// One for each volume that could not be updated; it keeps its old contents.
pub fn update(layout: &Layout, pod: &PodPlan, objects: &Objects) -> Result<(), Vec<ContainerError>> {
    let Some(spec) = &pod.pod.spec else { return Ok(()) };
    let _lock = lock(layout, &pod.uid).map_err(|e| vec![e])?;
    // What is written into a labelled folder gets its label.
    let scope = Scope { layout, pod, objects, labels: None };
    let mut errors = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        if scope.existing(volume).is_some()
            && let Err(error) = prepare_one(&scope, volume, false)
        {
            errors.push(error);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Removes the volumes that live as long as the pod (emptyDir, ConfigMap, Secret, ephemeral claims, ...); other claims and
/// host paths are kept.
/// Everything mounted in the pod's folders is unmounted first, so the pod's containers must have been removed.
/// Continues after errors and collects them. Nothing is ever deleted inside of a folder that is still mounted.
///
/// # Errors
/// All errors; call again after their causes are gone.
pub fn remove(layout: &Layout, uid: &str) -> Result<(), Vec<claims::Error>> {
    let (run, pod) = (layout.pod_run(uid), layout.pod(uid));
    let mut errors: Vec<claims::Error> =
        mounts::unmount_below(&[&run, &pod]).into_iter().map(claims::Error::from).collect();
    base::fail_point!(Worker, "volumes-unmounted");
    errors.extend(claims::detach(layout, uid));
    errors.extend(claims::remove_owned(layout, uid));
    for root in [run.join("volumes"), pod.join("volumes")] {
        if let Err(more) = base::file::remove_tree(&root) {
            errors.extend(more.into_iter().map(claims::Error::from));
        }
    }
    if let Err(error) = base::file::remove_file_if_exists(&lock_path(layout, uid)) {
        errors.push(error.into());
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Returns the device that a volume of the pod is, if it is a hostPath of type CharDevice or BlockDevice at `path`. A
/// container that mounts it may use it without being privileged.
pub fn device(pod: &PodPlan, volume: &str, path: &Path) -> Option<DeviceNumber> {
    let mut volumes = pod.pod.spec.as_ref()?.volumes.iter().flatten();
    let source = volumes.find(|one| one.name == volume)?.host_path.as_ref()?;
    host_path::device(source, path)
}

/// What a volume is created from.
struct Scope<'a> {
    layout: &'a Layout,
    pod: &'a PodPlan,
    objects: &'a Objects,
    labels: Option<&'a Labels>,
}

impl Scope<'_> {
    /// Gives a volume its SELinux label.
    fn label(&self, volume: &Volume, path: &Path) -> Result<(), ContainerError> {
        match self.labels.and_then(|labels| Labelling::of(volume).choose(labels)) {
            Some(label) => selinux::label_tree(path, label).map_err(|e| failed(&volume.name, e)),
            None => Ok(()),
        }
    }

    /// Returns the folder of a volume that may survive a reboot.
    fn disk(&self, volume: &str) -> PathBuf {
        self.layout.pod(&self.pod.uid).join("volumes").join(volume)
    }

    /// Returns the folder that a tmpfs is mounted on.
    fn memory(&self, volume: &str) -> PathBuf {
        self.layout.pod_run(&self.pod.uid).join("volumes").join(volume)
    }

    /// Returns the group that the pod's volumes are given to, if the pod has one (fsGroup).
    fn group(&self, read_only: bool) -> Option<Group> {
        plan::user::fs_group(&self.pod.pod).map(|gid| Group { gid, read_only })
    }

    /// Gives a volume that containers write to to the pod's group, once per pod and boot: what a container changed
    /// stays so when another one starts. `is_lasting` is true for volumes that outlive pods, which is where
    /// fsGroupChangePolicy applies.
    fn give_once(&self, volume: &str, path: &Path, is_lasting: bool) -> Result<(), ContainerError> {
        let Some(group) = self.group(false) else { return Ok(()) };
        // Cannot collide with a volume: their names are DNS labels, which have no dot.
        let mark = self.memory(&format!("group.{volume}"));
        if mark.exists() {
            return Ok(());
        }
        let context = self.pod.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
        let unless_right = is_lasting && policy == Some("OnRootMismatch");
        let fail = |e: Error| failed(volume, e);
        group::give_tree(path, group, unless_right).map_err(fail)?;
        base::file::create_private_dir_all(&mark).map_err(|e| fail(Error::io("create", &mark)(e)))
    }

    /// Returns the folder of a volume of files whose contents have been written.
    fn existing(&self, volume: &Volume) -> Option<PathBuf> {
        let path = match files::medium(volume)? {
            Medium::Disk => self.disk(&volume.name),
            Medium::Memory => Some(self.memory(&volume.name)).filter(|path| is_mount_point(path))?,
        };
        atomic_writer::is_written(&path).then_some(path)
    }
}

fn prepare_one(scope: &Scope<'_>, volume: &Volume, as_device: bool) -> Result<Prepared, ContainerError> {
    let name = &volume.name;
    let path = if let Some(source) = &volume.empty_dir {
        empty_dir::prepare(scope, name, source)?
    } else if let Some(source) = &volume.host_path {
        host_path::prepare(name, source)?
    } else if let Some(source) = &volume.nfs {
        return Ok(Prepared::Nfs(nfs::Share {
            server: source.server.clone(),
            path: source.path.clone(),
            read_only: source.read_only == Some(true),
            options: Vec::new(),
        }));
    } else if let Some(source) = &volume.persistent_volume_claim {
        let key = (scope.pod.namespace().to_owned(), source.claim_name.clone());
        let object = scope.objects.claims.get(&key);
        let claim = claims::ensure_for(scope.layout, scope.pod, &source.claim_name, object);
        let claim = claim.map_err(|e| failed(name, e))?;
        return prepare_claim(scope, volume, &claim, as_device, source.read_only == Some(true));
    } else if volume.ephemeral.is_some() {
        let claim = plan::volumes::claim_of_ephemeral(scope.pod.namespace(), scope.pod.name(), volume)
            .ok_or_else(|| failed(name, "it has no volumeClaimTemplate"))?;
        let claim = claims::ensure_owned(scope.layout, scope.pod, &claim).map_err(|e| failed(name, e))?;
        return prepare_claim(scope, volume, &claim, as_device, false);
    } else if let (Some(medium), Some(payload)) = (files::medium(volume), files::payload(scope, volume)?) {
        write_files(scope, name, medium, &payload).map_err(|e| failed(name, e))?
    } else {
        return Err(failed(name, "this kind of volume is not supported"));
    };
    scope.label(volume, &path)?;
    Ok(Prepared::Path(path))
}

/// Makes the data of a claim available.
fn prepare_claim(
    scope: &Scope<'_>,
    volume: &Volume,
    claim: &Claim,
    as_device: bool,
    read_only: bool,
) -> Result<Prepared, ContainerError> {
    let name = volume.name.as_str();
    let fail = |problem: &dyn std::fmt::Display| failed(name, problem);
    let data = claims::data(scope.layout, claim).map_err(|e| fail(&e))?;
    let is_block = matches!(data, Data::BlockFile(_) | Data::Device(_));
    if is_block != as_device {
        // The kubelet's words.
        let (mode, place) =
            if is_block { ("Block", "volumeMounts") } else { ("Filesystem", "volumeDevices") };
        return Err(fail(&format_args!("has volumeMode {mode}, but is specified in {place}")));
    }
    let path = match data {
        Data::Folder(path) => path,
        Data::HostPath(source) => return host_path::prepare(name, &source).map(Prepared::Path),
        Data::Local(path) if !path.exists() => {
            return Err(fail(&format_args!("local volume path {} does not exist", path.display())));
        }
        Data::Local(path) if !path.is_dir() => {
            return Err(fail(&format_args!("local volume path {} is not a folder", path.display())));
        }
        Data::Local(path) => path,
        Data::Nfs(share) => return Ok(Prepared::Nfs(share)),
        Data::BlockFile(_) => {
            return claims::attach(scope.layout, claim, &scope.pod.uid)
                .map(Prepared::Device)
                .map_err(|e| fail(&e));
        }
        Data::Device(path) => {
            let real = fs::canonicalize(&path).map_err(|e| fail(&Error::io("find", &path)(e)))?;
            return Ok(Prepared::Device(real));
        }
    };
    if !read_only {
        scope.give_once(name, &path, true)?;
    }
    scope.label(volume, &path)?;
    Ok(Prepared::Path(path))
}

/// Makes a volume show these files.
fn write_files(scope: &Scope<'_>, volume: &str, medium: Medium, payload: &Payload) -> Result<PathBuf, Error> {
    let path = match medium {
        Medium::Disk => scope.disk(volume),
        Medium::Memory => scope.memory(volume),
    };
    match medium {
        Medium::Disk => make_dir(&path, 0o755)?,
        Medium::Memory => {
            tmpfs::mount(&path, &tmpfs::Options { size: None, mode: 0o755, private: true })?;
        }
    }
    atomic_writer::write(&path, payload, scope.group(true))?;
    Ok(path)
}

/// Takes a lock that serialises the workers of one pod.
fn lock(layout: &Layout, uid: &str) -> Result<FileLock, ContainerError> {
    FileLock::acquire(&lock_path(layout, uid), LockKind::Exclusive)
        .map_err(|e| ContainerError::new(WaitingReason::FailedMount, e.to_string()))
}

fn lock_path(layout: &Layout, uid: &str) -> PathBuf {
    layout.pod_run(uid).join("volumes.lock")
}

fn failed(volume: &str, problem: impl std::fmt::Display) -> ContainerError {
    ContainerError::new(WaitingReason::FailedMount, format!("volume {volume}: {problem}"))
}

/// Creates a folder with this mode, whatever the umask is. Its parents are created so that only root can enter them.
fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(Error::io("create", parent))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::io("set the mode of", path)),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(Error::io("create", path)(e)),
    }
}

#[cfg(test)]
mod tests;
