//! Holds output on its way from a FIFO to the log. The kernel moves the output from the FIFO to the spool in one system
//! call (splice), so at every moment each byte is in exactly one place that outlives this process.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::store::Error;

/// A spool that has been read to its end is emptied if it is larger than this. The memory before the unread part is
/// released in steps of this size.
const TRIM_BYTES: u64 = 64 * 1024;

/// The spool of one stream.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    /// How many bytes of the spool are in the log.
    pub(super) done: u64,
    /// The spool's size.
    pub(super) end: u64,
    /// How many bytes of the spool were released to the file system.
    punched: u64,
}

/// The result of an attempt to move output into the spool.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This many bytes were moved into the spool.
    Bytes(usize),
    /// The FIFO is empty.
    Empty,
    /// The spool cannot be used this way: it has no space, or its file system does not support splice.
    Refused,
}

impl Spool {
    /// Opens the spool, or creates it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(path).map_err(Error::io("open", path))?;
        let end = file.metadata().map_err(Error::io("read", path))?.len();
        Ok(Self { file, done: 0, end, punched: 0 })
    }

    /// Moves the bytes that are in `fifo`, at most `limit`, into the spool.
    pub(super) fn take(&mut self, fifo: BorrowedFd<'_>, limit: usize) -> Taken {
        loop {
            let mut offset = self.end;
            match splice(fifo, None, self.file.as_fd(), Some(&mut offset), limit, SpliceFlags::NONBLOCK) {
                Ok(0) | Err(Errno::AGAIN) => return Taken::Empty,
                Ok(n) => {
                    self.end += n as u64;
                    return Taken::Bytes(n);
                }
                Err(Errno::INTR) => {}
                Err(_) => return Taken::Refused,
            }
        }
    }

    /// Appends bytes that had to be read from the FIFO.
    pub(super) fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Reads the bytes that are not in the log yet into `buffer`.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> std::io::Result<()> {
        buffer.resize(usize::try_from(self.end - self.done).unwrap_or(usize::MAX), 0);
        self.file.read_exact_at(buffer, self.done)
    }

    /// Appends the bytes from `begin` on to `buffer`, whether they are in the log or not.
    pub(super) fn read_from(&self, begin: u64, buffer: &mut Vec<u8>) -> std::io::Result<()> {
        let old = buffer.len();
        let new = usize::try_from(self.end.saturating_sub(begin)).unwrap_or(0);
        buffer.resize(old + new, 0);
        self.file.read_exact_at(buffer.get_mut(old..).unwrap_or_default(), begin)
    }

    /// Empties the spool if all of it is in the log and it is large enough. Returns whether the spool was emptied.
    pub(super) fn trim(&mut self) -> bool {
        if self.end <= TRIM_BYTES || self.done < self.end || self.file.set_len(0).is_err() {
            return false;
        }
        (self.done, self.end, self.punched) = (0, 0, 0);
        true
    }

    /// Releases the memory of everything before `offset`, if the file system supports that.
    pub(super) fn punch(&mut self, offset: u64) {
        if offset >= self.punched + TRIM_BYTES {
            let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // An error is ignored: the spool is emptied sooner or later.
            let _ = fallocate(&self.file, mode, 0, offset);
            self.punched = offset;
        }
    }
}
