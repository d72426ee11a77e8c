//! Deletes a tree that a container may have filled: any depth, any names, never across a mount, never through
//! a link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, renameat, unlinkat,
};
use rustix::io::Errno;

use super::mounts::lossless;
use crate::store::Error;

/// How deep folders are walked, one descriptor each, before what lies deeper is moved to the top.
const MAX_DEPTH: usize = 64;

/// Deletes `root` and all in it; one that is gone is fine. Goes on past errors and gives all of them.
pub fn remove_tree(root: &Path) -> Result<(), Vec<Error>> {
    let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
        return Err(vec![Error::io("remove", root)(std::io::ErrorKind::InvalidInput.into())]);
    };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = match openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(vec![Error::io("open", parent)(e.into())]),
    };
    let top = match openat2(&parent, name, flags, Mode::empty(), inside()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(vec![Error::io("open", root)(e.into())]),
    };
    let mut walk = Walk { top, moved: 0, errors: Vec::new() };
    // Each round may move deep folders to the top; they are the next round's.
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

/// Neither links nor mounts are crossed.
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

    /// Deletes all in a folder.
    fn empty(&mut self, dir: OwnedFd, path: &Path, depth: usize) {
        let entries = match read(dir.as_fd()) {
            Ok(entries) => entries,
            Err(e) => return self.fail("read", path.to_owned(), e),
        };
        for (name, is_dir) in entries {
            let name_path = || lossless(path, name.to_bytes());
            if !is_dir {
                match unlinkat(&dir, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    // The folder did not say, or it changed.
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
                let aside = format!("..deep-{}", self.moved);
                match renameat(&dir, &name, &self.top, &aside) {
                    Ok(()) => self.moved += 1,
                    Err(e) => self.fail("move", name_path(), e),
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

/// Names in a folder, each with whether it is one itself.
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
