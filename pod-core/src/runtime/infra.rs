//! The infra container: its program, its root folder and the pod's /dev/shm.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base::file::{is_mount_point, write_atomic};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Error, selinux};

/// The pause program (pause/pause.rs), a static executable.
pub const PAUSE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// Size of a pod's /dev/shm in bytes, as in containerd.
const SHM_SIZE: u64 = 64 << 20;

/// Turns `dir` into a root folder for infra containers: the pause program and the mount points. All pods share it,
/// because it is only read. Idempotent, and safe if several processes call it at the same time. `label` is the SELinux
/// label of what containers of all pods may read.
///
/// # Errors
/// If the folder cannot be written.
pub fn prepare_rootfs(dir: &Path, label: Option<&str>) -> Result<(), Error> {
    let pause = dir.join("pause");
    // The pause program is created last, so its presence means that all is complete.
    if fs::read(&pause).is_ok_and(|bytes| bytes == PAUSE)
        && fs::metadata(&pause).is_ok_and(|meta| meta.permissions().mode() & 0o777 == 0o555)
    {
        return Ok(());
    }
    // The infra container's process does not run as root and has to enter its root folder, whatever the umask is.
    for path in [dir.to_owned(), dir.join("proc"), dir.join("dev"), dir.join("sys")] {
        base::file::create_private_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(Error::io("create", &path))?;
    }
    if let Some(label) = label {
        // What is created in a labelled folder gets its label.
        selinux::label_tree(dir, label)?;
    }
    write_atomic(&pause, PAUSE, 0o555)?;
    Ok(())
}

/// Mounts a pod's /dev/shm at `dir`, which is created if it is missing; a second call changes nothing. Its files have the
/// SELinux label `label`.
///
/// # Errors
/// If the kernel refuses the tmpfs.
pub fn mount_shm(dir: &Path, label: Option<&str>) -> Result<(), Error> {
    base::file::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
    if is_mount_point(dir) {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let label = label.map_or_else(String::new, |label| format!(",{}", selinux::mount_option(label)));
    let options = format!("mode=1777,size={SHM_SIZE}{label}");
    mount(Some("shm"), dir, Some("tmpfs"), flags, Some(options.as_str())).map_err(Error::io("mount", dir))
}

/// Unmounts and removes what [`mount_shm`] created; a missing folder is not an error.
///
/// # Errors
/// If the folder cannot be removed.
pub fn unmount_shm(dir: &Path) -> Result<(), Error> {
    match umount2(dir, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(error) => return Err(Error::io("unmount", dir)(error)),
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}
