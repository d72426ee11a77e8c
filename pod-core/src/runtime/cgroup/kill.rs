//! Kills the processes in a cgroup, and finds out how they ended.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Cgroups, Hierarchy, relative};

/// Sends SIGKILL to every process in a cgroup (a `linux.cgroupsPath`) and below it, until no process is left that has
/// not got it. Does not wait for their end; a missing cgroup is not an error.
pub fn kill_all(cgroups_path: &str) {
    kill_in(Cgroups::get(), &relative(cgroups_path), Duration::ZERO);
}

/// Returns the pids of all processes in a cgroup (a `linux.cgroupsPath`) and below it.
pub fn processes(cgroups_path: &str) -> BTreeSet<i32> {
    processes_in(Cgroups::get(), &relative(cgroups_path))
}

fn processes_in(cgroups: &Cgroups, relative: &str) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    // A hierarchy that containers are not put into may contain a process that moved itself there.
    for hierarchy in &cgroups.hierarchies {
        collect(&hierarchy.dir(relative), &mut pids);
    }
    pids
}

fn collect(dir: &Path, pids: &mut BTreeSet<i32>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    // 0 means a process of another pid namespace; kill(2) would take it for our own process group.
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), pids);
    }
}

/// Kills everything below a cgroup and waits up to `time` until all of it has ended.
pub(super) fn kill_in(cgroups: &Cgroups, relative: &str, time: Duration) {
    let deadline = Instant::now() + time;
    for hierarchy in cgroups.hierarchies.iter().filter(|one| one.unified) {
        let _ = fs::write(hierarchy.dir(relative).join("cgroup.kill"), "1");
    }
    // Without cgroup.kill the cgroup is frozen, so that its processes cannot fork faster than they are killed.
    let freezer = cgroups.hierarchy("freezer").filter(|one| !one.unified).map(|one| one.dir(relative));
    loop {
        let pids = processes_in(cgroups, relative);
        if pids.is_empty() {
            return;
        }
        let set_freezer = |state: &str| {
            for dir in freezer.iter().flat_map(|dir| below(dir)) {
                let _ = fs::write(dir.join("freezer.state"), state);
            }
        };
        set_freezer("FROZEN");
        let pids: BTreeSet<i32> = processes_in(cgroups, relative).union(&pids).copied().collect();
        let killed: Vec<OwnedFd> = pids.iter().filter_map(|pid| kill(*pid)).collect();
        set_freezer("THAWED");
        if time.is_zero() {
            return;
        }
        for fd in killed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !wait(&fd, left) {
                return;
            }
        }
        if Instant::now() >= deadline {
            return;
        }
    }
}

/// Returns a folder and every folder in it.
fn below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(below(&entry.path()));
        }
    }
    all
}

/// Kills a process; returns a descriptor to wait with.
fn kill(pid: i32) -> Option<OwnedFd> {
    let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let _ = pidfd_send_signal(&fd, Signal::KILL);
    Some(fd)
}

/// Waits for the end of a process; returns false after `time`.
pub(in crate::runtime) fn wait(pidfd: &OwnedFd, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Returns how many processes of a container (its `linux.cgroupsPath`) the kernel has killed because a memory limit was
/// reached. Must be called once, after the container has ended. `None` if the number is unknown because there is no
/// memory controller or the cgroup is gone.
///
/// systemd removes a scope with its last process, so there the increase of the pod's count since the previous call is
/// returned.
pub fn oom_kills(cgroups_path: &str) -> Option<u64> {
    let cgroups = Cgroups::get();
    let memory = cgroups.hierarchy("memory")?;
    if cgroups_path.starts_with('/') {
        return oom_kills_in(memory, &memory.dir(&relative(cgroups_path)));
    }
    let slice = cgroups_path.split(':').next().unwrap_or_default();
    let dir = memory.dir(&relative(slice));
    let count = oom_kills_in(memory, &dir)?;
    let mut known = [0; 32];
    let length = rustix::fs::getxattr(&dir, OOM_KILLS_KNOWN, &mut known).unwrap_or(0);
    let known =
        known.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0);
    let text = count.to_string();
    let _ = rustix::fs::setxattr(&dir, OOM_KILLS_KNOWN, text.as_bytes(), rustix::fs::XattrFlags::empty());
    Some(count.saturating_sub(known))
}

/// Attribute of a pod's slice: the number of OOM kills in it that have been reported.
const OOM_KILLS_KNOWN: &str = "trusted.kube-play.oom-kills";

fn oom_kills_in(memory: &Hierarchy, dir: &Path) -> Option<u64> {
    let file = if memory.unified { "memory.events" } else { "memory.oom_control" };
    let text = fs::read_to_string(dir.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Makes an OOM kill on v2 end the whole container, as Kubernetes does (memory.oom.group).
pub(in crate::runtime) fn kill_as_group(cgroups_path: &str) {
    let cgroups = Cgroups::get();
    if let Some(memory) = cgroups.hierarchy("memory").filter(|one| one.unified) {
        let _ = fs::write(memory.dir(&relative(cgroups_path)).join("memory.oom.group"), "1");
    }
}
