//! subPath: a part of a volume, found without ever following a link out of it.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};

use super::{FAILED_MOUNT, make_dir};
use crate::plan::ContainerError;
use crate::store::Error;

/// The kernel gives EAGAIN when something on the way was renamed while it looked (openat2(2)).
const RETRIES: usize = 1000;

/// Opens what a volumeMount with subPath mounts, made as a folder when missing; no link on the way leaves the
/// volume, whoever swaps what meanwhile: links that stay inside are followed by the kernel itself, one that
/// leaves (an absolute one does) is an error. The descriptor (O_PATH) is what has to be bound, see
/// [`bind_sub_path`]: a path could be swapped in the meantime. Folders made get the mode of the volume's root.
///
/// # Errors
/// `CreateContainerConfigError`, naming volume and path.
pub fn open_sub_path(volume: &Path, sub_path: &str) -> Result<OwnedFd, ContainerError> {
    let fail = |problem: String| {
        ContainerError::config(format!(
            "subPath {sub_path:?} of the volume at {}: {problem}",
            volume.display()
        ))
    };
    let explain = |e: Errno| {
        fail(match e {
            Errno::XDEV => "a link leads out of the volume".to_owned(),
            Errno::LOOP => "too many links on the way".to_owned(),
            Errno::NOTDIR => "something on the way is not a folder".to_owned(),
            Errno::NOENT | Errno::EXIST => "a link on the way leads nowhere".to_owned(),
            other => std::io::Error::from(other).to_string(),
        })
    };
    let mut parts = Vec::new();
    for part in Path::new(sub_path).components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            _ => return Err(fail("it must be relative and without \"..\"".to_owned())),
        }
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = open(volume, flags | OFlags::DIRECTORY, Mode::empty()).map_err(explain)?;
    if parts.is_empty() {
        return Ok(root);
    }
    match resolve(&root, &parts.iter().collect::<PathBuf>(), flags) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(e) => return Err(explain(e)),
    }
    make(&root, &parts).map_err(explain)
}

/// One lookup below `root`; links are followed as long as they stay below it.
fn resolve(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RETRIES {
        match openat2(root, path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => std::thread::yield_now(),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Makes what is missing. Each step starts at the root again, so that nothing moved meanwhile is trusted.
fn make(root: &OwnedFd, parts: &[&std::ffi::OsStr]) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(fstat(root)?.st_mode) & (Mode::RWXU | Mode::RWXG | Mode::RWXO);
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut above = PathBuf::new();
    for part in parts {
        let parent = if above.as_os_str().is_empty() {
            root.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE))?
        } else {
            resolve(root, &above, folder)?
        };
        above.push(part);
        match resolve(root, &above, OFlags::PATH | OFlags::CLOEXEC) {
            Ok(_) => continue,
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
        match mkdirat(&parent, *part, mode) {
            Ok(()) => {
                // The umask took its share; what is opened here is the folder just made or nothing of a link's.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
                if let Ok(made) = openat2(&parent, *part, flags, Mode::empty(), how) {
                    fchmod(&made, mode)?;
                }
            }
            // Another container made it first; a link that leads nowhere shows in the last lookup.
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    resolve(root, &above, OFlags::PATH | OFlags::CLOEXEC)
}

/// Binds what [`open_sub_path`] opened at `target`, which is made, with what is mounted in it, so that a runtime can
/// mount it by path: `target` is ours alone, nothing in the container can swap it. To be called in the mount namespace
/// that the mount is to end with.
///
/// # Errors
/// `FailedMount`.
pub fn bind_sub_path(fd: BorrowedFd<'_>, target: &Path) -> Result<(), ContainerError> {
    let store = |e: Error| ContainerError::new(FAILED_MOUNT, e.to_string());
    let errno = |action: &'static str| move |e: Errno| store(Error::io(action, target)(e.into()));
    let stat = fstat(fd).map_err(errno("look at"))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        make_dir(target, 0o700).map_err(store)?;
    } else {
        if let Some(parent) = target.parent() {
            make_dir(parent, 0o700).map_err(store)?;
        }
        std::fs::File::create(target).map_err(|e| store(Error::io("create", target)(e)))?;
    }
    let source = format!("/proc/self/fd/{}", fd.as_raw_fd());
    mount_bind_recursive(source.as_str(), target).map_err(errno("bind a subPath at"))?;
    mount_change(target, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(errno("make private"))
}
