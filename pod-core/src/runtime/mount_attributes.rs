//! mount_setattr(2), which no crate offers. libcontainer needs it as well (Linux 5.12).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// `MOUNT_ATTR_READONLY` (linux/mount.h).
pub(super) const READ_ONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID`.
pub(super) const NO_SUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV`.
pub(super) const NO_DEVICES: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC`.
pub(super) const NO_EXEC: u64 = 0x8;
/// `MOUNT_ATTR_IDMAP`.
const MAP_IDS: u64 = 0x10_0000;

/// `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes and the propagation (0 leaves it unchanged) of a mount, and with `AT_RECURSIVE` in `flags` of all
/// mounts below it.
pub(super) fn set(mount: BorrowedFd<'_>, flags: i32, set: u64, propagation: u64) -> Result<(), Errno> {
    call(mount, flags, &MountAttributes { set, propagation, ..MountAttributes::default() })
}

/// Maps the owners of files in a detached mount by the map of a user namespace: what belongs to user 0 on disk belongs
/// to the root of the namespace in this mount.
///
/// # Errors
/// `EINVAL` if the file system does not support it, `EPERM` if the mount is mapped already.
pub(super) fn map_ids(mount: BorrowedFd<'_>, flags: i32, namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    let user_namespace = u64::try_from(namespace.as_raw_fd()).map_err(|_| Errno::BADF)?;
    call(mount, flags, &MountAttributes { set: MAP_IDS, user_namespace, ..MountAttributes::default() })
}

fn call(mount: BorrowedFd<'_>, flags: i32, attributes: &MountAttributes) -> Result<(), Errno> {
    // SAFETY: path and attributes live for the call, which reads only as many bytes as its size argument says.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}
