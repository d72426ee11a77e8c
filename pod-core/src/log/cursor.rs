//! Reads the records of one container one after another, across rotations and restarts.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::record::{Line, parse};
use super::{file_name, parse_file_name};
use crate::store::Error;

/// The number of bytes that are read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// The maximum length of a record. A longer one was not written by this program; its bytes are skipped.
const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// The position of a reader in the log of one container.
#[derive(Debug)]
pub(super) struct Cursor {
    dir: PathBuf,
    /// The run being read; `None` if there was none yet.
    attempt: Option<u32>,
    /// The file being read, with its inode.
    file: Option<(File, u64)>,
    /// The files of this run to read after `file`.
    next: VecDeque<(File, u64)>,
    /// The number of bytes left to read of the newest file unless the log is followed: the file's size at the start.
    /// Without this limit the reader would never end if a container writes as fast as it is read.
    left: Option<u64>,
    /// True if the reader continues with files and runs that are created later.
    follow: bool,
    buffer: Vec<u8>,
    /// The beginning of the unread part of the buffer.
    start: usize,
    end: usize,
    /// The end of the record that was peeked at. The record begins at `start` and ends before its newline.
    record: Option<usize>,
    /// For stdout and stderr: true if the last record did not end its line.
    open: [bool; 2],
}

/// Returns the runs of a container that have logs, in order.
pub(super) fn attempts(dir: &Path) -> Result<Vec<u32>, Error> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("read", dir)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read", dir))?;
        found.extend(entry.file_name().to_str().and_then(parse_file_name).map(|(attempt, _)| attempt));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

impl Cursor {
    /// Creates a cursor at the first record of one run, or of whichever run comes first.
    pub(super) fn new(dir: &Path, attempt: Option<u32>, follow: bool) -> Result<Self, Error> {
        let mut cursor = Self {
            dir: dir.to_owned(),
            attempt,
            file: None,
            next: VecDeque::new(),
            left: None,
            follow,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            record: None,
            open: [false; 2],
        };
        if let Some(attempt) = attempt {
            cursor.next = open_run(dir, attempt)?;
            if !follow && let Some((newest, _)) = cursor.next.back() {
                cursor.left = Some(newest.metadata().map_err(Error::io("read", dir))?.len());
            }
        }
        Ok(cursor)
    }

    /// Skips all but the last `lines` lines of those that exist.
    pub(super) fn skip_to_tail(&mut self, lines: u64) -> Result<(), Error> {
        let mut wanted = lines;
        let mut kept = VecDeque::new();
        while let Some((mut file, inode)) = self.next.pop_back() {
            let last = wanted == lines;
            let size = match self.left {
                Some(left) if last => left,
                _ => file.metadata().map_err(Error::io("read", &self.dir))?.len(),
            };
            let (start, found) =
                tail_start(&mut file, size, wanted, last).map_err(Error::io("read", &self.dir))?;
            file.seek(SeekFrom::Start(start)).map_err(Error::io("read", &self.dir))?;
            if last {
                self.left = self.left.map(|left| left - start.min(left));
            }
            kept.push_front((file, inode));
            wanted -= found.min(wanted);
            if start > 0 {
                break;
            }
        }
        self.next = kept;
        Ok(())
    }

    /// Makes sure that the next record is in the buffer. Returns false if there is none yet.
    pub(super) fn peek(&mut self) -> Result<bool, Error> {
        while self.record.is_none() {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(len) = memchr::memchr(b'\n', unread) {
                if unread.get(..len).and_then(parse).is_some() {
                    self.record = Some(len);
                } else {
                    self.start += len + 1;
                }
            } else if !self.fill()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the record that was peeked at.
    pub(super) fn line(&self) -> Option<Line<'_>> {
        let record = self.buffer.get(self.start..self.start + self.record?)?;
        let mut line = parse(record)?;
        line.begins = !self.open.get(line.stream as usize).copied().unwrap_or_default();
        line.ends &= !line.closes();
        Some(line)
    }

    /// Moves to the next record.
    pub(super) fn advance(&mut self) {
        if let Some((stream, ends)) = self.line().map(|l| (l.stream, l.ends || l.closes()))
            && let Some(open) = self.open.get_mut(stream as usize)
        {
            *open = !ends;
        }
        if let Some(len) = self.record.take() {
            self.start += len + 1;
        }
    }

    /// Reads more. Returns false if there is nothing more yet.
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            if let Some((file, _)) = &mut self.file {
                if self.end - self.start > MAX_RECORD_BYTES {
                    self.start = self.end;
                }
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
                if self.buffer.len() < self.end + BLOCK_BYTES {
                    self.buffer.resize(self.end + BLOCK_BYTES, 0);
                }
                let mut room = self.buffer.get_mut(self.end..).unwrap_or_default();
                // The newest file is the last one.
                if let Some(left) = self.left.filter(|_| self.next.is_empty()) {
                    let left = usize::try_from(left).unwrap_or(usize::MAX).min(room.len());
                    room = room.get_mut(..left).unwrap_or_default();
                }
                let n = if room.is_empty() {
                    0
                } else {
                    read(file, room).map_err(Error::io("read", &self.dir))?
                };
                self.end += n;
                if self.next.is_empty() {
                    self.left = self.left.map(|left| left.saturating_sub(n as u64));
                }
                if n > 0 {
                    return Ok(true);
                }
                // The writer may remove a record of which it could write only a part, so half a record is read again
                // later.
                if let Ok(half @ 1..) = i64::try_from(self.end) {
                    file.seek(SeekFrom::Current(-half)).map_err(Error::io("read", &self.dir))?;
                    self.end = 0;
                }
            }
            if self.next.is_empty() && self.follow {
                self.find_next()?;
                // Reads what was written to the old file after the last read and before the rotation.
                if !self.next.is_empty()
                    && let Some((file, _)) = &mut self.file
                {
                    let room = self.buffer.get_mut(self.end..).unwrap_or_default();
                    let n = read(file, room).map_err(Error::io("read", &self.dir))?;
                    self.end += n;
                    if n > 0 {
                        return Ok(true);
                    }
                }
            }
            let Some(next) = self.next.pop_front() else { return Ok(false) };
            // A file ends with a newline unless a crash has torn its last record.
            (self.start, self.end) = (0, 0);
            self.file = Some(next);
        }
    }

    /// Finds the files after the one that was read to its end: newer files of this run, else the files of the next run.
    fn find_next(&mut self) -> Result<(), Error> {
        self.next = self.newer_files()?;
        if !self.next.is_empty() {
            return Ok(());
        }
        let later = attempts(&self.dir)?.into_iter().find(|a| self.attempt.is_none_or(|now| *a > now));
        let Some(later) = later else { return Ok(()) };
        // A run is over before the next one begins, so the files that it has now are all of its files.
        self.next = self.newer_files()?;
        if self.next.is_empty() {
            self.next = open_run(&self.dir, later)?;
            self.attempt = Some(later);
            self.open = [false; 2];
        }
        Ok(())
    }

    /// Returns the files of this run that are newer than the one being read.
    fn newer_files(&self) -> Result<VecDeque<(File, u64)>, Error> {
        let Some(attempt) = self.attempt else { return Ok(VecDeque::new()) };
        let mut files = open_run(&self.dir, attempt)?;
        if let Some((_, inode)) = &self.file
            && let Some(i) = files.iter().position(|(_, found)| found == inode)
        {
            files.drain(..=i);
        }
        Ok(files)
    }
}

fn read(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Opens all files of a run, oldest first, as they are at one moment.
fn open_run(dir: &Path, attempt: u32) -> Result<VecDeque<(File, u64)>, Error> {
    // A rotation in between changes the names; then the files are opened again.
    const TRIES: u32 = 100;
    let mut files = VecDeque::new();
    for _ in 0..TRIES {
        files.clear();
        // A rotation that is under way or was interrupted leaves one name free. The second free name ends the list.
        let mut free = 0;
        for rotation in 0.. {
            let path = dir.join(file_name(attempt, rotation));
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == ErrorKind::NotFound && free == 0 => {
                    free += 1;
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::NotFound => break,
                Err(e) => return Err(Error::io("open", path)(e)),
            };
            let inode = file.metadata().map_err(Error::io("read", &path))?.ino();
            files.push_front((rotation, file, inode));
        }
        let unmoved = files.iter().all(|(rotation, _, inode)| {
            let path = dir.join(file_name(attempt, *rotation));
            std::fs::metadata(path).is_ok_and(|m| m.ino() == *inode)
        });
        if unmoved {
            break;
        }
    }
    Ok(files.into_iter().map(|(_, file, inode)| (file, inode)).collect())
}

/// Returns where the last `lines` lines of the first `size` bytes of a file begin, and how many lines there are from
/// that position on. `last` is true if no file with later lines follows; an unfinished line at the end then counts as a
/// line.
fn tail_start(file: &mut File, size: u64, lines: u64, last: bool) -> std::io::Result<(u64, u64)> {
    if lines == 0 && last {
        return Ok((size, 0));
    }
    let mut window = BLOCK_BYTES as u64;
    let mut buffer = Vec::new();
    loop {
        let from = size.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        buffer.clear();
        file.by_ref().take(size - from).read_to_end(&mut buffer)?;
        match last_lines(&buffer, lines, last) {
            Ok(start) => return Ok((from + start as u64, lines)),
            Err(found) if from == 0 => return Ok((0, found)),
            Err(_) => window = window.saturating_mul(4),
        }
    }
}

/// Returns where the last `lines` lines in `data` begin. If `data` has no more lines than that, returns their number as
/// the error.
fn last_lines(data: &[u8], lines: u64, last: bool) -> Result<usize, u64> {
    let mut found = 0;
    // Where the record after the examined one begins.
    let mut begin = memchr::memrchr(b'\n', data).map_or(0, |i| i + 1);
    while begin > 0 {
        let before = data.get(..begin - 1).unwrap_or_default();
        let start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let record = before.get(start..).unwrap_or_default();
        // Read backwards, a record that ends a line is the first of a line; so is the very last record.
        if parse(record).is_some_and(|l| l.ends || last && found == 0) {
            if found == lines {
                return Ok(begin);
            }
            found += 1;
        }
        begin = start;
    }
    Err(found)
}
