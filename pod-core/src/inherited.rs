//! What a process inherits from its parent, and how our long-lived processes reset it.
//!
//! Without a reset, a supervisor and everything that it starts, most of all containers, would depend on the shell,
//! service or job that `kube play` was called from: on signals that it ignores (nohup), descriptors that it holds open
//! (a lock), its priority, its limits. [`reset`] is the one place that resets all of this; [`environment`] defines what
//! is kept of the environment, and [`crate::runtime::cgroup::leave_callers`] leaves the caller's control group.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The umask of a long-lived process. Files that it creates for containers are readable to them; its own folders are
/// created private ([`base::file::create_private_dir_all`]).
pub const UMASK: u32 = 0o022;

/// The umask of a command: only the user can access what it creates.
pub const COMMAND_UMASK: u32 = 0o077;

/// The folders in which programs are searched, after those of the caller's PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables that a supervisor keeps of its starter's environment: settings of tests and of cgroups, and what a
/// later pull of an image has to know about the user.
const PASSED_ON: [&str; 17] = [
    crate::version::TEST_FORMAT,
    base::fail_point::FAIL_POINT,
    base::fail_point::TRACE,
    crate::runtime::cgroup::DRIVER_VARIABLE,
    crate::runtime::cgroup::PIDS_VARIABLE,
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "REGISTRY_AUTH_FILE",
    "DOCKER_CONFIG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
];

/// Resets one property of this process.
type Step = fn() -> io::Result<()>;

/// A soft and a hard limit; `None` is unlimited.
type Limit = (Option<u64>, Option<u64>);

/// The limit that allows everything.
const UNLIMITED: Limit = (None, None);

/// The limits of every container, independent of those of its starter. They are the limits that the kernel gives the
/// first process (INIT_RLIMITS in the kernel's include/asm-generic/resource.h), except NOFILE and NPROC. The limit of
/// open files is that of Bottlerocket: enough for a server, but not a million descriptors for programs that close all
/// possible ones. The number of processes is limited by the pod's cgroup and not per user, because containers that run
/// as the same uid are independent of each other.
const LIMITS: &[(Resource, &str, Limit)] = &[
    (Resource::Cpu, "cpu", UNLIMITED),
    (Resource::Fsize, "fsize", UNLIMITED),
    (Resource::Data, "data", UNLIMITED),
    (Resource::Stack, "stack", (Some(8 << 20), None)),
    (Resource::Core, "core", (Some(0), None)),
    (Resource::Rss, "rss", UNLIMITED),
    (Resource::Nproc, "nproc", UNLIMITED),
    (Resource::Nofile, "nofile", (Some(65_536), Some(1_048_576))),
    (Resource::Memlock, "memlock", (Some(8 << 20), Some(8 << 20))),
    (Resource::As, "as", UNLIMITED),
    (Resource::Locks, "locks", UNLIMITED),
    (Resource::Msgqueue, "msgqueue", (Some(819_200), Some(819_200))),
    (Resource::Nice, "nice", (Some(0), Some(0))),
    (Resource::Rtprio, "rtprio", (Some(0), Some(0))),
    (Resource::Rttime, "rttime", UNLIMITED),
];

/// Resets this process to the state in which every container starts, independent of its starter: signals, open
/// descriptors except the standard three and `keep`, CPU affinity, priorities, limits, umask and everything else that
/// fork(2) and execve(2) pass on. Returns a message for each reset that this host does not allow. Must be called before
/// anything else, while the process has one thread.
pub fn reset(keep: &[RawFd]) -> Vec<String> {
    let mut lacks = reset_but_mask(keep);
    if let Err(e) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
        lacks.push(format!("cannot unblock all signals: {e}"));
    }
    lacks
}

/// Does [`reset`] without the signal mask, for a process that was reset before and has become another program since.
/// Signals that it has blocked stay pending.
pub fn reset_but_mask(keep: &[RawFd]) -> Vec<String> {
    close_descriptors(keep);
    let _ = std::env::set_current_dir("/");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(UMASK));
    let steps: [(&str, Step); 9] = [
        ("reset the handling of signals", default_signals),
        ("run on every CPU", default_affinity),
        ("use the memory of every node", default_memory_policy),
        ("reset the caller's scheduling policy", default_policy),
        ("reset the caller's niceness", default_niceness),
        ("reset the caller's I/O priority", default_io_priority),
        ("reset the caller's execution domain", default_personality),
        ("reset the caller's oom_score_adj", default_oom_score),
        ("reset the caller's process settings", default_settings),
    ];
    let mut lacks: Vec<String> =
        steps.iter().filter_map(|(what, step)| Some(format!("cannot {what}: {}", step().err()?))).collect();
    lacks.extend(default_limits());
    // SAFETY: asks for a flag of this process.
    if unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } == 1 {
        lacks.push(
            "no_new_privs is set on the caller: setuid programs in containers do not raise privileges".into(),
        );
    }
    lacks
}

/// Prepares a process that runs a command: sets the umask of commands and returns the caller's, and makes sure that the
/// ends of children are reported. A command keeps everything else, because a user who starts it with nohup wants that.
pub fn begin_command() -> rustix::fs::Mode {
    // SAFETY: the default action is no handler.
    let _ = unsafe {
        nix::sys::signal::signal(nix::sys::signal::Signal::SIGCHLD, nix::sys::signal::SigHandler::SigDfl)
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(COMMAND_UMASK))
}

/// Returns the environment of a long-lived process, given that of its starter.
pub fn environment(callers: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let path = search_path(&callers("PATH").unwrap_or_default());
    let passed_on = PASSED_ON.into_iter().filter_map(|name| Some((name, callers(name)?)));
    std::iter::once(("PATH", path)).chain(passed_on).collect()
}

/// Returns the absolute folders of a PATH, followed by the usual ones. `nft` and runtimes are in folders that the PATH
/// of a service or a cron job often lacks.
fn search_path(callers: &OsStr) -> OsString {
    let mut folders = Vec::new();
    for folder in std::env::split_paths(callers).chain(std::env::split_paths(DEFAULT_PATH)) {
        if folder.is_absolute() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    std::env::join_paths(folders).unwrap_or_else(|_| DEFAULT_PATH.into())
}

fn close_descriptors(keep: &[RawFd]) {
    for fd in crate::runtime::worker::open_descriptors(3) {
        if !keep.contains(&fd) {
            // SAFETY: this process has just begun and uses no descriptor that it has not opened itself.
            unsafe { libc::close(fd) };
        }
    }
}

/// Converts the result of a system call.
fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Resets ignored signals and the signal mask, which both survive execve(2). Rust itself ignores SIGPIPE, and workers
/// reset that.
fn default_signals() -> io::Result<()> {
    /// The size of the kernel's signal sets: one bit for each of 64 signals.
    const SET_SIZE: usize = 8;
    for number in (1..=64).filter(|number| !matches!(*number, libc::SIGKILL | libc::SIGSTOP | libc::SIGPIPE))
    {
        // The kernel's own structure: the handler, followed by three words in an order that depends on the
        // architecture. The functions of the C library refuse two signals that the library reserves for itself.
        let mut action = [0_usize; 4];
        // SAFETY: the kernel writes at most four words.
        unsafe {
            let (none, to) = (std::ptr::null::<usize>(), action.as_mut_ptr());
            check(libc::syscall(libc::SYS_rt_sigaction, number, none, to, SET_SIZE))?;
        }
        if action.first() == Some(&libc::SIG_IGN) {
            let default = [libc::SIG_DFL, 0, 0, 0];
            // SAFETY: the default action has no handler, no flags and no mask; the kernel reads at most four words.
            unsafe {
                let (from, none) = (default.as_ptr(), std::ptr::null::<usize>());
                check(libc::syscall(libc::SYS_rt_sigaction, number, from, none, SET_SIZE))?;
            }
        }
    }
    Ok(())
}

/// Sets the CPUs of the machine's first process, because an administrator may have withheld some CPUs from all
/// processes (isolcpus, systemd's CPUAffinity=).
fn default_affinity() -> io::Result<()> {
    // Room for 8192 CPUs, the maximum of the kernel's configuration.
    let mut mask = [0_u8; 1024];
    // SAFETY: the mask is as long as it is said to be.
    let of_first = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 1, mask.len(), mask.as_mut_ptr()) };
    if of_first <= 0 {
        mask.fill(0xff);
    }
    // SAFETY: as above; the kernel reads it.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len(), mask.as_ptr()) })
}

fn default_memory_policy() -> io::Result<()> {
    const MPOL_DEFAULT: libc::c_int = 0;
    // SAFETY: the default policy has no nodes to read.
    let set =
        check(unsafe { libc::syscall(libc::SYS_set_mempolicy, MPOL_DEFAULT, std::ptr::null::<u8>(), 0) });
    match set {
        // On a host that does not allow this call no other process has set a policy either.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => Ok(()),
        set => set,
    }
}

fn default_policy() -> io::Result<()> {
    // SAFETY: asks for the policy of this process, with its flag.
    if unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER {
        return Ok(());
    }
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameter lives as long as the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const priority) }.into())
}

fn default_niceness() -> io::Result<()> {
    match rustix::process::getpriority_process(None) {
        Ok(0) => Ok(()),
        _ => Ok(rustix::process::setpriority_process(None, 0)?),
    }
}

fn default_io_priority() -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    /// No class: the priority follows from the niceness.
    const NO_CLASS: libc::c_int = 0;
    // SAFETY: sets a number of this process.
    match check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, NO_CLASS) }) {
        // The kernel has no support for block devices.
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        set => set,
    }
}

fn default_personality() -> io::Result<()> {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: asks, or sets, a number of this process.
    match unsafe { libc::personality(ASK) } {
        0 => Ok(()),
        // SAFETY: as above.
        _ => check(unsafe { libc::personality(0) }.into()),
    }
}

fn default_oom_score() -> io::Result<()> {
    let path = "/proc/self/oom_score_adj";
    if fs::read_to_string(path)?.trim() == "0" { Ok(()) } else { fs::write(path, "0") }
}

fn default_settings() -> io::Result<()> {
    /// Nanoseconds (PR_SET_TIMERSLACK in prctl(2)).
    const TIMER_SLACK: libc::c_ulong = 50_000;
    // SAFETY: both set a number of this process.
    unsafe {
        check(libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0).into())?;
        // Kernels without huge pages do not know this setting.
        libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
    }
    // The first process has the filter that the kernel's command line sets.
    let filter = |pid: &str| fs::read_to_string(Path::new("/proc").join(pid).join("coredump_filter"));
    match (filter("1"), filter("self")) {
        (Ok(first), Ok(own)) if first != own => {
            fs::write("/proc/self/coredump_filter", format!("0x{}", first.trim()))
        }
        _ => Ok(()),
    }
}

/// Sets [`LIMITS`] as far as this process may. Returns a message for each limit that stays lower.
fn default_limits() -> Vec<String> {
    let mut lacks = Vec::new();
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // The kernel gives its first process half of the threads that it has room for (kernel/fork.c).
    let pending = number("/proc/sys/kernel/threads-max").map(|threads| threads / 2);
    let pending = pending.map(|most| (Resource::Sigpending, "sigpending", (Some(most), Some(most))));
    for (resource, name, wanted) in LIMITS.iter().copied().chain(pending) {
        let most = if resource == Resource::Nofile { number("/proc/sys/fs/nr_open") } else { None };
        let wanted = (least(wanted.0, most), least(wanted.1, most));
        let set = |(current, maximum): Limit| setrlimit(resource, Rlimit { current, maximum });
        if set(wanted).is_ok() {
            continue;
        }
        let Rlimit { maximum, .. } = getrlimit(resource);
        let allowed = attainable(wanted, maximum);
        match set(allowed) {
            Ok(()) => lacks.push(format!(
                "the limit {name} cannot be raised beyond the caller's {} (CAP_SYS_RESOURCE is missing)",
                shown(allowed.1)
            )),
            Err(e) => lacks.push(format!("the limit {name} cannot be set: {e}")),
        }
    }
    lacks
}

/// Returns the limit nearest to the wanted one that a process can set without raising its hard limit.
fn attainable((soft, hard): Limit, maximum: Option<u64>) -> Limit {
    let hard = least(hard, maximum);
    (least(soft, hard), hard)
}

/// Returns the lower limit, where `None` is unlimited.
fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_the_hard_one_allows() {
        let wanted = (Some(65_536), Some(1_048_576));
        assert_eq!(attainable(wanted, None), wanted);
        assert_eq!(attainable(wanted, Some(100_000)), (Some(65_536), Some(100_000)));
        assert_eq!(attainable(wanted, Some(1024)), (Some(1024), Some(1024)));
        assert_eq!(attainable(UNLIMITED, Some(7)), (Some(7), Some(7)));
        assert_eq!(attainable(UNLIMITED, None), UNLIMITED);
        assert_eq!(attainable((Some(0), None), Some(7)), (Some(0), Some(7)));
    }

    #[test]
    fn no_soft_limit_is_above_its_hard_limit() {
        for (_, name, (soft, hard)) in LIMITS {
            assert_eq!(least(*soft, *hard), *soft, "{name}");
        }
    }

    #[test]
    fn only_named_variables_of_the_environment_are_kept() {
        let callers = |name: &str| match name {
            "PATH" => Some("bin:/opt/bin::/usr/bin".into()),
            "HOME" => Some("/root".into()),
            "LD_PRELOAD" | "NOTIFY_SOCKET" => Some("/evil".into()),
            _ => None,
        };
        let kept = environment(callers);
        let path = "/opt/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin";
        assert_eq!(kept, [("PATH", OsString::from(path)), ("HOME", "/root".into())]);
        assert_eq!(environment(|_| None), [("PATH", OsString::from(DEFAULT_PATH))]);
    }
}
