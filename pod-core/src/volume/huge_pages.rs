//! emptyDir with medium HugePages: a hugetlbfs (Documentation/admin-guide/mm/hugetlbpage.rst of the kernel).

use std::fmt::Write as _;
use std::path::Path;

use base::file::is_mount_point;
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::make_dir;
use crate::store::Error;

/// The options of a hugetlbfs.
pub struct Options {
    /// The size of a page in bytes.
    pub page_size: u64,
    /// sizeLimit in bytes; `None` means all free pages of the machine.
    pub size: Option<i64>,
    /// Mode of its root.
    pub mode: u32,
}

/// Mounts a hugetlbfs at `path`, which is created if it is missing; an existing mount is kept.
pub fn mount(path: &Path, options: &Options) -> Result<(), Error> {
    make_dir(path, 0o700)?;
    if is_mount_point(path) {
        return Ok(());
    }
    let mut data = format!("pagesize={},mode={:o}", options.page_size, options.mode);
    if let Some(size) = options.size {
        let _ = write!(data, ",size={size}");
    }
    let failed = |e: std::io::Error| Error::io("mount huge pages on", path)(e);
    let data = std::ffi::CString::new(data).map_err(|e| failed(e.into()))?;
    rustix::mount::mount("hugetlbfs", path, "hugetlbfs", MountFlags::empty(), data.as_c_str())
        .map_err(|e| failed(e.into()))?;
    // Keeps the mount from appearing twice where /run is a shared mount.
    rustix::mount::mount_change(path, MountPropagationFlags::PRIVATE)
        .map_err(|e| Error::io("make private", path)(e.into()))
}
