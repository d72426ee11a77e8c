//! fsGroup: gives the files of a volume to the group of the pod.
//!
//! As the kubelet does: the group owns every file and may read and write it, and enter folders, whose new files get the
//! group as well (setgid). What is mounted read-only (ConfigMap, Secret, ...) the group may only read. A claim is walked
//! once per pod, because that may take long; with `fsGroupChangePolicy: OnRootMismatch` it is not walked if its root is
//! right. The root is changed last, so that an interrupted walk is repeated.
//!
//! Containers of other pods may change a shared claim at the same time. Therefore everything is opened through
//! descriptors that follow no link, and no mount inside of the volume is entered.

use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, chownat, fstat, open, openat, openat2,
};
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
    let top = open(root, flags(), Mode::empty()).map_err(failed)?;
    if unless_root_is_right && group.is_right(&fstat(&top).map_err(failed)?) {
        return Ok(());
    }
    walk(top, group).map_err(failed)
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// A folder on the way from the root to the current one.
struct Level {
    /// Device and inode, to find it again.
    id: (u64, u64),
    /// Its folders that have not been entered yet.
    folders: Vec<CString>,
}

/// Changes a folder and everything in it, the deepest first. Only the current folder is open, so that no depth is too
/// deep.
fn walk(top: OwnedFd, group: Group) -> Result<(), Errno> {
    let mut dir = top;
    let mut levels = vec![enter(&dir, group)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.folders.pop() {
            let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            match openat2(&dir, name.as_c_str(), flags(), Mode::empty(), inside) {
                Ok(folder) => {
                    levels.push(enter(&folder, group)?);
                    dir = folder;
                }
                // It is gone, it is another file by now, or something is mounted there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
                Err(error) => return Err(error),
            }
            continue;
        }
        group.apply(dir.as_fd())?;
        levels.pop();
        if let Some(above) = levels.last() {
            dir = openat(&dir, "..", flags(), Mode::empty())?;
            if id(&dir)? != above.id {
                // A container has moved the folder elsewhere.
                return Err(Errno::AGAIN);
            }
        }
    }
    Ok(())
}

/// Changes the files of a folder and returns its folders.
fn enter(dir: &OwnedFd, group: Group) -> Result<Level, Errno> {
    let mut folders = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let file = match openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::Directory {
            folders.push(name.to_owned());
        } else {
            group.apply(file.as_fd())?;
        }
    }
    Ok(Level { id: id(dir)?, folders })
}

fn id(dir: &OwnedFd) -> Result<(u64, u64), Errno> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}
