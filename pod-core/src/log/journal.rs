//! What of the spools has reached the log, so that a writer that is killed between any two system calls leaves
//! neither a gap nor a double for the next one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::store::Error;

const FIELDS: usize = 8;
const MAGIC: u64 = 0x6b75_6265_6c6f_6731;

/// The intent of one batch, written before it: it was carried out if and only if the log file (of this inode) has
/// reached `after`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Bytes of each spool that were in the log before.
    pub(super) from: [u64; 2],
    /// Bytes of each spool that are in the log after it.
    pub(super) to: [u64; 2],
    /// Which log file.
    pub(super) inode: u64,
    /// Its size before.
    pub(super) before: u64,
    /// Its size after.
    pub(super) after: u64,
}

/// The file that holds the latest intent. On a tmpfs: it has to survive the death of a process, not of the host.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

impl Journal {
    /// Opens or makes the journal, with the intent found in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<Batch>), Error> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(path).map_err(Error::io("open", path))?;
        let mut bytes = [0_u8; FIELDS * 8];
        let found = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| decode(&bytes));
        Ok((Self { file }, found))
    }

    /// Writes down what is about to be done: one small write, which no signal divides.
    pub(super) fn write(&self, batch: &Batch) {
        let fields = [
            MAGIC,
            batch.from[0],
            batch.from[1],
            batch.to[0],
            batch.to[1],
            batch.inode,
            batch.before,
            batch.after,
        ];
        let mut bytes = [0_u8; FIELDS * 8];
        for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        if let Err(error) = self.file.write_all_at(&bytes, 0) {
            tracing::warn!(%error, "cannot write the journal of a log");
        }
    }
}

fn decode(bytes: &[u8; FIELDS * 8]) -> Option<Batch> {
    let mut fields = [0_u64; FIELDS];
    for (field, from) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
        *field = u64::from_le_bytes(from.try_into().ok()?);
    }
    let [magic, from_out, from_err, to_out, to_err, inode, before, after] = fields;
    let batch = Batch { from: [from_out, from_err], to: [to_out, to_err], inode, before, after };
    (magic == MAGIC).then_some(batch)
}
