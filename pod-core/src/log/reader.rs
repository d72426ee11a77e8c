//! Reads logs for `kube logs`: the records of one or several containers, in the order of their times.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::cursor::{Cursor, attempts};
use super::inotify::Watch;
use super::record::{Line, stamp};
use crate::store::Error;

/// A container whose log is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that the caller gives the container.
    pub name: String,
    /// The folder of the container's logs, which need not exist yet.
    pub dir: PathBuf,
    /// The run to read.
    pub run: Run,
}

/// A run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// The first run that has a log.
    First,
    /// The latest run that has a log.
    Latest,
    /// The run before the latest.
    Previous,
    /// The run with this number, from 0.
    Attempt(u32),
}

/// The part of the logs to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The number of lines from the end of each container's log; `None` means all.
    pub tail: Option<u64>,
    /// The earliest time of a line.
    pub since: Option<Timestamp>,
}

/// Receives a line of a source, or a part of a line (see [`Line::ends`]).
pub type Emit<'a> = dyn FnMut(&Source, &Line<'_>) -> ControlFlow<()> + 'a;

/// Emits the lines that exist. Lines of several containers are in the order of their times; the parts of one line are
/// not separated. Text that is not a record, for example because a crash has torn it, is left out.
///
/// # Errors
/// A log cannot be read. A run without a log is not an error: it has no lines.
pub fn read(sources: &[Source], options: &Options, emit: &mut Emit<'_>) -> Result<(), Error> {
    let mut reader = Reader::open(sources, options, false)?;
    reader.drain(emit).map(|_| ())
}

/// Emits the lines that exist and then new lines as they are written, across rotations and restarts, until `emit`
/// breaks off or `ended` returns that no more lines will come. `ended` is called again whenever something has changed
/// in the logs or in one of the folders `watch` (for example that of the pod's state).
///
/// # Errors
/// As [`read`]; also if inotify is not available.
pub fn follow(
    sources: &[Source],
    options: &Options,
    watch: &[&Path],
    ended: &mut dyn FnMut() -> bool,
    emit: &mut Emit<'_>,
) -> Result<(), Error> {
    let mut changes = Watch::new()?;
    let folders: Vec<&Path> = sources.iter().map(|s| s.dir.as_path()).chain(watch.iter().copied()).collect();
    let mut reader = Reader::open(sources, options, true)?;
    loop {
        for dir in &folders {
            changes.cover(dir)?;
        }
        // `ended` is called before the logs are read, so that lines that were written before the end are read after it.
        let last = ended();
        if reader.drain(emit)?.is_break() || last {
            return Ok(());
        }
        changes.wait()?;
    }
}

/// Reads the logs of several containers as one stream of lines.
#[derive(Debug, Default)]
pub(super) struct Reader {
    cursors: Vec<(Source, Cursor)>,
    since: Option<String>,
    /// The index of the source that has emitted a part of a line, and has to emit the rest next.
    open: Option<usize>,
}

impl Reader {
    fn open(sources: &[Source], options: &Options, follow: bool) -> Result<Self, Error> {
        let mut reader = Self { since: options.since.map(stamp), ..Self::default() };
        for source in sources {
            reader.add(source.clone(), options.tail, follow)?;
        }
        Ok(reader)
    }

    /// Adds a container, with the last `tail` lines of its log, or all of them.
    pub(super) fn add(&mut self, source: Source, tail: Option<u64>, follow: bool) -> Result<(), Error> {
        let runs = attempts(&source.dir)?;
        let attempt = match source.run {
            Run::First => runs.first().copied(),
            Run::Latest => runs.last().copied(),
            Run::Previous => runs.iter().rev().nth(1).copied(),
            Run::Attempt(attempt) => Some(attempt),
        };
        // A previous run has ended, so it is not followed.
        let follow = follow && source.run != Run::Previous;
        let mut cursor = Cursor::new(&source.dir, attempt, follow)?;
        if let Some(lines) = tail {
            cursor.skip_to_tail(lines)?;
        }
        self.cursors.push((source, cursor));
        Ok(())
    }

    /// Removes the containers whose logs are in a folder below `dir`.
    pub(super) fn remove_below(&mut self, dir: &Path) {
        self.cursors.retain(|(source, _)| !source.dir.starts_with(dir));
        self.open = None;
    }

    /// Returns the containers.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.cursors.iter().map(|(source, _)| source)
    }

    /// Emits all lines that exist.
    pub(super) fn drain(&mut self, emit: &mut Emit<'_>) -> Result<ControlFlow<()>, Error> {
        while let Some(i) = self.choose()? {
            let Some((source, cursor)) = self.cursors.get_mut(i) else { break };
            if let Some(line) = cursor.line() {
                self.open = if line.ends { None } else { Some(i) };
                let old = self.since.as_ref().is_some_and(|since| is_before(&line, since));
                if !old && emit(source, &line).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            cursor.advance();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Returns the source of the next line: the source that has begun a line, else the source with the oldest line.
    fn choose(&mut self) -> Result<Option<usize>, Error> {
        if let Some(i) = self.open.take()
            && let Some((_, cursor)) = self.cursors.get_mut(i)
            && cursor.peek()?
        {
            return Ok(Some(i));
        }
        for (_, cursor) in &mut self.cursors {
            cursor.peek()?;
        }
        let ready = self.cursors.iter().enumerate().filter_map(|(i, (_, c))| Some((c.line()?.time, i)));
        Ok(ready.min().map(|(_, i)| i))
    }
}

/// Compares times as text, because both have the same fixed width, unless another program has written the record.
fn is_before(line: &Line<'_>, since: &str) -> bool {
    if line.time.len() == since.len() && line.time.ends_with('Z') {
        return line.time < since;
    }
    match (line.timestamp(), since.parse::<Timestamp>()) {
        (Some(time), Ok(since)) => time < since,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
