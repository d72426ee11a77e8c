//! Keeps the kernel ready to move processes between cgroups.
//!
//! The first write to a `cgroup.procs` after a pause waits for a grace period of RCU (`cgroup_threadgroup_rwsem` in
//! kernel/cgroup/cgroup.c is a per-CPU semaphore, see kernel/rcu/sync.c), 6 to 16 ms on an idle host. Further writes do
//! not wait, as long as the previous one is not much more than such a period ago. A pod's start has several such
//! writes, each after other work; a thread that keeps writing during that work saves all these waits.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Cgroups;
use super::own::memberships;

/// Shorter than the grace periods that were measured, 6 ms and more.
const INTERVAL: Duration = Duration::from_millis(4);

/// After this time the thread stops: a start that takes longer gains nothing from it.
const LONGEST: Duration = Duration::from_secs(10);

/// A thread that writes as long as this value exists, but for ten seconds at most.
#[derive(Debug)]
pub struct Warm {
    /// Dropping the sender ends the thread.
    _alive: Option<Sender<()>>,
}

impl Warm {
    /// Starts the thread. It moves this process to the cgroup that it is in already, so nothing changes. If that is not
    /// possible, the thread ends.
    pub fn begin() -> Self {
        let (alive, ended) = channel();
        // The thread is not joined, because it may be inside a write that waits.
        let begun = std::thread::Builder::new().name("warm".to_owned()).spawn(move || keep_writing(&ended));
        Self { _alive: begun.is_ok().then_some(alive) }
    }
}

fn keep_writing(ended: &Receiver<()>) {
    let Some(mut file) = own_procs() else { return };
    let since = Instant::now();
    while since.elapsed() < LONGEST && file.write_all(b"0").is_ok() {
        // On a busy host the thread may wake up late, which is harmless because grace periods are short there.
        if !matches!(ended.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

/// `cgroup.procs` of a cgroup that this process is in.
fn own_procs() -> Option<File> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let cgroups = Cgroups::get();
    let open = |path: PathBuf| OpenOptions::new().write(true).open(path).ok();
    own_folders(&own, cgroups).into_iter().find_map(|dir| open(dir.join("cgroup.procs")))
}

/// Folders of `/proc/self/cgroup`.
fn own_folders(own: &str, cgroups: &Cgroups) -> Vec<PathBuf> {
    memberships(own, cgroups).into_iter().map(|(hierarchy, path)| hierarchy.dir(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(own: &str, mountinfo: &str) -> Vec<String> {
        let cgroups = Cgroups::parse(mountinfo, |_| "memory".to_owned());
        own_folders(own, &cgroups).iter().map(|dir| dir.display().to_string()).collect()
    }

    #[test]
    fn the_folders_of_a_process_are_found_on_every_kind_of_host() {
        let v2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(folders("0::/user.slice/a b\n", v2), ["/sys/fs/cgroup/user.slice/a b"]);
        let hybrid = "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            folders("4:cpu,cpuacct:/x\n3:name=other:/\n0::/\n", hybrid),
            ["/sys/fs/cgroup/cpu/x", "/sys/fs/cgroup/unified/"]
        );
        assert!(folders("0::/\n", "").is_empty());
    }
}
