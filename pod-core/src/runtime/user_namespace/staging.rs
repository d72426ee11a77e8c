//! Where a worker mounts the root and the volumes of a container with a user namespace.
//!
//! The container's process is not root on the host while it enters its root folder, so it cannot pass the folders of
//! `--runroot`, which are for root only. Therefore a tmpfs that everybody may enter is mounted on a folder of the host,
//! in the worker's own mount namespace: the host sees empty folders.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsmount,
    fsopen, move_mount, open_tree,
};

use super::{FIRST_ID, UserNamespace};
use crate::runtime::{Error, mount_attributes};

/// The folder of the host that the tmpfs is mounted on.
const DIR: &str = "/run/kube-play-users";
/// The folder in it for the root of the container.
const ROOT: &str = "root";

/// A folder in the worker's mount namespace that the processes of a user namespace may enter.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    namespace: OwnedFd,
    first_id: u32,
    /// How many mounts have a folder or a file here.
    count: std::cell::Cell<u32>,
}

impl Staging {
    /// Mounts the tmpfs. Must be called in a mount namespace of its own, so that it ends with the container.
    ///
    /// # Errors
    /// If the namespace of the pod is gone, or the kernel refuses the mount.
    pub fn new(users: &UserNamespace) -> Result<Self, Error> {
        let dir = PathBuf::from(DIR);
        make_folder(&dir)?;
        // On the host: runc enters the folder that it knows as the container's root when it runs a command.
        make_folder(&dir.join(ROOT))?;
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount("tmpfs", &dir, "tmpfs", flags, c"mode=755,size=256k")
            .map_err(Error::io("mount a tmpfs on", &dir))?;
        let namespace = open(&users.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::io("open", &users.path))?;
        Ok(Self { dir, namespace, first_id: users.first_id, count: std::cell::Cell::new(0) })
    }

    /// Returns the id on the host of the namespace's root.
    pub fn first_id(&self) -> u32 {
        self.first_id
    }

    /// Returns the folder for the root of the container. It is created if it is missing.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn root(&self) -> Result<PathBuf, Error> {
        let root = self.dir.join(ROOT);
        make_folder(&root)?;
        Ok(root)
    }

    /// Mounts a folder or file with mapped owners, and returns where. Mounts below it are mapped too where the kernel
    /// can.
    ///
    /// # Errors
    /// `EINVAL` if the file system cannot map ids.
    pub fn map(&self, source: &Path) -> Result<PathBuf, Error> {
        let tree = clone_tree(source, true).map_err(Error::io("open", source))?;
        let (mount, namespace) = (tree.as_fd(), self.namespace.as_fd());
        mount_attributes::map_ids(mount, libc::AT_RECURSIVE, namespace)
            .or_else(|_| mount_attributes::map_ids(mount, 0, namespace))
            .map_err(Error::io("map the owners of the files in", source))?;
        self.attach(&tree, source)
    }

    /// Mounts a folder or file as it is, and returns where.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn bind(&self, source: &Path) -> Result<PathBuf, Error> {
        let tree = clone_tree(source, true).map_err(Error::io("open", source))?;
        self.attach(&tree, source)
    }

    fn attach(&self, tree: &OwnedFd, source: &Path) -> Result<PathBuf, Error> {
        let number = self.count.get();
        self.count.set(number + 1);
        let target = self.dir.join(number.to_string());
        let stat = fstat(tree).map_err(Error::io("look at", source))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            make_folder(&target)?;
        } else {
            fs::File::create(&target).map_err(Error::io("create", &target))?;
        }
        move_mount(tree, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(Error::io("mount", &target))?;
        Ok(target)
    }

    /// Replaces the source of each bind mount of a spec by a mount with mapped owners. Control groups and devices have
    /// no owners that could be mapped; the paths in `mapped` have the right owners already.
    ///
    /// # Errors
    /// If the file system of a source cannot map ids.
    pub fn map_mounts(&self, spec: &mut Spec, mapped: &[PathBuf]) -> Result<(), Error> {
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        for mount in mounts.iter_mut().filter(|mount| mount.typ().as_deref() == Some("bind")) {
            let Some(source) = mount.source().clone() else { continue };
            if source.starts_with("/sys/fs/cgroup") {
                continue;
            }
            let is_device = fs::metadata(&source).is_ok_and(|meta| is_device(meta.mode()));
            let place =
                if is_device || mapped.contains(&source) { self.bind(&source)? } else { self.map(&source)? };
            mount.set_source(Some(place));
        }
        spec.set_mounts(Some(mounts));
        let mut annotations = spec.annotations().clone().unwrap_or_default();
        annotations.insert(FIRST_ID.to_owned(), self.first_id.to_string());
        spec.set_annotations(Some(annotations));
        Ok(())
    }

    /// Mounts `source` at `target` with mapped owners: a layer of an image.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn map_at(&self, source: &Path, target: &Path) -> std::io::Result<()> {
        let tree = clone_tree(source, false)?;
        mount_attributes::map_ids(tree.as_fd(), 0, self.namespace.as_fd())?;
        Ok(move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    /// Returns a folder for the mounts of an image's layers. It is created.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn layers(&self) -> Result<PathBuf, Error> {
        let number = self.count.get();
        self.count.set(number + 1);
        let dir = self.dir.join(format!("layers-{number}"));
        make_folder(&dir)?;
        Ok(dir)
    }
}

fn make_folder(path: &Path) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("create", path)(error)),
        _ => Ok(()),
    }
}

fn is_device(mode: u32) -> bool {
    matches!(FileType::from_raw_mode(mode), FileType::CharacterDevice | FileType::BlockDevice)
}

fn clone_tree(source: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, source, flags)
}

/// Tries to map the owners of the files in `source`; mounts nothing.
pub(super) fn can_map(source: &Path, namespace: &impl AsFd) -> Result<(), Errno> {
    let tree = clone_tree(source, false)?;
    mount_attributes::map_ids(tree.as_fd(), 0, namespace.as_fd())
}

/// Tries to map the owners of the files on a new tmpfs; mounts nothing.
pub(super) fn can_map_tmpfs(namespace: &impl AsFd) -> Result<(), Errno> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    mount_attributes::map_ids(mounted.as_fd(), 0, namespace.as_fd())
}
