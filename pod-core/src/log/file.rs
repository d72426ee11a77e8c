//! The log files of one run: they are appended to and rotated, and never contain a torn record.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::file::remove_file_if_exists;

use super::{Limits, file_name, parse_file_name};
use crate::store::Error;

/// The log file of a run, opened for writing.
#[derive(Debug)]
pub(super) struct LogFile {
    dir: PathBuf,
    attempt: u32,
    limits: Limits,
    file: File,
    size: u64,
    inode: u64,
}

impl LogFile {
    /// Opens the log of a run, or creates it. Removes the logs of former runs, except of the run just before.
    pub(super) fn open(dir: &Path, attempt: u32, limits: Limits) -> Result<Self, Error> {
        base::file::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
        prune(dir, attempt)?;
        let path = dir.join(file_name(attempt, 0));
        let (file, size, inode) = open_append(&path)?;
        Ok(Self { dir: dir.to_owned(), attempt, limits, file, size, inode })
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    /// Truncates the file, to remove a record of which only a part was written.
    pub(super) fn cut(&mut self, size: u64) {
        if size < self.size {
            match self.file.set_len(size) {
                Ok(()) => self.size = size,
                Err(error) => tracing::warn!(%error, dir = %self.dir.display(), "cannot cut a log"),
            }
        }
    }

    /// Removes what comes after the last newline: a record that was torn by a crash.
    pub(super) fn cut_torn(&mut self) -> Result<(), Error> {
        if self.size == 0 {
            return Ok(());
        }
        let path = self.dir.join(file_name(self.attempt, 0));
        let mut reader = File::open(&path).map_err(Error::io("open", &path))?;
        let mut end = self.size;
        let mut block = [0_u8; 4096];
        while end > 0 {
            let start = end.saturating_sub(block.len() as u64);
            let len = usize::try_from(end - start).unwrap_or(block.len());
            let part = block.get_mut(..len).unwrap_or_default();
            reader
                .seek(SeekFrom::Start(start))
                .and_then(|_| reader.read_exact(part))
                .map_err(Error::io("read", &path))?;
            if let Some(i) = memchr::memrchr(b'\n', part) {
                end = start + i as u64 + 1;
                break;
            }
            end = start;
        }
        self.cut(end);
        Ok(())
    }

    /// Makes room for `bytes` more bytes: starts a new file if this one would grow beyond its limit. If that fails (no
    /// space), the old file grows further.
    pub(super) fn make_room(&mut self, bytes: u64) {
        if self.size > 0
            && self.size.saturating_add(bytes) > self.limits.file_bytes
            && let Err(error) = self.rotate()
        {
            tracing::warn!(%error, "cannot rotate a log");
        }
    }

    fn rotate(&mut self) -> Result<(), Error> {
        let path = |rotation| self.dir.join(file_name(self.attempt, rotation));
        // The new file is created first: if that fails, no file is moved.
        let fresh = self.dir.join(format!(".{}.log.new", self.attempt));
        remove_file_if_exists(&fresh)?;
        let (file, size, inode) = open_append(&fresh)?;
        // Each file moves up by one number; the oldest is overwritten if the limit is reached.
        let last = self.limits.files.saturating_sub(1);
        let top = (1..last).find(|rotation| !path(*rotation).exists()).unwrap_or(last);
        for rotation in (0..top).rev() {
            let from = path(rotation);
            std::fs::rename(&from, path(rotation + 1)).map_err(Error::io("rotate", from))?;
        }
        std::fs::rename(&fresh, path(0)).map_err(Error::io("rotate", &fresh))?;
        (self.file, self.size, self.inode) = (file, size, inode);
        Ok(())
    }

    /// Appends whole records. Returns how many bytes were written, which are whole records too, and the error that
    /// stopped the rest.
    pub(super) fn append(&mut self, records: &[u8]) -> (usize, Option<std::io::Error>) {
        let mut done = 0;
        let error = loop {
            let rest = records.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break None;
            }
            match self.file.write(rest) {
                Ok(0) => break Some(ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => break Some(e),
            }
        };
        let written = records.get(..done).unwrap_or_default();
        let whole = memchr::memrchr(b'\n', written).map_or(0, |i| i + 1);
        let before = self.size;
        self.size += done as u64;
        self.cut(before + whole as u64);
        (whole, error)
    }
}

fn open_append(path: &Path) -> Result<(File, u64, u64), Error> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
        .map_err(Error::io("open", path))?;
    let meta = file.metadata().map_err(Error::io("read", path))?;
    Ok((file, meta.len(), meta.ino()))
}

/// Keeps the log of the run before this one and removes older ones, as the kubelet keeps one dead container.
fn prune(dir: &Path, attempt: u32) -> Result<(), Error> {
    for entry in std::fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let entry = entry.map_err(Error::io("read", dir))?;
        let name = entry.file_name();
        let Some((old, _)) = name.to_str().and_then(parse_file_name) else { continue };
        if old.saturating_add(1) < attempt {
            remove_file_if_exists(&entry.path())?;
        }
    }
    Ok(())
}
