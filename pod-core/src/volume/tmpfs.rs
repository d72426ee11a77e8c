//! Mounts tmpfs file systems (Documentation/filesystems/tmpfs.rst of the kernel).

use std::fmt::Write as _;
use std::path::Path;

use base::file::is_mount_point;
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::make_dir;
use crate::store::Error;

/// The options of a tmpfs.
pub struct Options {
    /// Size in bytes; `None` means the kernel's default (half of the memory).
    pub size: Option<i64>,
    /// Mode of its root.
    pub mode: u32,
    /// For secrets: no devices, no setuid.
    pub private: bool,
}

/// Mounts a tmpfs at `path`, which is created if it is missing; an existing mount is kept. Its contents are never
/// swapped out where the kernel supports that (6.3).
pub fn mount(path: &Path, options: &Options) -> Result<(), Error> {
    make_dir(path, 0o700)?;
    if is_mount_point(path) {
        return Ok(());
    }
    let mut data = format!("mode={:o}", options.mode);
    if let Some(size) = options.size {
        let _ = write!(data, ",size={size}");
    }
    let flags = if options.private { MountFlags::NOSUID | MountFlags::NODEV } else { MountFlags::empty() };
    let mount = |data: &str| -> std::io::Result<()> {
        let data = std::ffi::CString::new(data)?;
        Ok(rustix::mount::mount("tmpfs", path, "tmpfs", flags, data.as_c_str())?)
    };
    mount(&format!("{data},noswap"))
        .or_else(|_| mount(&data))
        .map_err(Error::io("mount a tmpfs on", path))?;
    // Keeps the mount from appearing twice where /run is a shared mount.
    rustix::mount::mount_change(path, MountPropagationFlags::PRIVATE)
        .map_err(|e| Error::io("make private", path)(e.into()))
}
