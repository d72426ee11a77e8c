//! OCI runtimes: container specs, and create/start/exec/delete as one trait.
//!
//! Everything here must be called in a short-lived worker forked from the single-threaded supervisor, never in a
//! process with threads, because libcontainer forks with raw clone3 and changes its caller. Only [`cgroup::Warm`] is
//! for commands.

pub mod app_armor;
pub mod cdi;
pub mod cgroup;
pub mod console;
mod executor;
mod external;
mod failures;
mod guard;
pub mod host;
pub mod infra;
mod libcontainer;
mod mount_attributes;
mod rlimits;
mod rootfs;
pub mod sealed_exe;
pub mod seccomp;
pub mod selinux;
pub mod spec;
pub mod user_namespace;
pub mod worker;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Errors of runtimes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that a runtime reports.
    #[error("{action} container {id}: {message}")]
    Failed {
        /// "create", "start", ...
        action: &'static str,
        /// Container id.
        id: String,
        /// The runtime's message.
        message: String,
    },
    /// A file, a socket or a system call failed.
    #[error("{action} {subject}: {source}")]
    Io {
        /// What was attempted: "read", "mount", ...
        action: &'static str,
        /// The object of the attempt, usually a path.
        subject: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// One of our own files cannot be read or written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A file cannot be given an SELinux label.
    #[error(transparent)]
    Label(#[from] selinux::Error),
    /// A container that cannot be expressed as an OCI spec.
    #[error("OCI spec: {0}")]
    Spec(String),
    /// A seccomp profile that is invalid.
    #[error("seccomp profile {profile}: {message}")]
    Seccomp {
        /// Its file, or "built in".
        profile: String,
        /// What is wrong with it.
        message: String,
    },
    /// `--runtime` names a program that is not installed.
    #[error("OCI runtime {name:?} is not installed: no such program in PATH")]
    NoRuntime {
        /// The name as given.
        name: String,
    },
    /// Several errors of a removal.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Many(Vec<Error>),
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Error {
    /// Returns a function for `map_err` that adds action and path to an I/O error.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let subject = path.display().to_string();
        move |source| Self::Io { action, subject, source: source.into() }
    }
    /// Like [`Error::io`], for a subject that is not a path.
    pub(crate) fn call<E: Into<io::Error>>(action: &'static str, subject: &str) -> impl FnOnce(E) -> Self {
        let subject = subject.to_owned();
        move |source| Self::Io { action, subject, source: source.into() }
    }
    pub(crate) fn failed(action: &'static str, id: &str, message: impl ToString) -> Self {
        Self::Failed { action, id: id.to_owned(), message: message.to_string() }
    }
    /// Returns a runtime's message without the container's name, for callers that name the container themselves;
    /// otherwise the full text.
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
    /// Returns `Ok` if there are no errors, else all of them as one.
    pub(crate) fn gather(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Many(errors)),
        }
    }
}

/// Standard streams of a container. They are always passed as descriptors and never inherited.
#[derive(Debug)]
pub struct Stdio<'a> {
    /// stdin.
    pub stdin: BorrowedFd<'a>,
    /// stdout.
    pub stdout: BorrowedFd<'a>,
    /// stderr.
    pub stderr: BorrowedFd<'a>,
}

/// A container to create from a bundle whose config.json is on disk. Its root is in a mount namespace of the caller's
/// own, where volumes are mounted into it.
#[derive(Debug)]
pub struct Create<'a> {
    /// Unique on this host.
    pub id: &'a str,
    /// Folder with config.json.
    pub bundle: &'a Path,
    /// Its streams; not used if `console_socket` is set.
    pub stdio: Stdio<'a>,
    /// For `process.terminal`: the socket to which the runtime sends the pty master (SCM_RIGHTS).
    pub console_socket: Option<&'a Path>,
}

/// A process to run in a running container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container.
    pub id: &'a str,
    /// Its bundle; process defaults, seccomp and capabilities are read from its config.json.
    pub bundle: &'a Path,
    /// argv.
    pub args: &'a [String],
    /// Added to the container's environment.
    pub env: &'a [(String, String)],
    /// Whether the process gets a terminal of its own.
    pub tty: bool,
    /// Rows and columns of that terminal, set before the process starts.
    pub size: Option<(u16, u16)>,
    /// Its streams; not used if `console_socket` is set.
    pub stdio: Stdio<'a>,
    /// For `tty`: the socket to which the runtime sends the pty master.
    pub console_socket: Option<&'a Path>,
    /// The name of a cgroup below the container's for the process and all that it starts ([`cgroup::below`]), so that
    /// they can be killed together. Runtime programs ignore it.
    pub group: Option<&'a str>,
}

/// An OCI runtime. Signals are not sent through it, because a pidfd and a cgroup are more reliable than an id.
pub trait Runtime {
    /// Creates a container without running its process; returns its pid. `start` runs the process.
    fn create(&self, create: &Create<'_>) -> Result<i32, Error>;
    /// Starts the process of a created container.
    fn start(&self, id: &str) -> Result<(), Error>;
    /// Removes a container after killing its remaining processes; a missing one is not an error.
    fn delete(&self, id: &str) -> Result<(), Error>;
    /// Runs a process in a container and returns its pid. The process is a child of the caller or of its subreaper.
    fn exec(&self, exec: &Exec<'_>) -> Result<i32, Error>;
}

/// Opens libcontainer, or the OCI runtime program that `--runtime` names. `state` is the folder for its state.
///
/// # Errors
/// [`Error::NoRuntime`] if there is no such program.
pub fn open(runtime: Option<&str>, state: &Path) -> Result<Box<dyn Runtime>, Error> {
    Ok(match runtime {
        None | Some("" | "libcontainer") => Box::new(libcontainer::Libcontainer::open(state)),
        Some(name) => Box::new(external::External::open(name, state)?),
    })
}

/// Returns which of some OCI runtime programs are installed.
pub fn installed(names: &[&str]) -> std::collections::BTreeSet<String> {
    external::installed(names)
}

/// Removes the files of an OCI runtime program and of our calls of it for a container without running processes.
///
/// # Errors
/// If a folder cannot be removed.
pub fn forget_external(state: &Path, id: &str) -> Result<(), Error> {
    external::forget(state, id)
}

/// The parts of a pod that its containers join.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Pid of the infra container, whose ipc, uts (and pid) namespaces are joined. 0: there is none yet.
    pub infra_pid: i32,
    /// The network namespace (bind mount); `None` means the host's.
    pub netns: Option<PathBuf>,
    /// shareProcessNamespace.
    pub share_pid: bool,
    /// hostPID.
    pub host_pid: bool,
    /// hostIPC.
    pub host_ipc: bool,
    /// The folder with the files to bind over /etc/hosts, /etc/hostname, /etc/resolv.conf.
    pub etc: PathBuf,
    /// The pod's own /dev/shm ([`infra::mount_shm`]), bound into each container; empty with hostIPC.
    #[serde(default)]
    pub shm: PathBuf,
    /// The pod's cgroup: [`cgroup::PodCgroup::path`].
    pub cgroup: String,
    /// hostUsers: false: the pod's user namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<user_namespace::UserNamespace>,
    /// The process whose pid namespace a debug container joins, unless the pod shares one.
    #[serde(skip)]
    pub pid_namespace_of: Option<i32>,
}

impl Sandbox {
    /// Returns the id on the host of a user or group of the pod's containers.
    pub fn host_id(&self, id: u32) -> u32 {
        self.users.as_ref().map_or(id, |users| users.first_id.saturating_add(id))
    }
}
