//! mountPropagation Bidirectional: a volume whose mounts appear on the host and in other containers, wherever they are made.
//!
//! Mounts propagate among the members of a peer group (mount_namespaces(7), "Shared subtrees"). A copy of a mount joins the
//! group of the mount that it is a copy of; in the mount namespace of a worker, where everything only receives what the host
//! mounts, it is too late for that. So the copy is made before the worker enters its namespace, and attached in it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, fstat, statx};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{failed, make_dir, open_sub_path};
use crate::plan::ContainerError;
use crate::store::Error;

/// A copy of a mount of the host that is not attached anywhere yet.
#[derive(Debug)]
pub struct SharedMount {
    volume: String,
    tree: OwnedFd,
}

/// Why a volume cannot propagate mounts to the host.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot copy its mount: {}", std::io::Error::from(*.0))]
    Copy(Errno),
    #[error("cannot attach its mount: {}", std::io::Error::from(*.0))]
    Attach(Errno),
    #[error(
        "mountPropagation Bidirectional needs a shared mount, and {} is on one that is not shared: \
         `mount --make-rshared {}`", path.display(), mount_point.display()
    )]
    NotShared { path: PathBuf, mount_point: PathBuf },
}

impl SharedMount {
    /// Copies the mounts at and below a folder of the host, or a part of it. Must be called in the host's mount namespace.
    ///
    /// # Errors
    /// `FailedMount` if the folder is not on a shared mount.
    pub fn open(volume: &str, path: &Path, sub_path: Option<&str>) -> Result<Self, ContainerError> {
        let copy = |errno| failed(volume, Problem::Copy(errno));
        let source = open_sub_path(path, sub_path.unwrap_or_default())?;
        let stat = statx(&source, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(copy)?;
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if let Some(mount_point) = unshared_mount(&mountinfo, stat.stx_mnt_id) {
            return Err(failed(volume, Problem::NotShared { path: path.to_owned(), mount_point }));
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(source.as_fd(), "", flags).map_err(copy)?;
        Ok(Self { volume: volume.to_owned(), tree })
    }

    /// Attaches the copy at the new folder or file `target`, in the mount namespace of this process.
    ///
    /// # Errors
    /// `FailedMount`.
    pub fn attach(self, target: &Path) -> Result<(), ContainerError> {
        let attach = |errno| failed(&self.volume, Problem::Attach(errno));
        let create = |e: Error| failed(&self.volume, e);
        let kind = FileType::from_raw_mode(fstat(&self.tree).map_err(attach)?.st_mode);
        if kind == FileType::Directory {
            make_dir(target, 0o700).map_err(create)?;
        } else {
            target.parent().map_or(Ok(()), |parent| make_dir(parent, 0o700)).map_err(create)?;
            std::fs::File::create(target).map_err(|e| create(Error::io("create", target)(e)))?;
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(self.tree.as_fd(), "", CWD, target, flags).map_err(attach)
    }
}

/// Returns the mount point of a mount that is not shared (proc_pid_mountinfo(5), field 7); `None` if it is shared, or is not
/// listed.
fn unshared_mount(mountinfo: &str, id: u64) -> Option<PathBuf> {
    let id = id.to_string();
    let mut lines = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&id.as_str()))?;
    let optional = fields.iter().skip(6).take_while(|field| **field != "-");
    let is_shared = optional.into_iter().any(|field| field.starts_with("shared:"));
    (!is_shared).then(|| PathBuf::from(fields.get(4).copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_shared_if_it_has_a_peer_group() {
        let mountinfo = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                         30 22 0:27 / /srv rw,nosuid - tmpfs tmpfs rw\n\
                         31 22 0:28 / /mnt rw master:1 - tmpfs tmpfs rw\n\
                         32 22 0:29 / /both rw shared:4 master:1 - tmpfs tmpfs rw\n";
        assert_eq!(unshared_mount(mountinfo, 22), None);
        assert_eq!(unshared_mount(mountinfo, 30), Some(PathBuf::from("/srv")));
        assert_eq!(unshared_mount(mountinfo, 31), Some(PathBuf::from("/mnt")));
        assert_eq!(unshared_mount(mountinfo, 32), None);
        assert_eq!(unshared_mount(mountinfo, 99), None);
    }
}
