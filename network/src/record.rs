//! Records on disk: written whole or not at all, durably, before what they speak of is made.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};

use crate::Error;

/// A lock on a file (flock(2)), given up when dropped or when its process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Waits for the lock; makes the file and its folder when missing.
    pub(crate) fn acquire(path: &Path) -> Result<Self, Error> {
        let file = Self::open(path)?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
            .map_err(|e| Error::io("lock", path)(e.into()))?;
        Ok(Self(file))
    }

    /// Takes the lock if nobody has it.
    pub(crate) fn try_acquire(path: &Path) -> Result<Option<Self>, Error> {
        let file = Self::open(path)?;
        match rustix::io::retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(Error::io("lock", path)(e.into())),
        }
    }

    fn open(path: &Path) -> Result<File, Error> {
        if let Some(dir) = path.parent() {
            crate::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        match options.open(path) {
            // What is on a read-only disk can still be taken apart; flock(2) asks for no right to write.
            Err(e) if e.kind() == ErrorKind::ReadOnlyFilesystem => File::open(path),
            opened => opened,
        }
        .map_err(Error::io("open", path))
    }
}

/// How much a record must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of the process: rename.
    Process,
    /// A crash of the machine: fsync, rename, fsync of the folder.
    Machine,
}

/// Writes `value` as JSON so that a reader sees all of the old or all of the new. Writers hold a lock.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::Damaged { path: path.to_owned(), source })?;
    write_bytes(path, &bytes, durability)
}

/// [`write`] of bytes.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    crate::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
    // Dotted names are skipped by `list`; the lock makes one name enough, and a crash leaves one file at most.
    let temp = dir.join(format!(".{}.tmp", path.file_name().unwrap_or_default().to_string_lossy()));
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
        file.write_all(bytes)?;
        if durability == Durability::Machine {
            file.sync_all()?;
        }
        base::fail_point!(Worker, "network-file-written");
        if path.is_dir() {
            fs::remove_dir(path)?;
        }
        fs::rename(&temp, path)?;
        if durability == Durability::Machine {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    })();
    result.map_err(|e| {
        let _ = fs::remove_file(&temp);
        Error::io("write", path)(e)
    })
}

/// Reads what [`write`] wrote; `None` when there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) if e.kind() == ErrorKind::IsADirectory => {
            return Err(Error::Damaged { path: path.to_owned(), source: serde_json::Error::io(e) });
        }
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| Error::Damaged { path: path.to_owned(), source })
}

/// Unwraps what was read; a file that cannot be read is logged, once per process, and counts as none.
pub(crate) fn or_none<T>(read: Result<Option<T>, Error>) -> Option<T> {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    read.unwrap_or_else(|error| {
        let text = error.to_string();
        if TOLD.lock().is_ok_and(|mut told| told.insert(text.clone())) {
            tracing::warn!("{text}");
        }
        None
    })
}

/// Names of the records in `dir` (file names without `.json`), sorted; none when there is no such folder.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", dir)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", dir))?;
        if let Some(name) = entry.file_name().to_str().and_then(|n| n.strip_suffix(".json"))
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What writers are at in `dir`, or have left there in a crash.
pub(crate) fn temporary_files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let temporary = |name: &str| name.starts_with('.') && name.as_bytes().ends_with(b".tmp");
    paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(temporary)).collect()
}

/// Removes a file; one that is gone is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        // A folder in its place, if there is nothing in it.
        Err(e) if e.kind() == ErrorKind::IsADirectory => {
            fs::remove_dir(path).map_err(Error::io("remove", path))
        }
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_record_of_a_crash_is_neither_listed_nor_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".a.json.tmp"), "{\"ha").unwrap();
        assert!(list(dir.path()).unwrap().is_empty());
        fs::write(dir.path().join(".b.json.tmp"), "{\"ha").unwrap();
        assert_eq!(temporary_files(dir.path()).len(), 2);
        fs::remove_file(dir.path().join(".b.json.tmp")).unwrap();
        write(&dir.path().join("a.json"), &1, Durability::Machine).unwrap();
        assert_eq!(list(dir.path()).unwrap(), ["a"]);
        assert_eq!(read::<i32>(&dir.path().join("a.json")).unwrap(), Some(1));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
