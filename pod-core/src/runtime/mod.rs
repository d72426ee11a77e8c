//! OCI: container specs, and create/start/exec/delete behind one trait.
//!
//! Everything here is called in a short-lived worker forked from the single-threaded supervisor (libcontainer
//! forks with raw clone3 and changes its caller), never from a process with threads; [`cgroup::Warm`] alone is for
//! commands.

pub mod cgroup;
pub mod console;
mod executor;
mod external;
mod failures;
mod guard;
pub mod host;
pub mod infra;
mod libcontainer;
mod rootfs;
pub mod sealed_exe;
pub mod seccomp;
pub mod spec;
pub mod worker;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What can go wrong in a runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A runtime's own words.
    #[error("{action} container {id}: {message}")]
    Failed {
        /// "create", "start", ...
        action: &'static str,
        /// Container id.
        id: String,
        /// What it said.
        message: String,
    },
    /// A file, a socket or a call to the kernel.
    #[error("{action} {subject}: {source}")]
    Io {
        /// What was tried: "read", "mount", ...
        action: &'static str,
        /// With what: a path, mostly.
        subject: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of ours.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A container that no runtime can be asked for.
    #[error("OCI spec: {0}")]
    Spec(String),
    /// A seccomp profile that says nothing sensible.
    #[error("seccomp profile {profile}: {message}")]
    Seccomp {
        /// Its file, or "built in".
        profile: String,
        /// What is wrong with it.
        message: String,
    },
    /// `--runtime` names a program that is not there.
    #[error("OCI runtime {name:?} is not installed: no such program in PATH")]
    NoRuntime {
        /// As given.
        name: String,
    },
    /// More than one thing went wrong while undoing.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Many(Vec<Error>),
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Error {
    /// An I/O error with what was tried and where; shaped for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let subject = path.display().to_string();
        move |source| Self::Io { action, subject, source: source.into() }
    }
    /// As [`Error::io`], for what is no path.
    pub(crate) fn call<E: Into<io::Error>>(action: &'static str, subject: &str) -> impl FnOnce(E) -> Self {
        let subject = subject.to_owned();
        move |source| Self::Io { action, subject, source: source.into() }
    }
    pub(crate) fn failed(action: &'static str, id: &str, message: impl ToString) -> Self {
        Self::Failed { action, id: id.to_owned(), message: message.to_string() }
    }
    /// What a runtime said, for who knows which container it is about; else as it reads in full.
    pub fn of_container(&self) -> String {
        match self {
            Self::Failed { message, .. } => message.clone(),
            error => error.to_string(),
        }
    }
    pub(crate) fn seccomp<E: std::fmt::Display>(profile: &str) -> impl FnOnce(E) -> Self + use<E> {
        let profile = profile.to_owned();
        move |error| Self::Seccomp { profile, message: error.to_string() }
    }
    /// `Ok` when nothing went wrong, else all that did.
    pub(crate) fn gather(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Many(errors)),
        }
    }
}

/// Standard streams of a container. Descriptors always, never inherited.
#[derive(Debug)]
pub struct Stdio<'a> {
    /// stdin.
    pub stdin: BorrowedFd<'a>,
    /// stdout.
    pub stdout: BorrowedFd<'a>,
    /// stderr.
    pub stderr: BorrowedFd<'a>,
}

/// A container to make from a bundle whose config.json lies on disk. Its root is in a mount namespace of the caller's
/// own: volumes are mounted into it there.
#[derive(Debug)]
pub struct Create<'a> {
    /// Unique on this host.
    pub id: &'a str,
    /// Folder with config.json.
    pub bundle: &'a Path,
    /// Its streams; unused where `console_socket` is set.
    pub stdio: Stdio<'a>,
    /// With `process.terminal`: where the runtime sends the pty master (SCM_RIGHTS).
    pub console_socket: Option<&'a Path>,
}

/// A process to run in a running container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container.
    pub id: &'a str,
    /// Its bundle (process defaults, seccomp and capabilities are taken from its config.json).
    pub bundle: &'a Path,
    /// argv.
    pub args: &'a [String],
    /// Added to the container's environment.
    pub env: &'a [(String, String)],
    /// With a terminal of its own.
    pub tty: bool,
    /// Rows and columns of that terminal, from before the process starts.
    pub size: Option<(u16, u16)>,
    /// Its streams; unused where `console_socket` is set.
    pub stdio: Stdio<'a>,
    /// With `tty`: where the pty master goes.
    pub console_socket: Option<&'a Path>,
}

/// An OCI runtime. Signals do not go through it: a pidfd and a cgroup are surer than an id.
pub trait Runtime {
    /// Makes a container up to the point where `start` runs its process; its pid.
    fn create(&self, create: &Create<'_>) -> Result<i32, Error>;
    /// Lets the process of a created container run.
    fn start(&self, id: &str) -> Result<(), Error>;
    /// Removes a container, killing what is left of it; one that is gone is fine.
    fn delete(&self, id: &str) -> Result<(), Error>;
    /// Runs a process in it; its pid. The process is a child of the caller or of its subreaper.
    fn exec(&self, exec: &Exec<'_>) -> Result<i32, Error>;
}

/// libcontainer, or the OCI runtime program that `--runtime` names. `state` is a folder for its state.
///
/// # Errors
/// [`Error::NoRuntime`] when there is no such program.
pub fn open(runtime: Option<&str>, state: &Path) -> Result<Box<dyn Runtime>, Error> {
    Ok(match runtime {
        None | Some("" | "libcontainer") => Box::new(libcontainer::Libcontainer::open(state)),
        Some(name) => Box::new(external::External::open(name, state)?),
    })
}

/// Removes what an OCI runtime program and our calls of it have left on disk of a container of which nothing runs any
/// more.
///
/// # Errors
/// When a folder stays.
pub fn forget_external(state: &Path, id: &str) -> Result<(), Error> {
    external::forget(state, id)
}

/// What a container of a pod joins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Pid of the infra container: its ipc, uts (and pid) namespaces are joined. 0: there is none yet.
    pub infra_pid: i32,
    /// The network namespace (bind mount); `None`: the host's.
    pub netns: Option<PathBuf>,
    /// shareProcessNamespace.
    pub share_pid: bool,
    /// hostPID.
    pub host_pid: bool,
    /// hostIPC.
    pub host_ipc: bool,
    /// Files to bind over /etc/hosts, /etc/hostname, /etc/resolv.conf.
    pub etc: PathBuf,
    /// The pod's own /dev/shm ([`infra::mount_shm`]), bound into each container; empty with hostIPC.
    #[serde(default)]
    pub shm: PathBuf,
    /// The pod's cgroup, as [`cgroup::PodCgroup::path`] gives it.
    pub cgroup: String,
}
