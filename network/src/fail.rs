//! Fail points: steps at which a test ends or halts a process, to see what a crash there leaves, and which a trace
//! tells the time of.
//!
//! `KUBE_TRACE=FILE` has every process add a line to FILE at each step: microseconds since boot, its pid, the step.
//!
//! In debug builds, `KUBE_FAIL_POINT=NAME:ACTION:N:FILE` makes the process that is the N-th (from 0) to reach the point
//! NAME write its pid to FILE and then, by ACTION, `kill` itself, kill its `supervisor` and itself, or `stop` until
//! it is continued. It happens once: who comes later finds the file.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;

/// The variable that chooses a fail point; supervisors and name servers get it from their starters.
pub const FAIL_POINT: &str = "KUBE_FAIL_POINT";

/// The variable that names the file of a trace; passed on likewise.
pub const TRACE: &str = "KUBE_TRACE";

/// A step has been done, or is about to be.
pub fn fail_point(name: &'static str) {
    trace(name);
    #[cfg(debug_assertions)]
    if let Ok(wish) = std::env::var(FAIL_POINT)
        && wish.split(':').next() == Some(name)
    {
        imp::reached(&wish);
    }
}

fn trace(name: &str) {
    static FILE: OnceLock<Option<OsString>> = OnceLock::new();
    let Some(path) = FILE.get_or_init(|| std::env::var_os(TRACE)) else { return };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let line = format!("{} {} {name}\n", now.tv_sec * 1_000_000 + now.tv_nsec / 1000, std::process::id());
    // Opened each time: nothing that is inherited may stay open.
    if let Ok(mut file) = File::options().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

/// This process is the supervisor that an action `supervisor` means.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn fail_points_in_supervisor() {}

/// This process is the supervisor that an action `supervisor` means.
#[cfg(debug_assertions)]
pub fn fail_points_in_supervisor() {
    imp::SUPERVISOR.store(std::process::id(), std::sync::atomic::Ordering::Relaxed);
}

#[cfg(debug_assertions)]
mod imp {
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Pid, Signal, getpid, kill_process};

    /// Forked workers know it too.
    pub(super) static SUPERVISOR: AtomicU32 = AtomicU32::new(0);

    pub(super) fn reached(wish: &str) {
        let mut parts = wish.splitn(4, ':').skip(1);
        let (Some(action), Some(n), Some(file)) = (parts.next(), parts.next(), parts.next()) else { return };
        let last = n.parse().unwrap_or(0);
        let claim = |n: u32| {
            let path = if n == last { file.to_owned() } else { format!("{file}.{n}") };
            std::fs::File::options().write(true).create_new(true).open(path)
        };
        // Each visit takes the first number that is free.
        let Some(mut mark) = (0..=last).find_map(|n| Some((n, claim(n).ok()?))) else { return };
        if mark.0 != last {
            return;
        }
        let _ = writeln!(mark.1, "{}", std::process::id());
        match action {
            "stop" => {
                let _ = kill_process(getpid(), Signal::STOP);
            }
            action => {
                let supervisor =
                    i32::try_from(SUPERVISOR.load(Ordering::Relaxed)).ok().and_then(Pid::from_raw);
                if let ("supervisor", Some(pid)) = (action, supervisor) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                let _ = kill_process(getpid(), Signal::KILL);
            }
        }
    }
}
