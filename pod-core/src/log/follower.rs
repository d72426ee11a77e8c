//! Follows the logs of containers that come and go, for a caller that waits for other things too.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::inotify::Watch;
use super::reader::{Emit, Reader, Source};
use crate::store::Error;

/// The followed logs of several containers. Its descriptor is readable when there may be new lines.
#[derive(Debug)]
pub struct Follower {
    changes: Watch,
    reader: Reader,
}

impl Follower {
    /// Creates a follower of no containers.
    ///
    /// # Errors
    /// The kernel refuses an inotify instance.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { changes: Watch::new()?, reader: Reader::default() })
    }

    /// Follows one more container, beginning with the last `tail` lines of the log that it has now, or with all of
    /// them.
    ///
    /// # Errors
    /// The log cannot be read. A missing log is not an error.
    pub fn add(&mut self, source: Source, tail: Option<u64>) -> Result<(), Error> {
        self.changes.cover(&source.dir)?;
        self.reader.add(source, tail, true)
    }

    /// Follows the containers whose logs are below `dir` no longer.
    pub fn remove_below(&mut self, dir: &Path) {
        self.reader.remove_below(dir);
    }

    /// Emits the lines that have been written since the last call, in the order of their times.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn drain(&mut self, emit: &mut Emit<'_>) -> Result<ControlFlow<()>, Error> {
        // Cleared before the logs are read, so that a line that is written meanwhile wakes the caller again.
        self.changes.clear();
        for source in self.reader.sources() {
            self.changes.cover(&source.dir)?;
        }
        self.reader.drain(emit)
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::Run;

    fn record(text: &str, second: u32) -> String {
        format!("2026-11-23T18:00:{second:02}.000000000Z stdout F {text}\n")
    }

    fn source(dir: &Path, name: &str) -> Source {
        Source { name: name.to_owned(), dir: dir.join(name), run: Run::First }
    }

    fn lines(follower: &mut Follower) -> Vec<String> {
        let mut found = Vec::new();
        let mut emit = |source: &Source, line: &crate::log::Line<'_>| {
            found.push(format!("{} {}", source.name, String::from_utf8_lossy(line.content)));
            ControlFlow::Continue(())
        };
        assert!(follower.drain(&mut emit).unwrap().is_continue());
        found
    }

    #[test]
    fn containers_are_followed_from_when_they_are_added_until_they_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("0.log"), record(&format!("{name} old"), 1)).unwrap();
        }
        let mut follower = Follower::new().unwrap();
        follower.add(source(dir.path(), "a"), Some(0)).unwrap();
        follower.add(source(dir.path(), "b"), None).unwrap();
        // A container that has no log yet.
        follower.add(source(dir.path(), "c"), None).unwrap();
        assert_eq!(lines(&mut follower), ["b b old"]);
        let write = |name: &str, attempt: u32, text: &str| {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(format!("{attempt}.log")), text).unwrap();
        };
        write("a", 1, &record("a restarted", 4));
        write("c", 0, &record("c first", 3));
        write("c", 1, &record("c second", 5));
        assert_eq!(lines(&mut follower), ["c c first", "a a restarted", "c c second"]);
        follower.remove_below(&dir.path().join("c"));
        write("c", 2, &record("not shown", 6));
        write("b", 1, &record("b restarted", 7));
        assert_eq!(lines(&mut follower), ["b b restarted"]);
    }
}
