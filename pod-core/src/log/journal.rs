//! Records how much of the spools has reached the log. If a writer is killed between any two system calls, the next
//! writer leaves neither a gap nor a duplicate.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::store::Error;

const FIELDS: usize = 8;
const MAGIC: u64 = 0x6b75_6265_6c6f_6731;

/// The intent of one batch, which is written before the batch. The batch was carried out if and only if the log file
/// with this inode has reached the size `after`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// How many bytes of each spool were in the log before the batch.
    pub(super) from: [u64; 2],
    /// How many bytes of each spool are in the log after the batch.
    pub(super) to: [u64; 2],
    /// The inode of the log file.
    pub(super) inode: u64,
    /// The log file's size before the batch.
    pub(super) before: u64,
    /// The log file's size after the batch.
    pub(super) after: u64,
}

/// The file with the latest intent. It is on a tmpfs, because it has to survive the death of a process but not a reboot
/// of the host.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

impl Journal {
    /// Opens the journal, or creates it. Returns the intent found in it too.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<Batch>), Error> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(path).map_err(Error::io("open", path))?;
        let mut bytes = [0_u8; FIELDS * 8];
        let found = file.read_exact_at(&mut bytes, 0).ok().and_then(|()| decode(&bytes));
        Ok((Self { file }, found))
    }

    /// Records an intent with one small write, which no signal divides.
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
