//! Fail points: named steps of the program at which a test kills or halts the process, to see what a crash there
//! leaves behind. A trace records when each process reaches which step.
//!
//! A step is marked with [`fail_point!`](crate::fail_point!), which takes its [`FailPointClass`] and its name. The walk
//! of crashes (tests/tests/e2e/crashes.rs) finds all calls in the sources and treats each point by its class.
//!
//! `KUBE_TRACE=FILE` makes every process append a line to FILE at each step: microseconds since boot, pid, name.
//!
//! In debug builds, `KUBE_FAIL_POINT=NAME:ACTION:N:FILE` selects one visit: the N-th (from 0) process that reaches the
//! point NAME writes its pid to FILE. Then it does ACTION: `kill` kills it, `supervisor` kills its supervisor and it,
//! `stop` halts it until it is continued. This happens once, because FILE exists from then on.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;

/// The environment variable that selects a fail point. Supervisors and name servers inherit it from their starters.
pub const FAIL_POINT: &str = "KUBE_FAIL_POINT";

/// The environment variable that names the file of a trace. It is inherited like [`FAIL_POINT`].
pub const TRACE: &str = "KUBE_TRACE";

/// Which process reaches a fail point, and so what the walk of crashes does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPointClass {
    /// A `kube` command reaches it. The walk kills that process.
    Command,
    /// A supervisor, or a process that it forks for one `exec`, reaches it. The walk kills that process.
    Supervisor,
    /// A worker of a supervisor, or code that workers share with commands, reaches it. The walk kills that process, the
    /// supervisor with it, and, while it is halted there, the `kube` that waits and the name server.
    Worker,
    /// A command that pulls or removes an image reaches it. The walk kills that process in the course of a pull.
    Pull,
    /// It is reached only where a `kube` meets a supervisor of an older one. tests/tests/e2e/versions.rs kills the process
    /// there.
    HandOver,
    /// It is reached only where a disk is full. tests/tests/e2e/full_disk.rs kills the process there.
    FullDisk,
}

/// Marks a step that has been done, or that is about to be done, as a fail point.
///
/// ```
/// base::fail_point!(Worker, "namespace-made");
/// ```
///
/// The first word is a variant of [`FailPointClass`](crate::fail_point::FailPointClass), the second the name of the
/// point. Both are written as literals, because the walk of crashes reads them from the sources.
#[macro_export]
macro_rules! fail_point {
    ($class:ident, $name:literal) => {{
        const _: $crate::fail_point::FailPointClass = $crate::fail_point::FailPointClass::$class;
        $crate::fail_point::reach($name);
    }};
}

/// Traces a step and crashes the process if it is selected. Called by [`fail_point!`](crate::fail_point!) only.
#[doc(hidden)]
pub fn reach(name: &'static str) {
    trace(name);
    #[cfg(debug_assertions)]
    if let Ok(fail_point_spec) = std::env::var(FAIL_POINT)
        && fail_point_spec.split(':').next() == Some(name)
    {
        crash::at_selected_point(&fail_point_spec);
    }
}

fn trace(name: &str) {
    static FILE: OnceLock<Option<OsString>> = OnceLock::new();
    let Some(path) = FILE.get_or_init(|| std::env::var_os(TRACE)) else { return };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let line = format!("{} {} {name}\n", now.tv_sec * 1_000_000 + now.tv_nsec / 1000, std::process::id());
    // The file is opened for each line, because no descriptor of it may be inherited by another process.
    if let Ok(mut file) = File::options().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

/// Makes this process the supervisor that the action `supervisor` kills.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn register_supervisor() {}

/// Makes this process the supervisor that the action `supervisor` kills.
#[cfg(debug_assertions)]
pub fn register_supervisor() {
    crash::SUPERVISOR.store(std::process::id(), std::sync::atomic::Ordering::Relaxed);
}

#[cfg(debug_assertions)]
mod crash {
    use std::fs::File;
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Pid, Signal, getpid, kill_process};

    /// Pid of the supervisor, or 0. Workers inherit it, because they are forked.
    pub(super) static SUPERVISOR: AtomicU32 = AtomicU32::new(0);

    /// Counts the visit, and crashes the process if it is the selected one.
    pub(super) fn at_selected_point(fail_point_spec: &str) {
        let mut parts = fail_point_spec.splitn(4, ':').skip(1);
        let (Some(action), Some(n), Some(file)) = (parts.next(), parts.next(), parts.next()) else { return };
        let last = n.parse().unwrap_or(0);
        let claim = |n: u32| {
            let path = if n == last { file.to_owned() } else { format!("{file}.{n}") };
            File::options().write(true).create_new(true).open(path)
        };
        // Each visit claims the first number that is free.
        let Some((visit, mut mark)) = (0..=last).find_map(|n| Some((n, claim(n).ok()?))) else { return };
        if visit != last {
            return;
        }
        let _ = writeln!(mark, "{}", std::process::id());
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
