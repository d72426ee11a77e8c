//! Removes trees that hostile archives made.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

/// Removes a file or a folder with all that is in it; what is gone is fine. Never follows a link, and uses a
/// fixed number of descriptors and a fixed depth of stack however deep the tree is: folders inside folders are
/// first moved to the top.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let top = open(CWD, path.as_os_str().as_encoded_bytes())?;
    let mut moved = 0u64;
    loop {
        let names = folders_after_unlinking(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            let folder = open(top.as_fd(), &name)?;
            for inner in folders_after_unlinking(&folder)? {
                loop {
                    let target = format!("kube-removing-{moved}");
                    moved += 1;
                    // Any name may be taken by a folder of the archive.
                    match rustix::fs::renameat_with(
                        &folder,
                        inner.as_slice(),
                        &top,
                        target,
                        rustix::fs::RenameFlags::NOREPLACE,
                    ) {
                        Err(Errno::EXIST) => {}
                        other => break other?,
                    }
                }
            }
            rustix::fs::unlinkat(&top, name.as_slice(), AtFlags::REMOVEDIR)?;
        }
    }
    drop(top);
    match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn open(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// Unlinks what is no folder, and names the folders.
fn folders_after_unlinking(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut folders = Vec::new();
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); 32 << 10];
    // A descriptor of its own: its position is its own.
    let listing = File::from(open(dir.as_fd(), b".")?);
    let mut entries = RawDir::new(&listing, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            _ => false,
        };
        if is_folder {
            folders.push(name.to_vec());
        } else {
            match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_paths_and_descriptors_allow_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/kept"), "x").unwrap();
        let mut at = open(CWD, root.as_os_str().as_encoded_bytes()).unwrap();
        for _ in 0..2100 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            rustix::fs::symlinkat(dir.path().join("outside"), &at, "link").unwrap();
            at = open(at.as_fd(), b"d").unwrap();
        }
        drop(at);
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        assert!(dir.path().join("outside/kept").exists());
        remove_tree(&root).unwrap();
    }
}
