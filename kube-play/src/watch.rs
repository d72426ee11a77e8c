//! Being told when something changes in our trees, so that nothing has to be polled.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pod_core::store::Layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

/// Says when records, states or events may have changed (inotify(7)).
#[derive(Debug)]
pub struct Changes {
    inotify: OwnedFd,
    layout: Layout,
}

/// After this long everything is looked at again, whatever inotify says: a network file system tells nothing,
/// and ages grow.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

impl Changes {
    /// Watches both trees. Begin with this, then look, then [`Changes::wait`]: nothing is missed.
    ///
    /// # Errors
    /// The kernel gives no inotify instance.
    pub fn new(layout: &Layout) -> anyhow::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .context("watch for changes (inotify)")?;
        let changes = Self { inotify, layout: layout.clone() };
        changes.follow_folders();
        Ok(changes)
    }

    /// Watches what is there by now. A watch that exists is renewed; a folder that is not there yet shows up
    /// in its parent.
    fn follow_folders(&self) {
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
    }

    fn add(&self, dir: &Path) {
        let what = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        // One that cannot be watched (gone again, too many watches) is looked at every two seconds.
        let _ = inotify::add_watch(&self.inotify, dir, what);
    }

    /// Returns when something may have changed, at the latest at `deadline`; false if that has come.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn wait(&self, deadline: Option<Instant>) -> anyhow::Result<bool> {
        let left = match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => LOOK_ANYWAY,
        };
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left.min(LOOK_ANYWAY)).context("wait for changes")?;
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for changes"),
        }
        let mut buffer = [0u8; 4096];
        while rustix::io::read(&self.inotify, &mut buffer).is_ok_and(|n| n > 0) {}
        self.follow_folders();
        Ok(true)
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
        assert!(start.elapsed() < LOOK_ANYWAY, "it was inotify that woke us");
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
