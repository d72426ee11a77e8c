//! subPath: a part of a volume, opened without ever following a link out of the volume.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};

use super::make_dir;
use crate::kind::WaitingReason;
use crate::plan::ContainerError;
use crate::store::Error;

/// Maximum number of attempts: the kernel returns EAGAIN if something on the path was renamed during the lookup
/// (openat2(2)).
const RETRIES: usize = 1000;

/// Opens the part of a volume that a volumeMount with subPath mounts, and creates it as a folder if it is missing. No
/// link on the path can leave the volume, even if a container replaces parts of the path at the same time: the kernel
/// follows links that stay inside, and one that leaves (every absolute one does) is an error. The descriptor (O_PATH)
/// has to be bound with [`bind_sub_path`], because a path could be replaced in the meantime. New folders get the mode
/// of the volume's root.
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

/// Looks up a path below `root`; links are followed as long as they stay below it.
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

/// Creates the missing folders. Each step starts at the root again, so that nothing that was moved in the meantime is
/// trusted.
fn make(root: &OwnedFd, parts: &[&std::ffi::OsStr]) -> Result<OwnedFd, Errno> {
    // With setgid, so that new files get the group of the volume.
    let kept = Mode::RWXU | Mode::RWXG | Mode::RWXO | Mode::SGID;
    let mode = Mode::from_raw_mode(fstat(root)?.st_mode) & kept;
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
                // Sets the mode, which the umask has reduced. O_NOFOLLOW makes sure that this is not the target of a
                // link.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
                if let Ok(made) = openat2(&parent, *part, flags, Mode::empty(), how) {
                    fchmod(&made, mode)?;
                }
            }
            // Another container created it first. If it is a dangling link, the last lookup fails.
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
    }
    resolve(root, &above, OFlags::PATH | OFlags::CLOEXEC)
}

/// Binds the descriptor of [`open_sub_path`], including mounts inside of it, to the new folder or file `target`, so
/// that a runtime can mount it by path: only we can change `target`, no container can replace it. Must be called in the
/// mount namespace that the mount is to end with. With `from_host`, mounts that the host makes in it later appear in it.
///
/// # Errors
/// `FailedMount`.
pub fn bind_sub_path(fd: BorrowedFd<'_>, target: &Path, from_host: bool) -> Result<(), ContainerError> {
    let store = |e: Error| ContainerError::new(WaitingReason::FailedMount, e.to_string());
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
    let propagation =
        if from_host { MountPropagationFlags::DOWNSTREAM } else { MountPropagationFlags::PRIVATE };
    mount_change(target, propagation | MountPropagationFlags::REC).map_err(errno("set the propagation of"))
}
