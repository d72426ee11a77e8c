//! The last steps of a process before execve. They replace libcontainer's own, which search PATH wrongly for a user who
//! is not "other", lose the order of the environment, run an exec'd process without seccomp, and do not report to the
//! caller if execve fails.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use caps::{CapSet, CapsHashSet};
use libcontainer::capabilities::CapabilityExt;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{AccessFlags, access, execve};
use oci_spec::runtime::{Capabilities, Process, Spec};
use rustix::fs::FileType;
use rustix::process::{Gid, Uid};

use super::seccomp::Filter;
use super::{rlimits, selinux};

/// Why a process was not executed. Users see the text as the error of their container.
#[derive(Debug, thiserror::Error)]
enum ExecuteError {
    #[error("arguments and environment must not hold NUL")]
    NulInStrings,
    #[error("the program's path holds NUL")]
    NulInPath,
    #[error("the process has no arguments")]
    NoArguments,
    #[error("exec {path}: {}", describe(*.errno))]
    Exec { path: String, errno: Errno },
    #[error("exec: {name:?}: {}", describe(*.errno))]
    Program { name: String, errno: Errno },
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotInPath(String),
    #[error("workingDir {dir}: {}", describe(*.errno))]
    WorkingDir { dir: String, errno: Errno },
    #[error("cannot run with the SELinux label {label}: {error}")]
    Label { label: String, error: std::io::Error },
    #[error("cannot {step}: {reason}")]
    Step { step: &'static str, reason: String },
}

/// Which steps libcontainer leaves to the executor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// An init process: to load the filter, give up [`FOR_FILTER`], and execute.
    Init,
    /// A process that joins a container: it has entered the namespaces and the cgroup as root with every capability,
    /// and still has to take on its user, capabilities and filter.
    Joining,
}

/// Capabilities that an init process keeps in addition to its own until it has loaded its filter: without no_new_privs
/// the kernel requires the first one for that, and the second one is required to remove both from the bounding set.
const FOR_FILTER: [(oci_spec::runtime::Capability, caps::Capability); 2] = [
    (oci_spec::runtime::Capability::SysAdmin, caps::Capability::CAP_SYS_ADMIN),
    (oci_spec::runtime::Capability::Setpcap, caps::Capability::CAP_SETPCAP),
];

/// Changes the process of a spec so that libcontainer leaves the capabilities in [`FOR_FILTER`] to an init process.
pub(super) fn leave_capabilities_for_filter(process: &mut Process) {
    if process.no_new_privileges() == Some(true) {
        return;
    }
    let Some(mut capabilities) = process.capabilities().clone() else { return };
    let with = |set: &Option<Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(FOR_FILTER.map(|(name, _)| name));
        Some(set)
    };
    let (bounding, permitted) = (with(capabilities.bounding()), with(capabilities.permitted()));
    let effective = with(capabilities.effective());
    capabilities.set_bounding(bounding).set_permitted(permitted).set_effective(effective);
    process.set_capabilities(Some(capabilities));
}

/// Runs a process as its spec says, whatever process libcontainer was given.
#[derive(Clone)]
pub(super) struct ContainerExecutor {
    /// The process to run, with its user.
    process: Rc<Process>,
    role: Role,
    filter: Option<Rc<Filter>>,
    /// Receives the error message; a successful execve closes it.
    report: Rc<OwnedFd>,
    /// Descriptors of the caller that the new process has inherited.
    inherited: Rc<Vec<RawFd>>,
    /// What the process joins itself.
    joins: Rc<Joins>,
}

/// What a process that joins a container has to join itself, because libcontainer does not.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// The `cgroup.procs` of a group.
    pub group: Option<File>,
    /// The user namespace of the container, with the id on the host of its root.
    pub users: Option<(File, u32)>,
    /// The SELinux label of a terminal of the process.
    pub terminal_label: Option<String>,
}

impl ContainerExecutor {
    /// Creates the executor of a container's init process. `inherited` are the descriptors that the caller had open
    /// before. The new process closes them as soon as it can, because it would otherwise keep the supervisor's locks,
    /// sockets and pipes open until it is started, which may be long after.
    pub fn init(process: Process, filter: Option<Filter>, report: OwnedFd, inherited: Vec<RawFd>) -> Self {
        Self {
            process: Rc::new(process),
            role: Role::Init,
            filter: filter.map(Rc::new),
            report: Rc::new(report),
            inherited: Rc::new(inherited),
            joins: Rc::default(),
        }
    }

    /// Creates the executor of a process that joins a container.
    pub fn joining(
        process: Process,
        filter: Option<Filter>,
        report: OwnedFd,
        inherited: Vec<RawFd>,
        joins: Joins,
    ) -> Self {
        Self { role: Role::Joining, joins: Rc::new(joins), ..Self::init(process, filter, report, inherited) }
    }

    /// Executes the process; returns only an error.
    fn execute(&self) -> ExecuteError {
        let process = &self.process;
        if let (Some(true), Some(size)) = (process.terminal(), process.console_size()) {
            let (rows, columns) = (u16::try_from(size.height()), u16::try_from(size.width()));
            if let (Ok(rows), Ok(columns)) = (rows, columns) {
                // The size is set first, because a program that asks at once must not see 0 by 0.
                let _ = super::console::set_size(std::io::stdin(), rows, columns);
            }
        }
        let Joins { group, users, terminal_label } = &*self.joins;
        if let Some(mut group) = group.as_ref() {
            // Without it the process is killed alone.
            let _ = group.write_all(b"0");
        }
        if let Some(label) = terminal_label
            && let Err(error) = selinux::label_descriptor(std::io::stdin(), label)
        {
            return failed_at("label the terminal")(error);
        }
        if self.role == Role::Joining {
            own_streams(process, users.as_ref().map_or(0, |(_, first)| *first));
            if let Err(error) = limit(process) {
                return error;
            }
            if let Some((users, _)) = users
                && let Err(error) = setns(users, CloneFlags::CLONE_NEWUSER)
            {
                return failed_at("enter the user namespace")(error);
            }
            if let Err(error) = become_user(process, self.filter.as_deref()) {
                return error;
            }
        }
        let env = environment(process);
        let (Some(args), Some(env)) = (c_strings(process.args().iter().flatten()), c_strings(env.iter()))
        else {
            return ExecuteError::NulInStrings;
        };
        let path = match program(process) {
            Ok(path) => path,
            Err(error) => return error,
        };
        let Ok(path) = CString::new(path.into_os_string().into_vec()) else {
            return ExecuteError::NulInPath;
        };
        // A label takes effect with the next execve, so it is set right before that.
        if let Some(label) = process.selinux_label()
            && let Err(error) = selinux::set_exec_label(label)
        {
            return ExecuteError::Label { label: label.clone(), error };
        }
        match execve(&path, &args, &env) {
            Ok(never) => match never {},
            Err(errno) => ExecuteError::Exec { path: path.to_string_lossy().into_owned(), errno },
        }
    }
}

impl Executor for ContainerExecutor {
    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let message = self.execute().to_string();
        if let Ok(fd) = self.report.try_clone() {
            let _ = File::from(fd).write_all(message.as_bytes());
        }
        // Not returned to libcontainer, because it would report through channels that have no reader any more.
        // SAFETY: ends the process, which does not use anything afterwards.
        unsafe { libc::_exit(128) }
    }

    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        // A joining process is still root here; it checks the program after it has become its user.
        if self.role == Role::Joining {
            return Ok(());
        }
        let found = program(&self.process).map(drop);
        found.map_err(|error| ExecutorValidationError::ArgValidationError(error.to_string()))
    }

    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        for fd in self.inherited.iter() {
            // SAFETY: this process was cloned to become a container's and uses none of its caller's
            // descriptors; it never runs the destructors of what owned them.
            unsafe { libc::close(*fd) };
        }
        // This is the last hook that libcontainer calls before it waits for the start.
        if self.role == Role::Init {
            limit(&self.process).map_err(|error| ExecutorSetEnvsError::Other(error.to_string()))?;
        }
        if self.role == Role::Init
            && let Some(filter) = &self.filter
        {
            confine(&self.process, filter).map_err(|error| ExecutorSetEnvsError::Other(error.to_string()))?;
        }
        Ok(())
    }
}

/// Sets the ulimits of a process. A filter may not allow that any more once it is loaded.
fn limit(process: &Process) -> Result<(), ExecuteError> {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    rlimits::apply(limits).map_err(|(kind, errno)| failed_at("set ulimits")(format!("{kind}: {errno}")))
}

/// Loads the filter of an init process and gives up the capabilities that were needed only for this.
fn confine(process: &Process, filter: &Filter) -> Result<(), ExecuteError> {
    filter.load().map_err(failed_at("load the seccomp filter"))?;
    if process.no_new_privileges() == Some(true) {
        return Ok(());
    }
    let Some(capabilities) = process.capabilities() else { return Ok(()) };
    let set_of = |set: &Option<Capabilities>| -> CapsHashSet {
        set.iter().flatten().map(CapabilityExt::to_cap).collect()
    };
    let bounding = set_of(capabilities.bounding());
    for (_, capability) in FOR_FILTER {
        if !bounding.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability).map_err(failed_at("limit capabilities"))?;
        }
    }
    for (kind, set) in
        [(CapSet::Effective, capabilities.effective()), (CapSet::Permitted, capabilities.permitted())]
    {
        caps::set(None, kind, &set_of(set)).map_err(failed_at("drop capabilities"))?;
    }
    Ok(())
}

/// Takes on the user of a process, with its groups, capabilities and filter.
fn become_user(process: &Process, filter: Option<&Filter>) -> Result<(), ExecuteError> {
    let user = process.user();
    let no_new_privileges = process.no_new_privileges() == Some(true);
    let load_seccomp = || match filter {
        None => Ok(()),
        Some(filter) => filter.load().map_err(failed_at("load the seccomp filter")),
    };
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&groups).map_err(failed_at("set supplementary groups"))?;
    // Without no_new_privs only a process with CAP_SYS_ADMIN may load a filter (seccomp(2)), so it is loaded before
    // that capability is dropped.
    if !no_new_privileges {
        load_seccomp()?;
    }
    // If root may not enter the folder, the user may still be able to (on NFS), as in other runtimes.
    let entered = match enter_working_dir(process) {
        Err(Errno::EACCES | Errno::EPERM) => false,
        result => result.map(|()| true).map_err(failed_to_enter(process.cwd()))?,
    };
    let capabilities = process.capabilities();
    let set_of = |set: Option<&Capabilities>| -> CapsHashSet {
        set.into_iter().flatten().map(CapabilityExt::to_cap).collect()
    };
    let bounding = set_of(capabilities.as_ref().and_then(|one| one.bounding().as_ref()));
    let effective = set_of(capabilities.as_ref().and_then(|one| one.effective().as_ref()));
    let permitted = set_of(capabilities.as_ref().and_then(|one| one.permitted().as_ref()));
    limit_bounding_set(&bounding).map_err(failed_at("limit capabilities"))?;
    rustix::thread::set_keep_capabilities(true).map_err(failed_at("keep capabilities"))?;
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed_at("set the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed_at("set the user"))?;
    rustix::thread::set_keep_capabilities(false).map_err(failed_at("drop capabilities"))?;
    for (kind, set) in [
        (CapSet::Ambient, &CapsHashSet::new()),
        (CapSet::Effective, &effective),
        (CapSet::Permitted, &permitted),
        (CapSet::Inheritable, &CapsHashSet::new()),
    ] {
        caps::set(None, kind, set).map_err(failed_at("drop capabilities"))?;
    }
    if !entered {
        enter_working_dir(process).map_err(failed_to_enter(process.cwd()))?;
    }
    if no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(failed_at("set no_new_privs"))?;
        load_seccomp()?;
    }
    Ok(())
}

/// Makes a process the owner of its standard streams, as runc does, because a user other than root could not open
/// /dev/stdout otherwise. Only pipes, which were created for this process, and its own terminal change owner; other
/// streams belong to somebody else.
///
/// `first_id` is the id on the host of the container's root.
fn own_streams(process: &Process, first_id: u32) {
    let uid = Uid::from_raw(first_id.saturating_add(process.user().uid()));
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let kind = rustix::fs::fstat(stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let is_own = match kind {
            Ok(FileType::Fifo) => true,
            Ok(FileType::CharacterDevice) => process.terminal() == Some(true),
            _ => false,
        };
        if is_own {
            // If the owner cannot be changed, the stream can still be written to.
            let _ = rustix::fs::fchown(stream, Some(uid), None);
        }
    }
}

/// Enters the working directory of a process that joins a container and checks that it is inside the container
/// (CVE-2024-21626).
fn enter_working_dir(process: &Process) -> Result<(), Errno> {
    nix::unistd::chdir(process.cwd())?;
    // Calls the kernel directly, because the getcwd of a libc falls back to a search of its own.
    let here = rustix::process::getcwd(Vec::new()).map_err(|error| Errno::from_raw(error.raw_os_error()))?;
    if here.to_bytes().starts_with(b"/") { Ok(()) } else { Err(Errno::ENOENT) }
}

fn failed_to_enter(dir: &Path) -> impl FnOnce(Errno) -> ExecuteError + use<> {
    let dir = dir.display().to_string();
    move |errno| ExecuteError::WorkingDir { dir, errno }
}

/// Returns the environment of a process. If HOME is missing or empty, it is added as in runc: the value in the
/// container's /etc/passwd, else `/`. The file is read directly, because a libc would load libraries of the container
/// to do it.
fn environment(process: &Process) -> Vec<String> {
    let mut env = process.env().clone().unwrap_or_default();
    env.retain(|one| one != "HOME=");
    if !env.iter().any(|one| one.starts_with("HOME=")) {
        let path = Path::new("/etc/passwd");
        let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
        let passwd = if is_file { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        let home = home_of(&String::from_utf8_lossy(&passwd), process.user().uid()).unwrap_or("/".to_owned());
        env.push(format!("HOME={home}"));
    }
    env
}

/// Returns the home folder of a user in a passwd(5) file.
fn home_of(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').nth(5).filter(|home| !home.is_empty()).map(str::to_owned)
}

/// Drops all capabilities from the bounding set that are not in `keep`, including those that this program does not know
/// by name.
fn limit_bounding_set(keep: &CapsHashSet) -> Result<(), Errno> {
    for number in 0..=63 {
        if keep.iter().any(|one| one.index() == number) {
            continue;
        }
        // SAFETY: the call takes numbers only and accesses no memory.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        match Errno::result(done) {
            // The kernel has no capability with this number or a higher one (PR_CAPBSET_DROP(2const)).
            Err(Errno::EINVAL) => break,
            result => result?,
        };
    }
    Ok(())
}

/// Returns a function for `map_err` that adds the failed `step` to an error.
fn failed_at<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> ExecuteError {
    move |error| ExecuteError::Step { step, reason: error.to_string() }
}

/// Returns the program that a process's first argument names, found like execvp(3). If there is none, the error uses
/// containerd's words.
fn program(process: &Process) -> Result<PathBuf, ExecuteError> {
    let Some(name) = process.args().as_ref().and_then(|args| args.first()) else {
        return Err(ExecuteError::NoArguments);
    };
    let failed = |errno: Errno| ExecuteError::Program { name: name.clone(), errno };
    if name.contains('/') {
        let path = PathBuf::from(name);
        return executable(&path).map(|()| path).map_err(failed);
    }
    let path = process.env().iter().flatten().find_map(|one| one.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = None;
    for dir in path.split(':') {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => denied = Some(Errno::EACCES),
            Err(_) => {}
        }
    }
    Err(denied.map_or_else(|| ExecuteError::NotInPath(name.clone()), failed))
}

/// Checks that a path is a file that this process may execute.
fn executable(path: &Path) -> Result<(), Errno> {
    let meta = std::fs::metadata(path)
        .map_err(|error| error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw))?;
    if !meta.is_file() {
        return Err(Errno::EACCES);
    }
    access(path, AccessFlags::X_OK)
}

fn describe(error: Errno) -> String {
    match error {
        Errno::ENOENT => "no such file or directory".to_owned(),
        Errno::EACCES => "permission denied".to_owned(),
        Errno::ENOEXEC => "exec format error".to_owned(),
        other => other.desc().to_owned(),
    }
}

fn c_strings<'a>(strings: impl Iterator<Item = &'a String>) -> Option<Vec<CString>> {
    strings.map(|one| CString::new(one.as_bytes()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_home_is_none() {
        let of = |env: &[&str]| {
            let mut process = Process::default();
            process.set_env(Some(env.iter().map(|one| (*one).to_owned()).collect()));
            environment(&process)
        };
        assert_eq!(of(&["A=1", "HOME=/mine"]), ["A=1", "HOME=/mine"]);
        for env in [&["A=1", "HOME="][..], &["A=1"]] {
            let found = of(env);
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(found[1].len() > "HOME=".len() && found[1].starts_with("HOME=/"), "{found:?}");
        }
    }

    #[test]
    fn home_comes_from_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n# no line\nweb:x:1000:1000::/home/web:/bin/sh\nodd:x:7:7::\n";
        assert_eq!(home_of(passwd, 1000).as_deref(), Some("/home/web"));
        assert_eq!(home_of(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_of(passwd, 7), None, "an empty one is none");
        assert_eq!(home_of(passwd, 5), None);
    }
}
