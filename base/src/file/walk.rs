//! Visits a tree of files that others may change at the same time, such as containers that share a volume.
//!
//! Everything is opened through descriptors that follow no link, and no mount inside of the tree is entered.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};
use rustix::io::Errno;

/// What is done with each file: the descriptor is one of `O_PATH` except for folders.
pub type Visit<'a> = dyn FnMut(BorrowedFd<'_>) -> Result<(), Errno> + 'a;

/// Opens a folder to [`walk_tree`].
///
/// # Errors
/// The kernel's error; `ENOTDIR` or `ELOOP` if it is not a folder.
pub fn open_tree_root(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, flags(), Mode::empty())
}

/// Visits a folder and everything in it, the deepest first, so that the folder itself is visited last. Only the current
/// folder is open, so that no depth is too deep. What disappears in the meantime is left out.
///
/// # Errors
/// The first error of `visit` or of the kernel; `EAGAIN` if a folder was moved elsewhere while it was visited.
pub fn walk_tree(top: OwnedFd, visit: &mut Visit<'_>) -> Result<(), Errno> {
    let mut dir = top;
    let mut levels = vec![enter(&dir, visit)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.folders.pop() {
            let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            match openat2(&dir, name.as_c_str(), flags(), Mode::empty(), inside) {
                Ok(folder) => {
                    levels.push(enter(&folder, visit)?);
                    dir = folder;
                }
                // It is gone, it is another file by now, or something is mounted there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
                Err(error) => return Err(error),
            }
            continue;
        }
        visit(dir.as_fd())?;
        levels.pop();
        if let Some(above) = levels.last() {
            dir = openat(&dir, "..", flags(), Mode::empty())?;
            if id(&dir)? != above.id {
                return Err(Errno::AGAIN);
            }
        }
    }
    Ok(())
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

/// Visits the files of a folder and returns its folders.
fn enter(dir: &OwnedFd, visit: &mut Visit<'_>) -> Result<Level, Errno> {
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
            visit(file.as_fd())?;
        }
    }
    Ok(Level { id: id(dir)?, folders })
}

fn id(dir: &OwnedFd) -> Result<(u64, u64), Errno> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_visited_once_the_root_last_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("other"), "").unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        for name in ["a/b/file", "top"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("link")).unwrap();
        let mut seen = Vec::new();
        let mut visit = |fd: BorrowedFd<'_>| {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            seen.push(std::fs::read_link(path).unwrap());
            Ok(())
        };
        walk_tree(open_tree_root(dir.path()).unwrap(), &mut visit).unwrap();
        let names: Vec<_> =
            seen.iter().map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string()).collect();
        assert_eq!(names.last().unwrap(), "");
        let at = |name: &str| names.iter().position(|one| one == name).unwrap();
        assert!(at("a/b/c") < at("a/b") && at("a/b/file") < at("a/b") && at("a/b") < at("a"));
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(open_tree_root(&dir.path().join("link")).is_err());
    }
}
