//! Checks that an image leaves free bytes and inodes on its file system.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::StatVfs;

use super::UnpackError;

/// Upper limit of the disk space that an image must leave free; below it, a fiftieth of the disk.
const MOST_RESERVED: u64 = 1 << 30;
/// Upper limit of the inodes that an image must leave free; below it, a fiftieth of them.
const MOST_RESERVED_INODES: u64 = 50_000;

/// Fails if the disk is nearly full: the last bytes and inodes are reserved for running containers.
pub(super) fn check_room(root: &OwnedFd) -> Result<(), UnpackError> {
    let stat = rustix::fs::fstatvfs(root).map_err(io::Error::from)?;
    match shortage(&Room::of(&stat)) {
        None => Ok(()),
        Some(text) => Err(io::Error::new(io::ErrorKind::StorageFull, text).into()),
    }
}

/// The free space of a file system.
struct Room {
    bytes: (u64, u64),
    /// Free and total number; zero of zero where inodes are created as needed (btrfs).
    inodes: (u64, u64),
}

impl Room {
    fn of(stat: &StatVfs) -> Self {
        Self {
            bytes: (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)),
            inodes: (stat.f_favail, stat.f_files),
        }
    }
}

/// Returns what there is too little of, for a message; `None` if there is enough.
fn shortage(room: &Room) -> Option<String> {
    let (free, all) = room.bytes;
    if free < (all / 50).min(MOST_RESERVED) {
        return Some(format!("the disk is nearly full: {} MiB are free", free >> 20));
    }
    let (free, all) = room.inodes;
    if free < (all / 50).min(MOST_RESERVED_INODES) {
        return Some(format!(
            "the file system is nearly out of inodes: {free} of {all} are free, and each file needs one"
        ));
    }
    None
}

/// Distinguishes bytes from inodes in an error, because the kernel reports "no space" for both.
pub(super) fn explain_full(root: &OwnedFd, error: UnpackError) -> UnpackError {
    let UnpackError::Entry { action, path, source } = error else { return error };
    let full = source.kind() == io::ErrorKind::StorageFull;
    let none_left = |stat: StatVfs| stat.f_files > 0 && stat.f_favail == 0;
    let source = if full && rustix::fs::fstatvfs(root).is_ok_and(none_left) {
        io::Error::new(
            io::ErrorKind::StorageFull,
            "the file system has no free inodes, and each file needs one",
        )
    } else {
        source
    };
    UnpackError::Entry { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use super::*;
    use crate::image::tests::layers::TarMaker;
    use crate::image::unpack::{Limits, unpack};

    #[test]
    fn an_image_leaves_some_bytes_and_inodes_to_others() {
        let lacks = |bytes, inodes| shortage(&Room { bytes, inodes });
        const GIB: u64 = 1 << 30;
        assert_eq!(lacks((50 * GIB, 100 * GIB), (500_000, 1_000_000)), None);
        assert_eq!(
            lacks((2 * GIB, 1000 * GIB), (60_000, 100_000_000)),
            None,
            "large disks keep a bounded reserve"
        );
        assert_eq!(lacks((50 * GIB, 100 * GIB), (0, 0)), None, "btrfs makes inodes as needed");
        let full = lacks((GIB / 2, 100 * GIB), (500_000, 1_000_000)).unwrap();
        assert_eq!(full, "the disk is nearly full: 512 MiB are free");
        let out = lacks((50 * GIB, 100 * GIB), (1000, 1_000_000)).unwrap();
        assert!(out.contains("1000 of 1000000") && out.contains("inodes"), "{out}");
    }

    #[test]
    fn running_out_of_inodes_is_told_apart_from_running_out_of_bytes() {
        ::tests::need_root!();
        // Few inodes: the check in advance refuses the image. So few that the check comes too late: the kernel refuses
        // it.
        for (inodes, files, expected) in
            [("nr_inodes=4000", 5000, "nearly out of inodes"), ("nr_inodes=40", 100, "no free inodes")]
        {
            let dir = tempfile::tempdir().unwrap();
            let options = std::ffi::CString::new(format!("size=64m,{inodes}")).unwrap();
            rustix::mount::mount(
                "tmpfs",
                dir.path(),
                "tmpfs",
                rustix::mount::MountFlags::empty(),
                Some(&*options),
            )
            .unwrap();
            let (diff, trash) = (dir.path().join("diff"), dir.path().join("trash"));
            fs::create_dir(&diff).unwrap();
            fs::create_dir(&trash).unwrap();
            let mut archive = TarMaker::default();
            for n in 0..files {
                archive = archive.file(&format!("f{n}"), "");
            }
            let result = {
                let (diff, trash) = (File::open(&diff).unwrap(), File::open(&trash).unwrap());
                unpack(archive.end().as_slice(), diff.as_fd(), trash.as_fd(), &Limits::default())
            };
            rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
