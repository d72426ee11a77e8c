//! Waits for changes in folders.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::Errno;

use crate::store::Error;

/// Wakes a waiting reader when a file is written, created, moved or removed in a watched folder (inotify(7)).
#[derive(Debug)]
pub(super) struct Watch {
    fd: OwnedFd,
    covered: HashSet<PathBuf>,
}

impl Watch {
    /// Creates a watch without folders.
    pub(super) fn new() -> Result<Self, Error> {
        let fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|e| Error::io("watch", "logs")(e.into()))?;
        Ok(Self { fd, covered: HashSet::new() })
    }

    /// Watches a folder. If the folder does not exist, watches the nearest existing folder above it; the caller should
    /// then call this again after each change.
    pub(super) fn cover(&mut self, dir: &Path) -> Result<(), Error> {
        let what = WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        while !self.covered.contains(dir) {
            let mut missing: Option<&Path> = None;
            for ancestor in dir.ancestors() {
                match add_watch(&self.fd, ancestor, what) {
                    Ok(_) => break,
                    Err(Errno::NOENT) => missing = Some(ancestor),
                    Err(e) => return Err(Error::io("watch", ancestor)(e.into())),
                }
            }
            match missing {
                None => {
                    self.covered.insert(dir.to_owned());
                }
                // The folder may have been created before the folder above it was watched.
                Some(child) if child.exists() => {}
                Some(_) => break,
            }
        }
        Ok(())
    }

    /// Waits for a change since the last call.
    pub(super) fn wait(&self) -> Result<(), Error> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::io("watch", "logs")(e.into())),
            }
        }
        self.clear();
        Ok(())
    }

    /// Discards the events that have come, because the reader finds out itself what has changed.
    pub(super) fn clear(&self) {
        let mut events = [0_u8; 4096];
        while rustix::io::read(self.fd.as_fd(), &mut events).is_ok_and(|n| n > 0) {}
    }
}

/// The descriptor is readable when something has changed.
impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
