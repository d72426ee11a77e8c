//! Writes the output in a container's FIFOs to the container's log.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::file::remove_file_if_exists;
use jiff::Timestamp;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Limits;
use super::file::LogFile;
use super::journal::{Batch, Journal};
use super::record::{Stream, push_all, push_line, stamp};
use super::spool::{Spool, Taken};
use crate::store::Error;

/// The most bytes that are taken from a FIFO at once.
const BATCH_BYTES: usize = 256 * 1024;
/// The size, in bytes, that buffers may keep while a container writes nothing.
const QUIET_BYTES: usize = 4 * 1024;

/// Writes the log of one run of a container. The writer never waits for the container, and the container waits for the
/// writer only briefly. Output that cannot be written (a full disk) is dropped, and a record reports the loss once
/// there is space again.
///
/// If a writer is killed at any moment, no output is lost, torn or duplicated: the next writer, opened with the same
/// folders, continues where the former one stopped. For this, output goes through a spool file in `spool`, which should
/// be on a tmpfs.
#[derive(Debug)]
pub struct Writer {
    log: LogFile,
    spools: [Spool; 2],
    journal: Journal,
    spool_dir: PathBuf,
    lost: Lost,
    /// The bytes read from a spool, and the records made of them; both buffers are reused.
    input: Vec<u8>,
    records: Vec<u8>,
}

/// What was moved from a FIFO into a spool at once.
struct Batched {
    /// How many bytes; at least 1 if they had to be copied.
    bytes: usize,
    /// Whether the FIFO may hold more.
    more: bool,
}

/// Output that could not be written and that no record reports yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Lost {
    lines: u64,
    bytes: u64,
    why: String,
}

impl Lost {
    fn add(&mut self, dropped: &[u8], why: Option<&std::io::Error>) {
        self.lines += memchr::memchr_iter(b'\n', dropped).count() as u64;
        self.bytes += dropped.len() as u64;
        if let Some(why) = why {
            self.why = why.to_string();
        }
    }
}

impl Writer {
    /// Opens the log of run `attempt` of a container in `dir`, with the spools in `spool` (both folders are created if
    /// missing), and completes what a former writer of this run did not finish. Of the former runs only the last keeps
    /// its log.
    ///
    /// # Errors
    /// A folder or file cannot be created or read.
    pub fn open(dir: &Path, attempt: u32, limits: Limits, spool: &Path) -> Result<Self, Error> {
        let mut log = LogFile::open(dir, attempt, limits)?;
        base::file::create_private_dir_all(spool).map_err(Error::io("create", spool))?;
        let (journal, intent) = Journal::open(&spool.join(journal_name(attempt)))?;
        let mut spools =
            [Stream::Stdout, Stream::Stderr].map(|s| Spool::open(&spool.join(spool_name(attempt, s))));
        if let (Some(batch), [Ok(out), Ok(err)]) = (intent, &mut spools) {
            // A rotation comes before the intent of the next batch, so another file means that this batch was carried
            // out.
            let carried_out = batch.inode != log.inode() || batch.after <= log.size();
            if !carried_out {
                log.cut(batch.before);
            }
            let done = if carried_out { batch.to } else { batch.from };
            for (spool, done) in [out, err].into_iter().zip(done) {
                // A position beyond the spool's end means that the spool was emptied and the journal was not updated
                // any more.
                spool.done = if done > spool.end { 0 } else { done };
            }
        }
        log.cut_torn()?;
        let [out, err] = spools;
        let spools = [out?, err?];
        let (input, records, lost) = (Vec::new(), Vec::new(), Lost::default());
        let writer = Self { log, spools, journal, spool_dir: spool.to_owned(), lost, input, records };
        // The result is recorded now, so that it holds even if this writer is killed before its first batch.
        writer.note_progress();
        Ok(writer)
    }

    /// Moves the output in both FIFOs (at most about 256 KiB of each) into the log, and appends it to `copies` if they are
    /// given. Returns whether there may be more.
    ///
    /// No line of stderr comes before a line of stdout that the container wrote earlier: stderr is taken first and written
    /// last, and what stdout held at that moment fits into one batch. So the error of a container that ends with one is
    /// at the end of its log.
    pub fn pump_both(
        &mut self,
        [stdout, stderr]: [BorrowedFd<'_>; 2],
        now: Timestamp,
        copies: Option<&mut [Vec<u8>; 2]>,
    ) -> bool {
        let [out, err] = match copies {
            Some([out, err]) => [Some(out), Some(err)],
            None => [None, None],
        };
        let taken = self.take(Stream::Stderr, stderr, err);
        let more = self.pump(Stream::Stdout, stdout, now, out);
        self.write_taken(Stream::Stderr, &taken, now);
        more || taken.more
    }

    /// Moves the output in the FIFO of a stream (at most about 256 KiB) into the log, and appends it to `copy` if that is
    /// given. Returns whether there may be more.
    pub fn pump(
        &mut self,
        stream: Stream,
        fifo: BorrowedFd<'_>,
        now: Timestamp,
        copy: Option<&mut Vec<u8>>,
    ) -> bool {
        let taken = self.take(stream, fifo, copy);
        self.write_taken(stream, &taken, now);
        taken.more
    }

    /// Moves the output in the FIFO of a stream into its spool.
    fn take(&mut self, stream: Stream, fifo: BorrowedFd<'_>, copy: Option<&mut Vec<u8>>) -> Batched {
        let mut batch = Batched { bytes: 0, more: true };
        let begin = self.spool(stream).end;
        while batch.bytes < BATCH_BYTES {
            match self.spool(stream).take(fifo, BATCH_BYTES - batch.bytes) {
                Taken::Bytes(n) => batch.bytes += n,
                Taken::Empty => {
                    batch.more = false;
                    break;
                }
                Taken::Refused => {
                    batch = Batched { bytes: 1, more: self.copy(stream, fifo) };
                    break;
                }
            }
        }
        if let Some(copy) = copy
            && let Err(error) = self.spool(stream).read_from(begin, copy)
        {
            tracing::warn!(%error, "cannot read the spool of a log");
        }
        batch
    }

    /// Writes what was taken from a FIFO into the log.
    fn write_taken(&mut self, stream: Stream, taken: &Batched, now: Timestamp) {
        if taken.bytes > 0 || self.lost.bytes > 0 {
            self.commit(stream, now, false);
        }
        if !taken.more {
            // Memory that a burst needed is released.
            self.records.shrink_to(QUIET_BYTES);
            self.input.shrink_to(QUIET_BYTES);
        }
    }

    /// Ends the log: unfinished lines become records too, and the spools are removed. The FIFOs must be pumped empty
    /// before.
    ///
    /// # Errors
    /// A spool cannot be removed.
    pub fn finish(mut self, now: Timestamp) -> Result<(), Error> {
        for stream in Stream::ALL {
            self.commit(stream, now, true);
        }
        let attempt = self.log.attempt();
        remove_file_if_exists(&self.spool_dir.join(journal_name(attempt)))?;
        for stream in Stream::ALL {
            remove_file_if_exists(&self.spool_dir.join(spool_name(attempt, stream)))?;
        }
        Ok(())
    }

    /// Returns the lost output that no record of the log reports yet.
    pub fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Adds output that a former writer of this log has lost.
    pub fn add_lost(&mut self, lost: Lost) {
        self.lost.lines += lost.lines;
        self.lost.bytes += lost.bytes;
        if self.lost.why.is_empty() {
            self.lost.why = lost.why;
        }
    }

    fn spool(&mut self, stream: Stream) -> &mut Spool {
        let [out, err] = &mut self.spools;
        match stream {
            Stream::Stdout => out,
            Stream::Stderr => err,
        }
    }

    /// Writes the contents of a spool into the log with one write.
    fn commit(&mut self, stream: Stream, now: Timestamp, last: bool) {
        let stamp = stamp(now);
        let mut records = std::mem::take(&mut self.records);
        let mut input = std::mem::take(&mut self.input);
        records.clear();
        if self.lost.bytes > 0 {
            let Lost { lines, bytes, why } = &self.lost;
            let text = format!("kube: {lines} lines ({bytes} bytes) of output are lost here: {why}");
            push_line(&mut records, &stamp, Stream::Stderr, text.as_bytes());
        }
        let marker = records.len();
        let mut used = 0;
        match self.spool(stream).read(&mut input) {
            Ok(()) => used = push_all(&mut records, &stamp, stream, &input, last),
            Err(error) => tracing::warn!(%error, "cannot read the spool of a log"),
        }
        if !records.is_empty() {
            self.write(stream, &records, marker, used as u64);
        }
        (self.records, self.input) = (records, input);
    }

    /// Writes records that were made of `used` bytes of a spool. The first `marker` bytes report a loss.
    fn write(&mut self, stream: Stream, records: &[u8], marker: usize, used: u64) {
        let from = self.progress();
        self.spool(stream).done += used;
        let to = self.progress();
        self.log.make_room(records.len() as u64);
        let (inode, before) = (self.log.inode(), self.log.size());
        self.journal.write(&Batch { from, to, inode, before, after: before + records.len() as u64 });
        let (written, error) = self.log.append(records);
        if written >= marker {
            self.lost = Lost::default();
        }
        if written < records.len() {
            let dropped = records.get(written.max(marker)..).unwrap_or_default();
            self.lost.add(dropped, error.as_ref());
            // The batch became shorter than its intent, so the journal has to record that it is over.
            self.note_progress();
        }
        // Nothing before `from` will be read again.
        let [from_out, from_err] = from;
        let from = if stream == Stream::Stdout { from_out } else { from_err };
        let spool = self.spool(stream);
        spool.punch(from);
        if spool.trim() {
            self.note_progress();
        }
    }

    fn progress(&self) -> [u64; 2] {
        let [out, err] = &self.spools;
        [out.done, err.done]
    }

    /// Records in the journal how far the log is and that no batch is under way.
    fn note_progress(&self) {
        let (done, size) = (self.progress(), self.log.size());
        self.journal.write(&Batch {
            from: done,
            to: done,
            inode: self.log.inode(),
            before: size,
            after: size,
        });
    }

    /// Copies output from a FIFO to the spool of its stream if the kernel cannot move it. If that is not possible
    /// either (no space), the output is dropped, so that the container is not blocked. Returns whether there may be
    /// more.
    fn copy(&mut self, stream: Stream, fifo: BorrowedFd<'_>) -> bool {
        let mut input = std::mem::take(&mut self.input);
        input.resize(BATCH_BYTES, 0);
        let more = match rustix::io::read(fifo, &mut input) {
            Ok(0) | Err(Errno::AGAIN) => false,
            Ok(n) => {
                let bytes = input.get(..n).unwrap_or_default();
                if let Err(error) = self.spool(stream).put(bytes) {
                    self.lost.add(bytes, Some(&error));
                }
                true
            }
            Err(Errno::INTR) => true,
            Err(error) => {
                tracing::warn!(%error, "cannot read the output of a container");
                false
            }
        };
        self.input = input;
        more
    }
}

fn journal_name(attempt: u32) -> String {
    format!("{attempt}.journal")
}

fn spool_name(attempt: u32, stream: Stream) -> String {
    format!("{attempt}.{}.spool", stream.as_str())
}

#[cfg(test)]
mod tests;
