//! Records the newest format of the files in the trees, so that an older `kube` refuses the whole tree before it
//! changes anything.
//!
//! `<root>/version.json` is written before the first record of a new format. It covers the files that have no version
//! of their own: leases, networks, images, claims and objects.

use std::path::Path;

use base::file::{read_if_exists, write_json_volatile};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Error, Layout, damage};
use crate::version::Version;

#[derive(Serialize, Deserialize)]
struct Marker {
    version: Version,
}

/// Reads a record that has a version; `None` if the file does not exist.
///
/// # Errors
/// [`Error::Newer`] if a newer `kube` wrote the file, [`Error::Damaged`] if the file cannot be parsed.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = read_if_exists(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::unreadable(path, &bytes, source))
}

/// Fails if a newer `kube` has written into the trees.
///
/// # Errors
/// [`Error::Newer`] if so.
pub fn refuse_newer(layout: &Layout) -> Result<(), Error> {
    match read::<Marker>(&layout.version()) {
        Err(error @ Error::Newer { .. }) => Err(error),
        // Records have their own versions, and saving the next record writes this file again.
        _ => Ok(()),
    }
}

/// Writes the version file if it does not have this program's format yet. Called before a record is written.
pub fn note(layout: &Layout) {
    let path = layout.version();
    if read::<Marker>(&path).is_ok_and(|marker| marker.is_some_and(|it| !it.version.is_older())) {
        return;
    }
    // An empty folder may be in the place of the file.
    let _ = std::fs::remove_dir(&path);
    if let Err(error) = write_json_volatile(&path, &Marker { version: Version::current() }) {
        damage::pass_over(&error.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::version::FORMAT;

    fn layout(dir: &std::path::Path) -> Layout {
        Layout { root: dir.join("root"), runroot: dir.join("run") }
    }

    #[test]
    fn a_tree_is_refused_from_the_first_newer_record_on() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        assert!(refuse_newer(&layout).is_ok(), "there is nothing yet");
        note(&layout);
        assert!(refuse_newer(&layout).is_ok());
        let newer = json!({"version": {"format": FORMAT + 1, "kube": "9.9.9"}});
        std::fs::write(layout.version(), newer.to_string()).unwrap();
        let error = refuse_newer(&layout).unwrap_err().to_string();
        assert!(error.contains("version.json has format 3") && error.contains("use kube 9.9.9"), "{error}");
    }

    #[test]
    fn a_damaged_marker_is_written_again_with_the_next_record() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        std::fs::create_dir_all(layout.version()).unwrap();
        for _ in 0..2 {
            assert!(refuse_newer(&layout).is_ok());
            note(&layout);
            assert!(read::<Marker>(&layout.version()).unwrap().is_some());
            std::fs::write(layout.version(), "{\"ver").unwrap();
        }
    }
}
