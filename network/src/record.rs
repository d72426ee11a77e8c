//! Records on disk: JSON files that are replaced atomically before what they describe is created. Their writers hold
//! the lock of the instance or of the host.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base::file::{Durability, PendingFile, Writers};
use serde::{Serialize, de::DeserializeOwned};

use crate::Error;

/// Writes `value` as JSON. A reader sees all of the old or all of the new content.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<(), Error> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::Damaged { path: path.to_owned(), source })?;
    write_bytes(path, &bytes, durability)
}

/// Writes bytes like [`write()`]. An empty folder in the place of the file is replaced.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
    let pending = PendingFile::write(path, bytes, 0o600, durability, Writers::Locked)?;
    base::fail_point!(Worker, "network-file-written");
    if path.is_dir() {
        fs::remove_dir(path).map_err(Error::io("write", path))?;
    }
    Ok(pending.commit()?)
}

/// Reads a record; `None` if there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    Ok(base::file::read_json(path)?)
}

/// Returns what was read. A file that cannot be read is logged, once per process, and counts as missing.
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

/// Returns the names of the records in `dir`, which are the file names without `.json`, sorted. A missing folder has no
/// records.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let files = base::file::names_in(dir)?;
    let mut names: Vec<String> =
        files.iter().filter_map(|file| file.strip_suffix(".json")).map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Returns the temporary files in `dir`: those being written, and those that a crash left.
pub(crate) fn temporary_files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let temporary = |name: &str| name.starts_with('.') && name.as_bytes().ends_with(b".tmp");
    paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(temporary)).collect()
}

/// Removes a file, if it exists, or an empty folder in its place.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
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
    fn a_half_written_record_of_a_crash_is_not_listed_and_blocks_nothing() {
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
