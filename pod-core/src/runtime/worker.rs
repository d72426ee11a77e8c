//! Prepares a worker forked from the supervisor before it calls a runtime.

use std::os::fd::RawFd;

/// Prepares a freshly forked worker: no descriptor except the standard three survives an exec (CVE-2024-21626 was such
/// a descriptor), and no environment variable makes a runtime keep some (`LISTEN_FDS`).
///
/// What libcontainer changes (working directory, dumpable, oom_score_adj) then changes in the worker only. Must be
/// called while the process has one thread.
pub fn prepare_worker() {
    close_on_exec_from(3);
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"] {
        if std::env::var_os(name).is_some() {
            // SAFETY: the caller has one thread, so no other thread reads the environment at the same time.
            unsafe { std::env::remove_var(name) };
        }
    }
}

/// Sets close-on-exec on every descriptor from `first` on.
pub(super) fn close_on_exec_from(first: RawFd) {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: changes flags of descriptors only; no memory is involved.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) } == 0;
    if done {
        return;
    }
    // For kernels before 5.11.
    for fd in open_descriptors(first) {
        // SAFETY: sets a flag; for a number that is not a descriptor any more the call fails and changes nothing.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Returns every descriptor of this process from `first` on.
pub(crate) fn open_descriptors(first: RawFd) -> Vec<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let listed: Vec<RawFd> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd >= first)
        .collect();
    // Removes the descriptor of the listing itself, which is closed now.
    // SAFETY: reads a flag and accesses no memory.
    listed.into_iter().filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0).collect()
}
