//! Files that are replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, de::DeserializeOwned};

use super::{Error, create_private_dir_all};

/// What a written file survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the process: the file is renamed into place.
    Process,
    /// A crash of the machine as well: fsync, rename, fsync of the folder.
    Machine,
}

/// Who may write a file at the same time. This decides the name of the temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// Any number of processes. Each writes a file `.NAME.PID.N.tmp` of its own; [`writer_of`] finds the process.
    Concurrent,
    /// One, because it holds a lock. It writes `.NAME.tmp`, so a crash leaves one file at most and the next writer
    /// replaces that.
    Locked,
}

/// A temporary file beside its destination, written but not yet visible at it. It is removed if it is dropped.
#[derive(Debug)]
#[must_use = "the destination is replaced by `commit` only"]
pub struct PendingFile<'a> {
    temp: PathBuf,
    path: &'a Path,
    durability: Durability,
    is_committed: bool,
}

impl<'a> PendingFile<'a> {
    /// Writes `bytes` to a temporary file in the folder of `path`. The folder is created if it is missing.
    pub fn write(
        path: &'a Path,
        bytes: &[u8],
        mode: u32,
        durability: Durability,
        writers: Writers,
    ) -> Result<Self, Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let dir = path.parent().unwrap_or(Path::new("/"));
        create_private_dir_all(dir).map_err(Error::io("create", dir))?;
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
        let temp = match writers {
            Writers::Locked => format!(".{name}.tmp"),
            Writers::Concurrent => {
                // The name is cut, because it may already have the maximal length of a file's name.
                let short: String = name.chars().take(50).collect();
                let n = COUNTER.fetch_add(1, Ordering::Relaxed);
                format!(".{short}.{}.{n}.tmp", std::process::id())
            }
        };
        let pending = Self { temp: dir.join(temp), path, durability, is_committed: false };
        pending.fill(bytes, mode).map_err(Error::io("write", path))?;
        Ok(pending)
    }

    fn fill(&self, bytes: &[u8], mode: u32) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&self.temp)?;
        file.write_all(bytes)?;
        if self.durability == Durability::Machine { file.sync_all() } else { Ok(()) }
    }

    /// Renames the temporary file to its destination.
    pub fn commit(mut self) -> Result<(), Error> {
        let renamed = fs::rename(&self.temp, self.path);
        self.is_committed = renamed.is_ok();
        let sync = || match (self.durability, self.path.parent()) {
            (Durability::Machine, Some(dir)) => File::open(dir)?.sync_all(),
            _ => Ok(()),
        };
        renamed.and_then(|()| sync()).map_err(Error::io("write", self.path))
    }
}

impl Drop for PendingFile<'_> {
    fn drop(&mut self) {
        if !self.is_committed {
            let _ = fs::remove_file(&self.temp);
        }
    }
}

/// Replaces a file so that a reader sees all of the old or all of the new content, also after a power cut. The folder is
/// created if it is missing.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write(path, bytes, mode, Durability::Machine)
}

/// [`write_atomic`] without fsync, readable by its owner only: for files that mean nothing after a reboot.
pub fn write_volatile(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write(path, bytes, 0o600, Durability::Process)
}

/// [`write_atomic`] of a value as JSON, readable by its owner only.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|e| Error::damaged(path, e))?;
    write_atomic(path, &bytes, 0o600)
}

/// [`write_volatile`] of a value as JSON.
pub fn write_json_volatile<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|e| Error::damaged(path, e))?;
    write_volatile(path, &bytes)
}

fn write(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<(), Error> {
    let pending = PendingFile::write(path, bytes, mode, durability, Writers::Concurrent)?;
    crate::fail_point!(Worker, "file-written");
    pending.commit()
}

/// Returns the pid in the name of a temporary file of [`Writers::Concurrent`]; `None` for any other name.
pub fn writer_of(name: &str) -> Option<i32> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplitn(3, '.');
    let (n, pid) = (parts.next()?, parts.next()?);
    n.parse::<u64>().ok()?;
    parts.next()?;
    pid.parse().ok()
}

/// Reads a file; `None` if there is none. A folder in its place is damage.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) if e.kind() == ErrorKind::IsADirectory => Err(Error::damaged(path, serde_json::Error::io(e))),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

/// Reads a value that was written as JSON; `None` if there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = read_if_exists(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::damaged(path, e))
}

/// Returns the names in a folder, sorted, without those that begin with a dot, as temporary files do. A folder that is
/// missing has none.
pub fn names_in(dir: &Path) -> Result<Vec<String>, Error> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        // A file in the place of a folder has no names either. Whoever needs the folder gets the error.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", dir)(e)),
    };
    let mut found = Vec::new();
    for entry in read {
        let name = entry.map_err(Error::io("read", dir))?.file_name();
        found.extend(name.into_string().ok().filter(|name| !name.starts_with('.')));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_value_is_read_back_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        write_json(&path, &vec![1, 2, 3]).unwrap();
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn a_temporary_file_tells_its_writer() {
        assert_eq!(writer_of(".workload.json.123.0.tmp"), Some(123));
        for other in ["workload.json", ".x.tmp", ".1.2.tmp", ".a.b.3.tmp", "a.1.2.tmp"] {
            assert_eq!(writer_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_missing_file_is_none_and_a_damaged_one_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(read_json::<i32>(&path).unwrap().is_none());
        fs::write(&path, "{").unwrap();
        assert!(matches!(read_json::<i32>(&path), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_pending_file_that_is_dropped_leaves_the_old_content_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for writers in [Writers::Concurrent, Writers::Locked] {
            write_atomic(&path, b"old", 0o600).unwrap();
            let write = || PendingFile::write(&path, b"new", 0o600, Durability::Process, writers).unwrap();
            let pending = write();
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
            drop(pending);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            write().commit().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }
}
