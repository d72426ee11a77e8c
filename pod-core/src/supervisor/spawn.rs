//! Starts the detached supervisor of a workload.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Error;
use crate::inherited;
use crate::runtime::{cgroup, sealed_exe};
use crate::store::{Layout, WorkloadId};

/// The first argument that makes `kube` a supervisor.
pub const SUPERVISE: &str = "supervise";

/// The result of starting a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spawned {
    /// The supervisor's socket listens.
    Listens,
    /// Another process holds the workload: a supervisor that may not listen yet or is about to end, or a command that
    /// writes the record. The new supervisor has ended.
    Busy,
    /// The workload was removed in the meantime.
    Gone,
}

/// Starts the supervisor of a recorded workload. Returns once the supervisor's socket listens, or once it has ended
/// because another process holds the workload.
pub fn spawn(exe: &Path, layout: &Layout, id: &WorkloadId) -> Result<Spawned, Error> {
    let dir = layout.workload_run(id);
    base::file::create_private_dir_all(&dir).map_err(crate::store::Error::io("create", &dir))?;
    let log_path = dir.join("log");
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(crate::store::Error::io("open", &log_path))?;
    base::fail_point!(Command, "supervisor-folder-made");
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::Spawn(e.into()))?;
    let ready = write.as_fd().as_raw_fd();
    let sealed = sealed_exe::sealed(exe);
    let mut command = match &sealed {
        Some(sealed) => Command::new(format!("/proc/self/fd/{}", sealed.as_raw_fd())),
        None => Command::new(exe),
    };
    command.env_clear();
    if sealed.is_some() {
        command.env(sealed_exe::PROGRAM, exe);
    }
    command
        .arg0(exe)
        .arg(SUPERVISE)
        .arg(&layout.root)
        .arg(&layout.runroot)
        .arg(id.key())
        .current_dir("/")
        .envs(inherited::environment(|name| std::env::var_os(name)))
        .env(READY_FD, ready.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone().map_err(Error::Spawn)?))
        .stderr(Stdio::from(log));
    // SAFETY: only async-signal-safe calls between fork and exec: setsid, fcntl, fork, _exit.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 || libc::fcntl(ready, libc::F_SETFD, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // After the second fork init is the supervisor's parent, so that the supervisor does not become a zombie of
            // a waiting `kube`.
            match libc::fork() {
                0 => Ok(()),
                pid if pid > 0 => libc::_exit(0),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    // std's own exec-error pipe stays open in the grandchild until its exec, so errors of that exec are still reported.
    let mut child = command.spawn().map_err(Error::Spawn)?;
    drop(write);
    base::fail_point!(Command, "supervisor-forked");
    let _ = child.wait();
    let mut word = String::new();
    std::fs::File::from(read).read_to_string(&mut word).map_err(Error::Spawn)?;
    match word.as_str() {
        READY => Ok(Spawned::Listens),
        BUSY => Ok(Spawned::Busy),
        GONE => Ok(Spawned::Gone),
        _ => Err(Error::NotStarted { log: log_path, said: word }),
    }
}

/// The variable with the number of the descriptor on which a supervisor reports to its starter that it listens.
pub const READY_FD: &str = "KUBE_READY_FD";
/// The report of a supervisor that listens.
pub const READY: &str = "ready";
/// The report of a supervisor whose workload another process holds.
pub const BUSY: &str = "busy";
/// The report of a supervisor whose workload is no longer recorded.
pub const GONE: &str = "gone";

/// Resets everything that a process has inherited from its starter (a supervisor's worker, or a command that found no
/// name server) before the process becomes the name server of all pods. Must be called before anything else.
pub fn detach_name_server() {
    detach(&[], "dns", "all pods");
}

/// Does the same for the process that becomes the proxy of Ingresses, which keeps the descriptor on which its starter
/// waits. Gives up every capability but that to listen on ports below 1024, because the process reads what strangers send.
pub fn detach_ingress_proxy() {
    let ready = std::env::var(::ingress::READY_VARIABLE).ok().and_then(|number| number.parse().ok());
    let keep: Vec<RawFd> = ready.into_iter().collect();
    detach(&keep, "ingress", "all Ingresses");
    if let Err(e) = drop_capabilities() {
        tracing::warn!("the Ingress proxy keeps capabilities that it does not need: {e}");
    }
}

fn drop_capabilities() -> Result<(), CapsError> {
    let needed: CapsHashSet = [Capability::CAP_NET_BIND_SERVICE].into();
    let kept: CapsHashSet = caps::read(None, CapSet::Permitted)?.intersection(&needed).copied().collect();
    caps::clear(None, CapSet::Ambient)?;
    for capability in caps::read(None, CapSet::Bounding)? {
        if !needed.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)?;
    // SAFETY: sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    Ok(())
}

fn detach(keep: &[RawFd], role: &str, subject: &str) {
    let mut lacks = inherited::reset(keep);
    lacks.extend(cgroup::leave_callers(role, subject).err().map(|e| e.to_string()));
    for lack in lacks {
        tracing::debug!("{lack}");
    }
}
