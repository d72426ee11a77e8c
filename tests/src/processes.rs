//! Processes of the host, as /proc shows them.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id on the host.
    pub pid: i32,
    /// argv, separated by spaces.
    pub command: String,
    /// `/proc/PID/cgroup`.
    pub cgroup: String,
}

/// Returns all processes, without kernel threads and zombies.
pub fn processes() -> Vec<Process> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::of).filter(|p| !p.command.is_empty()).collect()
}

impl Process {
    /// Returns the process with this id, if there is one.
    pub fn of(pid: i32) -> Option<Self> {
        let command = String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)
            .trim_end_matches('\0')
            .replace('\0', " ");
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Some(Self { pid, command, cgroup })
    }

    /// Returns the contents of a file in `/proc/PID`.
    #[track_caller]
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid))
            .unwrap_or_else(|e| panic!("/proc/{}/{name}: {e}", self.pid))
    }

    /// Returns a field of `/proc/PID/status`.
    #[track_caller]
    pub fn status(&self, field: &str) -> String {
        let status = self.file("status");
        let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
    }

    /// Waits until the process has ended. Returns false if it has not after `limit`.
    pub fn ends_within(&self, limit: Duration) -> bool {
        let Ok(fd) = pidfd(self.pid) else { return true };
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => panic!("poll: {e}"),
            }
        }
    }

    /// Sends a signal to the process, if it still exists.
    pub fn kill(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal);
    }
}

fn pidfd(pid: i32) -> rustix::io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(rustix::io::Errno::INVAL)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
}
