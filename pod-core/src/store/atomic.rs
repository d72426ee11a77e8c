use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, de::DeserializeOwned};

use super::{Error, remove_tree};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes a file so that a reader, and a power cut, see all of the old or all of the new: temporary file in
/// the same folder, fsync, rename, fsync of the folder. The folder is made when missing.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    write(path, bytes, mode, true)
}

/// [`write_json`] without the fsync, for what a power cut ends anyway: a reader still sees all of the old or
/// all of the new.
pub fn write_json_volatile<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::Damaged { path: path.to_owned(), source })?;
    write_volatile(path, &bytes)
}

/// [`write_json_volatile`] of bytes.
pub fn write_volatile(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write(path, bytes, 0o600, false)
}

fn write(path: &Path, bytes: &[u8], mode: u32, durable: bool) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    network::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    // A name may be as long as a file's name can be: what tells a temporary file apart is its end.
    let short: String = name.chars().take(50).collect();
    let temp = dir.join(format!(".{short}.{}.{n}.tmp", std::process::id()));
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temp)?;
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        base::fail_point!(Worker, "file-written");
        fs::rename(&temp, path)?;
        if durable { File::open(dir)?.sync_all() } else { Ok(()) }
    })();
    result.map_err(|e| {
        let _ = fs::remove_file(&temp);
        Error::io("write", path)(e)
    })
}

/// Who writes, or wrote, a temporary file of [`write_atomic`]; `None` for a name that is none.
pub fn writer_of(name: &str) -> Option<i32> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplitn(3, '.');
    let (n, pid) = (parts.next()?, parts.next()?);
    n.parse::<u64>().ok()?;
    parts.next()?;
    pid.parse().ok()
}

/// [`write_atomic`] of a value as JSON, readable by its owner only.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::Damaged { path: path.to_owned(), source })?;
    write_atomic(path, &bytes, 0o600)
}

/// Reads a value that [`write_json`] wrote; `None` when there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) if e.kind() == ErrorKind::IsADirectory => {
            return Err(Error::damaged(path, serde_json::Error::io(e)));
        }
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::unreadable(path, &bytes, source))
}

/// Removes a file; one that is gone is fine.
pub fn remove_file_if_exists(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// [`remove_tree`], for who can tell of one error only: the first.
pub fn remove_dir_if_exists(path: &Path) -> Result<(), Error> {
    match remove_tree(path).map_err(|errors| errors.into_iter().next()) {
        Err(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Names in a folder, sorted; those of our temporary files are passed over. None when there is no such folder.
pub fn names_in(dir: &Path) -> Result<Vec<String>, Error> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        // A file in the place of a folder has no names either; whoever needs the folder is told.
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
}
