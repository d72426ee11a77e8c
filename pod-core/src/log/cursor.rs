//! Reads the records of one container, one after another, through rotations and restarts.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::record::{Line, parse};
use super::{file_name, parse_file_name};
use crate::store::Error;

/// How much is read at a time, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// A record that is longer than this is not one of ours: its bytes are skipped.
const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// Where a reader is in the log of one container.
#[derive(Debug)]
pub(super) struct Cursor {
    dir: PathBuf,
    /// Which run; `None` while there was none.
    attempt: Option<u32>,
    /// The file being read, with its inode.
    file: Option<(File, u64)>,
    /// Files of this run to read after it.
    next: VecDeque<(File, u64)>,
    /// How many bytes are left to read of the newest file, unless it is followed: what was there at the start.
    /// A container that writes as fast as it is read would never come to an end.
    left: Option<u64>,
    /// Goes on to files that come into being later, and to later runs.
    follow: bool,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    start: usize,
    end: usize,
    /// The record in the buffer that was peeked at: from `start`, without its newline.
    record: Option<usize>,
    /// For stdout and stderr: the last record did not end its line.
    open: [bool; 2],
}

/// The runs of a container that have logs, in order.
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
    /// A reader of one run from its first record, or of whatever run comes first.
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

    /// Skips all but the last `lines` lines of what is there by now.
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

    /// Makes sure that the next record is in the buffer; false if there is none by now.
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

    /// The record that was peeked at.
    pub(super) fn line(&self) -> Option<Line<'_>> {
        let record = self.buffer.get(self.start..self.start + self.record?)?;
        let mut line = parse(record)?;
        line.begins = !self.open.get(line.stream as usize).copied().unwrap_or_default();
        line.ends &= !line.closes();
        Some(line)
    }

    /// Goes on to the record after it.
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

    /// Reads more; false if there is nothing more by now.
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
                // The newest file comes last.
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
                // The writer may take back what it could write only half of: half a record is read again later.
                if let Ok(half @ 1..) = i64::try_from(self.end) {
                    file.seek(SeekFrom::Current(-half)).map_err(Error::io("read", &self.dir))?;
                    self.end = 0;
                }
            }
            if self.next.is_empty() && self.follow {
                self.find_next()?;
                // What was written to the old file after it was last read, but before it was rotated away.
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

    /// Looks for files that come after the one that was read to its end: newer ones of this run, else those of the
    /// run after it.
    fn find_next(&mut self) -> Result<(), Error> {
        self.next = self.newer_files()?;
        if !self.next.is_empty() {
            return Ok(());
        }
        let later = attempts(&self.dir)?.into_iter().find(|a| self.attempt.is_none_or(|now| *a > now));
        let Some(later) = later else { return Ok(()) };
        // A run is over before the next one begins, so what it has left by now is all of it.
        self.next = self.newer_files()?;
        if self.next.is_empty() {
            self.next = open_run(&self.dir, later)?;
            self.attempt = Some(later);
            self.open = [false; 2];
        }
        Ok(())
    }

    /// The files of this run that are newer than the one being read.
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
    // A rotation in between shows in the names: then once more.
    const TRIES: u32 = 100;
    let mut files = VecDeque::new();
    for _ in 0..TRIES {
        files.clear();
        // A rotation that is under way, or was broken off, leaves one name free: the next one ends the list.
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

/// Where the last `lines` lines of the first `size` bytes of a file begin, and how many lines there are from there on; `last`: no lines come
/// after those of this file, so that an unfinished one at its end is a line of its own.
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

/// Where the last `lines` lines in `data` begin; if it has no more than that many, how many it has.
fn last_lines(data: &[u8], lines: u64, last: bool) -> Result<usize, u64> {
    let mut found = 0;
    // Where the record after the one that is looked at begins.
    let mut begin = memchr::memrchr(b'\n', data).map_or(0, |i| i + 1);
    while begin > 0 {
        let before = data.get(..begin - 1).unwrap_or_default();
        let start = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let record = before.get(start..).unwrap_or_default();
        // A record that ends a line begins a line when read backwards; so does the very last one.
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
