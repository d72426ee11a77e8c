use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Error;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// With others that share it.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock on a file (flock(2)), given up when this value is dropped or its process ends. The descriptor is
/// close-on-exec.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    fn open(path: &Path) -> Result<File, Error> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Error::io("open", path))
    }

    /// Waits for the lock.
    pub fn acquire(path: &Path, kind: LockKind) -> Result<Self, Error> {
        let file = Self::open(path)?;
        let op = match kind {
            LockKind::Shared => FlockOperation::LockShared,
            LockKind::Exclusive => FlockOperation::LockExclusive,
        };
        rustix::io::retry_on_intr(|| flock(&file, op)).map_err(|e| Error::io("lock", path)(e.into()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Takes the lock if it is free.
    pub fn try_acquire(path: &Path, kind: LockKind) -> Result<Option<Self>, Error> {
        let file = Self::open(path)?;
        let op = match kind {
            LockKind::Shared => FlockOperation::NonBlockingLockShared,
            LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::io::retry_on_intr(|| flock(&file, op)) {
            Ok(()) => Ok(Some(Self { file, path: path.to_owned() })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(Error::io("lock", path)(e.into())),
        }
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the lock lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
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
}
