//! The files of the name server, read again when they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::dns::config::{ENDPOINTS, Endpoints, SERVICES, Services};
use crate::{Error, record};

/// What tells whether a file has changed. Each change replaces the file.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The files in a folder.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    read: Option<[Stamp; 2]>,
}

impl Files {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, read: None }
    }

    /// Returns the contents if a file has changed since the last call. Damaged names of Services count as none: they
    /// are written again when the Services are next computed.
    pub(super) fn read_if_changed(&mut self) -> Result<Option<(Endpoints, Services)>, Error> {
        let paths = [ENDPOINTS, SERVICES].map(|name| self.dir.join(name));
        let stamps = [stamp(&paths[0]), stamp(&paths[1])];
        if self.read == Some(stamps) {
            return Ok(None);
        }
        let endpoints = record::read(&paths[0])?.unwrap_or_default();
        let services = record::or_none(record::read(&paths[1])).unwrap_or_default();
        self.read = Some(stamps);
        Ok(Some((endpoints, services)))
    }
}

fn stamp(path: &Path) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}
