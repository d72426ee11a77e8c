//! Notices changes of the files of an instance (inotify(7)), so that commands need not poll.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::store::Layout;

/// Why changes cannot be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel refused an inotify instance.
    #[error("watch for changes (inotify)")]
    Watch(#[source] Errno),
    /// The kernel refused to wait.
    #[error("wait for changes")]
    Wait(#[source] Errno),
}

/// Notices when records, states or events may have changed.
#[derive(Debug)]
pub struct Changes {
    inotify: OwnedFd,
    layout: Layout,
}

/// A wait ends after this time although inotify reported nothing, because a network file system reports no changes
/// and ages grow.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl Changes {
    /// Watches both trees. Call this before reading the files, then [`Changes::wait`]: then no change is missed.
    ///
    /// # Errors
    /// The kernel refuses an inotify instance.
    pub fn new(layout: &Layout) -> Result<Self, Error> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(Error::Watch)?;
        let changes = Self { inotify, layout: layout.clone() };
        changes.watch_folders();
        Ok(changes)
    }

    /// Watches the folders that exist by now. A new folder is noticed in its parent; watching a folder again changes
    /// nothing.
    fn watch_folders(&self) {
        let workloads = self.layout.workloads();
        let pods = self.layout.runroot.join("pods");
        self.add(&self.layout.root);
        self.add(&self.layout.runroot);
        for top in [workloads, pods] {
            self.add(&top);
            for entry in std::fs::read_dir(&top).into_iter().flatten().flatten() {
                self.add(&entry.path());
            }
        }
        // Objects are in a folder per kind and namespace, or directly in that of their kind.
        let objects = self.layout.objects();
        self.add(&objects);
        for kind in std::fs::read_dir(&objects).into_iter().flatten().flatten() {
            self.add(&kind.path());
            for namespace in std::fs::read_dir(kind.path()).into_iter().flatten().flatten() {
                self.add(&namespace.path());
            }
        }
    }

    fn add(&self, dir: &Path) {
        let what = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        // A folder that cannot be watched (removed, too many watches) is read again after LONGEST_WAIT.
        let _ = inotify::add_watch(&self.inotify, dir, what);
    }

    /// Waits until something may have changed, at most until `deadline`. Returns false if the deadline has passed.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn wait(&self, deadline: Option<Instant>) -> Result<bool, Error> {
        let left = match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => LONGEST_WAIT,
        };
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left.min(LONGEST_WAIT)).map_err(|_| Error::Wait(Errno::INVAL))?;
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::Wait(error)),
        }
        self.have_come();
        Ok(true)
    }

    /// Returns whether something may have changed since the last call or wait, without waiting.
    pub fn have_come(&self) -> bool {
        let mut buffer = [0u8; 4096];
        let mut come = false;
        while rustix::io::read(&self.inotify, &mut buffer).is_ok_and(|n| n > 0) {
            come = true;
        }
        if come {
            self.watch_folders();
        }
        come
    }
}

/// The descriptor is readable when something may have changed.
impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_in_a_folder_that_did_not_exist_before_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        std::fs::create_dir_all(layout.runroot.join("pods")).unwrap();
        let changes = Changes::new(&layout).unwrap();
        let written = layout.runroot.join("pods").join("uid");
        std::fs::create_dir(&written).unwrap();
        assert!(changes.wait(Some(Instant::now() + Duration::from_mins(1))).unwrap());
        std::fs::write(written.join("state.json"), "{}").unwrap();
        let start = Instant::now();
        assert!(changes.wait(None).unwrap());
        assert!(start.elapsed() < LONGEST_WAIT, "inotify ended the wait");
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().to_owned(), runroot: dir.path().to_owned() };
        let changes = Changes::new(&layout).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        while changes.wait(Some(deadline)).unwrap() {}
        assert!(Instant::now() >= deadline);
    }
}
