//! Locks on files.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{Error, create_private_dir_all};

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Together with others that share it.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock on a file (flock(2)). It is released when this value is dropped or its process ends. The descriptor is
/// close-on-exec. A lock on a file that is no longer at its path keeps nobody out, so it is not handed out.
#[derive(Debug)]
pub struct FileLock(File);

impl From<OwnedFd> for FileLock {
    /// A lock that this process took when it was another program.
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl AsRawFd for FileLock {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl FileLock {
    fn open(path: &Path) -> Result<File, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        match (options.open(path), path.parent()) {
            // The folder is created only if it is missing, because hundreds of locks are looked at in a row.
            (Err(e), Some(dir)) if e.kind() == ErrorKind::NotFound => {
                create_private_dir_all(dir).map_err(Error::io("create", dir))?;
                options.open(path)
            }
            // flock(2) needs no right to write, and what lies on a read-only disk can still be taken down.
            (Err(e), _) if e.kind() == ErrorKind::ReadOnlyFilesystem => File::open(path),
            (file, _) => file,
        }
        .map_err(|e| match e.kind() {
            ErrorKind::IsADirectory => Error::damaged(path, serde_json::Error::io(e)),
            _ => Error::io("open", path)(e),
        })
    }

    /// Waits for the lock. The file and its folder are created if they are missing.
    pub fn acquire(path: &Path, kind: LockKind) -> Result<Self, Error> {
        let op = match kind {
            LockKind::Shared => FlockOperation::LockShared,
            LockKind::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            let file = Self::open(path)?;
            rustix::io::retry_on_intr(|| flock(&file, op)).map_err(|e| Error::io("lock", path)(e.into()))?;
            if is_at(&file, path) {
                return Ok(Self(file));
            }
        }
    }

    /// Takes the lock if it is free; `None` if another process holds it.
    pub fn try_acquire(path: &Path, kind: LockKind) -> Result<Option<Self>, Error> {
        let op = match kind {
            LockKind::Shared => FlockOperation::NonBlockingLockShared,
            LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            let file = Self::open(path)?;
            match rustix::io::retry_on_intr(|| flock(&file, op)) {
                Ok(()) if is_at(&file, path) => return Ok(Some(Self(file))),
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(Error::io("lock", path)(e.into())),
            }
        }
    }
}

/// Returns whether `file` is still the file at `path`: it may have been removed or replaced while we waited.
fn is_at(file: &File, path: &Path) -> bool {
    let (ours, there) = (file.metadata(), fs::metadata(path));
    ours.is_ok_and(|ours| there.is_ok_and(|there| (ours.dev(), ours.ino()) == (there.dev(), there.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_keeps_others_out_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, LockKind::Exclusive).unwrap();
        assert!(FileLock::try_acquire(&path, LockKind::Shared).unwrap().is_none());
        drop(held);
        let a = FileLock::try_acquire(&path, LockKind::Shared).unwrap();
        let b = FileLock::try_acquire(&path, LockKind::Shared).unwrap();
        assert!(a.is_some() && b.is_some());
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_meanwhile_is_taken_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, LockKind::Exclusive).unwrap();
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || FileLock::acquire(&path, LockKind::Exclusive).unwrap())
        };
        fs::remove_file(&path).unwrap();
        drop(held);
        let _taken = waiting.join().unwrap();
        assert!(FileLock::try_acquire(&path, LockKind::Exclusive).unwrap().is_none());
    }
}
