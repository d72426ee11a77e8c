//! fsGroup: gives the files of a volume to the group of the pod.
//!
//! As the kubelet does: the group owns every file and may read and write it, and enter folders, whose new files get the
//! group as well (setgid). What is mounted read-only (ConfigMap, Secret, ...) the group may only read. A claim is walked
//! once per pod, because that may take long; with `fsGroupChangePolicy: OnRootMismatch` it is not walked if its root is
//! right. The root is changed last, so that an interrupted walk is repeated.
//!
//! Containers of other pods may change a shared claim at the same time ([`walk_tree`]).

use std::fs::{self, Permissions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base::file::{open_tree_root, walk_tree};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, chownat, fstat, open};
use rustix::io::Errno;

use crate::store::Error;

/// Read and write for the group.
const READ_WRITE: u32 = 0o660;
/// Read for the group, in volumes that are mounted read-only.
const READ: u32 = 0o440;
/// Entering a folder, and setgid.
const FOLDER: u32 = 0o2110;

/// The group of a pod's files, and what it may do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// fsGroup.
    pub gid: u32,
    /// Whether the volume is only ever mounted read-only.
    pub read_only: bool,
}

impl Group {
    /// Returns the mode of a file or folder that has `mode` without a group.
    pub fn mode(self, mode: u32, is_folder: bool) -> u32 {
        let access = if self.read_only { READ } else { READ_WRITE };
        mode | access | if is_folder { FOLDER } else { 0 }
    }

    /// Returns true if a file or folder has this group, with at least its permissions.
    fn is_right(self, stat: &Stat) -> bool {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        stat.st_gid == self.gid && stat.st_mode == self.mode(stat.st_mode, is_folder)
    }

    /// Changes one file or folder. The mode of a link has no meaning and is kept.
    fn apply(self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let stat = fstat(fd)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.is_right(&stat) {
            return Ok(());
        }
        chownat(fd, "", None, Some(Gid::from_raw(self.gid)), AtFlags::EMPTY_PATH)?;
        if kind == FileType::Symlink {
            return Ok(());
        }
        // After the change of the group, which removes setuid and setgid.
        let mode = self.mode(stat.st_mode & 0o7777, kind == FileType::Directory);
        // chmod(2) on a descriptor of O_PATH fails, but not on its link in /proc.
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// Changes one folder and nothing in it.
///
/// # Errors
/// If the kernel refuses the change.
pub fn give_folder(path: &Path, group: Group) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(|e| Error::io("open", path)(e.into()))?;
    group.apply(fd.as_fd()).map_err(|e| Error::io("set the group of", path)(e.into()))
}

/// Changes a folder and everything in it. With `unless_root_is_right`, nothing is changed if the folder itself needs no
/// change (`fsGroupChangePolicy: OnRootMismatch`).
///
/// # Errors
/// If a file cannot be changed. What disappears in the meantime is no error.
pub fn give_tree(root: &Path, group: Group, unless_root_is_right: bool) -> Result<(), Error> {
    let failed = |errno: Errno| Error::io("set the group in", root)(errno.into());
    let top = open_tree_root(root).map_err(failed)?;
    if unless_root_is_right && group.is_right(&fstat(&top).map_err(failed)?) {
        return Ok(());
    }
    walk_tree(top, &mut |file| group.apply(file)).map_err(failed)
}
