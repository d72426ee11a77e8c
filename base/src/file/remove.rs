//! Removal of files and folders. A tree that a container or an archive has filled may have any depth and any names; it
//! is removed without crossing a mount or following a link.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, openat2, renameat_with, unlinkat,
};
use rustix::io::Errno;

use super::Error;

/// How deep folders are walked, with one open descriptor per level. What lies deeper is moved to the top first.
const MAX_DEPTH: usize = 64;

/// Removes a file, if it exists.
pub fn remove_file_if_exists(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// [`remove_tree`] for callers that report one error only: the first.
pub fn remove_dir_if_exists(path: &Path) -> Result<(), Error> {
    match remove_tree(path).map_err(|errors| errors.into_iter().next()) {
        Err(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder and all in it, or a file, if it exists. Continues after errors and returns all of them.
///
/// # Errors
/// One for each entry that stays.
pub fn remove_tree(root: &Path) -> Result<(), Vec<Error>> {
    remove(root, ResolveFlags::empty())
}

/// [`remove_tree`] for a folder below one in which other users may write: no symlink in the path is followed, because a
/// user may have put it there.
///
/// # Errors
/// One for each entry that stays, or the first symlink.
pub fn remove_tree_below_no_symlink(root: &Path) -> Result<(), Vec<Error>> {
    remove(root, ResolveFlags::NO_SYMLINKS)
}

fn remove(root: &Path, resolve: ResolveFlags) -> Result<(), Vec<Error>> {
    let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
        return Err(vec![Error::io("remove", root)(std::io::ErrorKind::InvalidInput.into())]);
    };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match openat2(CWD, parent, path_flags, Mode::empty(), resolve) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(vec![Error::io("open", parent)(e.into())]),
    };
    let top = match openat2(&parent, name, flags, Mode::empty(), inside()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return match unlinkat(&parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(e) => Err(vec![Error::io("remove", root)(e.into())]),
            };
        }
        Err(e) => return Err(vec![Error::io("open", root)(e.into())]),
    };
    let mut walk = Walk { top, moved: 0, errors: Vec::new() };
    // Each round may move deep folders to the top. The next round removes them.
    loop {
        let before = walk.moved;
        let top = match walk.top.try_clone() {
            Ok(fd) => fd,
            Err(e) => return Err(vec![Error::io("open", root)(e)]),
        };
        walk.empty(top, root, 0);
        if walk.moved == before || !walk.errors.is_empty() {
            break;
        }
    }
    if walk.errors.is_empty()
        && let Err(e) = unlinkat(&parent, name, AtFlags::REMOVEDIR)
        && e != Errno::NOENT
    {
        walk.errors.push(Error::io("remove", root)(e.into()));
    }
    if walk.errors.is_empty() { Ok(()) } else { Err(walk.errors) }
}

/// Resolves names without crossing links or mounts.
fn inside() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV
}

struct Walk {
    top: OwnedFd,
    moved: u64,
    errors: Vec<Error>,
}

impl Walk {
    fn fail(&mut self, action: &'static str, path: PathBuf, errno: Errno) {
        self.errors.push(Error::io(action, path)(errno.into()));
    }

    fn move_to_top(&mut self, dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        loop {
            let aside = format!("kube-removing-{}", self.moved);
            self.moved += 1;
            match renameat_with(dir, name, &self.top, &aside, RenameFlags::NOREPLACE) {
                // The container may have created this name itself.
                Err(Errno::EXIST) => {}
                result => return result,
            }
        }
    }

    /// Removes everything in a folder.
    fn empty(&mut self, dir: OwnedFd, path: &Path, depth: usize) {
        let entries = match read(dir.as_fd()) {
            Ok(entries) => entries,
            Err(e) => return self.fail("read", path.to_owned(), e),
        };
        for (name, is_dir) in entries {
            let name_path = || path.join(OsStr::from_bytes(name.to_bytes()));
            if !is_dir {
                match unlinkat(&dir, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    // It is a folder after all: the type was unknown or has changed.
                    Err(Errno::ISDIR) => {}
                    Err(e) => {
                        self.fail("remove", name_path(), e);
                        continue;
                    }
                }
            }
            match unlinkat(&dir, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(e) => {
                    self.fail("remove", name_path(), e);
                    continue;
                }
            }
            if depth >= MAX_DEPTH {
                if let Err(e) = self.move_to_top(&dir, &name) {
                    self.fail("move", name_path(), e);
                }
                continue;
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat2(&dir, &name, flags, Mode::empty(), inside()) {
                Ok(child) => {
                    let child_path = name_path();
                    let before = self.errors.len();
                    self.empty(child, &child_path, depth + 1);
                    if self.errors.len() == before
                        && let Err(e) = unlinkat(&dir, &name, AtFlags::REMOVEDIR)
                        && e != Errno::NOENT
                    {
                        self.fail("remove", child_path, e);
                    }
                }
                Err(Errno::NOENT) => {}
                Err(Errno::XDEV) => self.fail("unmount first, before removing", name_path(), Errno::BUSY),
                Err(e) => self.fail("open", name_path(), e),
            }
        }
    }
}

/// Returns the names in a folder, each with whether it is a folder itself.
fn read(dir: BorrowedFd<'_>) -> Result<Vec<(std::ffi::CString, bool)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push((name.to_owned(), entry.file_type() == FileType::Directory));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use rustix::fs::openat;

    use super::*;

    #[test]
    fn a_tree_of_any_depth_goes_whatever_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/kept"), "x").unwrap();
        // Names that it would give itself, the later ones at the top.
        for taken in 0..3 {
            std::fs::create_dir_all(root.join(format!("kube-removing-{taken}/full"))).unwrap();
        }
        let mut at = openat(CWD, &root, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..2100 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            rustix::fs::symlinkat(dir.path().join("outside"), &at, "link").unwrap();
            at = openat(&at, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(at);
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        assert!(dir.path().join("outside/kept").exists());
        remove_tree(&root).expect("what is gone is fine");
    }

    #[test]
    fn a_tree_that_is_reached_through_a_link_stays_where_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("real/tree/sub")).unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        assert!(remove_tree_below_no_symlink(&dir.join("link/tree")).is_err());
        assert!(dir.join("real/tree/sub").exists());
        remove_tree_below_no_symlink(&dir.join("real/tree")).unwrap();
        assert!(!dir.join("real/tree").exists());
    }

    #[test]
    fn a_file_goes_and_a_link_goes_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        for name in ["file", "link"] {
            remove_tree(&dir.path().join(name)).unwrap();
            assert!(dir.path().join(name).symlink_metadata().is_err(), "{name}");
        }
        assert!(dir.path().exists());
    }
}
