//! Processes of containers, distinguished from later processes with the same pid.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process, identified by its pid and its start time, because a process that reuses the pid has another start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The process id on the host.
    pub pid: i32,
    /// The start time in clock ticks since boot (proc_pid_stat(5), field 22).
    pub start_time: u64,
}

/// Returns field 22 of `/proc/<pid>/stat`. Fields are counted from the last `)`, because the command in field 2 may
/// contain any character.
fn start_time(stat: &str) -> Option<u64> {
    let after = stat.rsplit_once(')')?.1;
    after.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Returns whether a process is stopped by SIGSTOP or a debugger (proc_pid_stat(5), field 3). A process that does not
/// exist is not stopped.
pub fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, after)| after.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
}

impl Process {
    /// Looks up a process; returns `None` if it does not exist.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, start_time: start_time(&stat)? })
    }

    /// Opens a pidfd of the process if the pid still belongs to it.
    pub fn open(self) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::NONBLOCK).ok()?;
        // Checked after the open, because from then on the descriptor cannot refer to another process.
        (Self::of(self.pid)? == self).then_some(fd)
    }

    /// Sends a signal if the pid still belongs to the same process. A process that has ended is no error.
    pub fn signal(self, signal: i32) {
        if let Some(fd) = self.open() {
            send_signal(&fd, signal);
        }
    }
}

/// Kills a process and, of the processes `among`, everything that it started or that is in its session.
pub fn kill_descendants(pid: i32, among: &std::collections::BTreeSet<i32>) {
    let parents: Vec<(i32, i32, i32)> = among
        .iter()
        .filter_map(|of| {
            let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
            // Fields 4 (parent) and 6 (session) of proc_pid_stat(5).
            Some((*of, fields.nth(1)?.parse().ok()?, fields.nth(1)?.parse().ok()?))
        })
        .collect();
    let mut doomed = vec![pid];
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        for (of, ppid, session) in &parents {
            if (*ppid == parent || *session == parent) && !doomed.contains(of) {
                doomed.push(*of);
            }
        }
        next += 1;
    }
    for pid in doomed {
        if let Some(process) = Process::of(pid) {
            process.signal(libc::SIGKILL);
        }
    }
}

/// Sends a signal through a pidfd. A process that has ended is no error.
fn send_signal(pidfd: &OwnedFd, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _ = pidfd_send_signal(pidfd, signal);
        return;
    }
    use std::os::fd::AsRawFd;
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: pidfd_send_signal(2) with a null siginfo touches no memory of ours. Real-time signals have no name in
    // rustix.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
}

#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
}

/// Returns the exit code of an ended process that is not our child, from its pidfd (Linux 6.15 and later:
/// `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`); `None` where the kernel does not report it.
pub fn exit_code_of_adopted(pidfd: &OwnedFd) -> Option<i32> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    nix::ioctl_readwrite!(pidfd_get_info, 0xFF, 11, PidfdInfo);
    use std::os::fd::AsRawFd;
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the structure is the kernel's first published layout (64 bytes), its size is part of the request.
    unsafe { pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) }.ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then(|| wait_status_to_code(info.exit_code))
}

/// Converts a wait(2) status to the number that a shell shows: the exit code, or 128 + signal.
pub fn wait_status_to_code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses_does_not_hide_the_start_time() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(start_time(stat), Some(4242));
    }

    #[test]
    fn the_exit_code_of_a_process_that_is_not_a_child_is_right_or_none() {
        // sh starts a grandchild that outlives sh, so the grandchild is not our child.
        let out = std::process::Command::new("sh")
            .args(["-c", "(read x; exit 3) <&0 >/dev/null 2>&1 & echo $!"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let pid: i32 = String::from_utf8_lossy(&out.stdout).trim().parse().unwrap();
        if let Some(fd) = Process::of(pid).and_then(Process::open) {
            let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
            assert!(matches!(exit_code_of_adopted(&fd), None | Some(3)));
        }
    }
}
