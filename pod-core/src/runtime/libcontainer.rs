//! The built-in OCI runtime: the libcontainer crate.
//!
//! Only the calls that need it use the crate. Removal uses our own cgroup code (which waits for the end of processes
//! instead of sleeping), and the last steps before execve are in [`super::executor`].

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base::file::remove_dir_if_exists;
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::stat::Mode;
use oci_spec::runtime::{Process, Spec, UserBuilder};
use rustix::event::{PollFd, PollFlags, poll};

use super::cgroup::{self, Cgroups, Driver};
use super::executor::{self, ContainerExecutor, Joins};
use super::failures::Failures;
use super::seccomp::Filter;
use super::{Create, Error, Exec, Runtime, Stdio, rlimits, rootfs, selinux, spec, user_namespace, worker};

/// The environment that is given to libcontainer. Without HOME it would ask libc for the user's, and libc loads
/// libraries of the container for that, into a process that still has every capability (like CVE-2019-14271).
const HOME: &str = "HOME=/";

/// The libcontainer runtime; its state is below one folder.
#[derive(Debug)]
pub(super) struct Libcontainer {
    /// `<state>/containers/<id>`: libcontainer's own state.
    containers: PathBuf,
    /// `<state>/bundles/<id>`: the spec adapted for libcontainer, and the pipe that reports how a start ends.
    bundles: PathBuf,
    /// `<state>/seccomp`: cached filters.
    filters: PathBuf,
}

impl Libcontainer {
    pub(super) fn open(state: &Path) -> Self {
        Self {
            containers: state.join("containers"),
            bundles: state.join("bundles"),
            filters: state.join("seccomp"),
        }
    }

    fn builder(&self, id: &str, stdio: &Stdio<'_>) -> Result<ContainerBuilder, LibcontainerError> {
        Ok(ContainerBuilder::new(id.to_owned(), SyscallType::default())
            .with_root_path(&self.containers)?
            .validate_id()?
            .with_stdin(duplicate(stdio.stdin)?)
            .with_stdout(duplicate(stdio.stdout)?)
            .with_stderr(duplicate(stdio.stderr)?))
    }

    fn filter(&self, spec: &Spec) -> Result<Option<Filter>, Error> {
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        profile.map(|profile| Filter::of(profile, &self.filters)).transpose()
    }

    fn try_create(&self, create: &Create<'_>, bundle: &Path) -> Result<i32, Error> {
        let failures = Failures::new().map_err(Error::call("create", "log"))?;
        let inherited = worker::open_descriptors(3);
        let mut spec = load(create.bundle)?;
        rootfs::assemble(&mut spec).map_err(|error| Error::failed("create", create.id, error))?;
        let process = spec.process().clone().ok_or_else(|| Error::Spec("it has no process".to_owned()))?;
        let filter = self.filter(&spec)?;
        rlimits::raise_hard(process.rlimits().as_deref().unwrap_or_default())?;
        let _joined = user_namespace::join_by_descriptor(&mut spec)?;
        let mount_label = mount_label(&spec);
        adapt(&mut spec);
        spec::write(bundle, &spec)?;
        let fifo = bundle.join("exec.fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).map_err(Error::io("create", &fifo))?;
        // Opened for reading and writing, so that open(2) does not wait for a reader and writes do not fail without
        // one.
        let report =
            OpenOptions::new().read(true).write(true).open(&fifo).map_err(Error::io("open", &fifo))?;
        let cgroups = Cgroups::get();
        let executor = ContainerExecutor::init(process, filter, report.into(), inherited);
        let build = |failures: Failures| {
            let built = failures.watch(|| {
                self.builder(create.id, &create.stdio)?
                    .with_console_socket(create.console_socket)
                    .with_executor(executor.clone())
                    .as_init(bundle)
                    .with_systemd(cgroups.driver == Driver::Systemd)
                    .with_detach(true)
                    .build()
            });
            built.map_err(|error| with_cause(failures, &error))
        };
        let mut built = build(failures);
        if let (Err(message), Some(path)) = (&built, cgroups_path(&spec))
            && cgroup::forget_stale_scope(&path, message)
        {
            built = build(Failures::new().map_err(Error::call("create", "log"))?);
        }
        let container =
            built.map_err(|message| Error::failed("create", create.id, name_working_dir(&spec, message)))?;
        if let (Some(label), Some(pid)) = (&mount_label, container.pid())
            && let Err(error) = selinux::label_devices(pid.as_raw(), label)
        {
            let _ = self.delete(create.id);
            return Err(Error::failed("create", create.id, error));
        }
        if user_namespace::first_id(&spec).is_some()
            && let Some(root) = spec.root_mut()
        {
            // For an exec libcontainer looks for the root, which is mounted in this process's mount namespace only.
            root.set_path(bundle.to_owned());
            spec::write(bundle, &spec)?;
        }
        if let Some(path) = cgroups_path(&spec) {
            cgroup::kill_as_group(&path);
            if cgroups.driver == Driver::Systemd
                && let Err(error) = limit_devices(&spec, &path)
            {
                let _ = self.delete(create.id);
                return Err(Error::failed("create", create.id, error));
            }
        }
        container
            .pid()
            .map(|pid| pid.as_raw())
            .ok_or_else(|| Error::failed("create", create.id, "it has no pid"))
    }
}

impl Runtime for Libcontainer {
    fn create(&self, create: &Create<'_>) -> Result<i32, Error> {
        worker::prepare_worker();
        base::file::create_private_dir_all(&self.containers)
            .map_err(Error::io("create", &self.containers))?;
        let bundle = self.bundles.join(create.id);
        match base::file::create_private_dir_all(&self.bundles).and_then(|()| fs::create_dir(&bundle)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::failed("create", create.id, "a container of this id exists"));
            }
            result => result.map_err(Error::io("create", &bundle))?,
        }
        let result = self.try_create(create, &bundle);
        if result.is_err() {
            let _ = remove_dir_if_exists(&bundle);
        }
        result
    }

    fn start(&self, id: &str) -> Result<(), Error> {
        worker::prepare_worker();
        let fifo = self.bundles.join(id).join("exec.fifo");
        // Opened while the container's process waits for its start and holds the pipe open for writing. From then on
        // the process's end or its execve ends the file.
        let mut report = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&fifo)
            .map_err(|_| Error::failed("start", id, "there is no such container"))?;
        let failed = |error: LibcontainerError| Error::failed("start", id, chain(&error));
        Container::load(self.containers.join(id)).map_err(failed)?.start().map_err(failed)?;
        let message = read_report(&mut report).map_err(Error::io("read", &fifo))?;
        let _ = fs::remove_file(&fifo);
        if message.is_empty() { Ok(()) } else { Err(Error::failed("start", id, message)) }
    }

    fn delete(&self, id: &str) -> Result<(), Error> {
        let bundle = self.bundles.join(id);
        let mut errors = Vec::new();
        if bundle.join("config.json").exists() {
            match load(&bundle) {
                Ok(spec) => errors.extend(cgroups_path(&spec).and_then(|path| cgroup::remove(&path).err())),
                // The spec is permanently damaged. The cgroup is removed with the pod's.
                Err(error) => tracing::warn!("deleting {id}: {error}"),
            }
        }
        // The state is removed last, because another attempt needs it.
        if errors.is_empty() {
            for dir in [self.containers.join(id), bundle] {
                errors.extend(remove_dir_if_exists(&dir).err().map(Error::from));
            }
        }
        Error::gather(errors)
    }

    fn exec(&self, exec: &Exec<'_>) -> Result<i32, Error> {
        worker::prepare_worker();
        let failed = |error: LibcontainerError| Error::failed("exec in", exec.id, chain(&error));
        let failures = Failures::new().map_err(Error::call("create", "log"))?;
        let inherited = worker::open_descriptors(3);
        let spec = load(exec.bundle)?;
        let process = exec_process(&spec, exec)?;
        rlimits::raise_hard(process.rlimits().as_deref().unwrap_or_default())?;
        let users = user_namespace::to_join(&spec)?;
        // libcontainer enters as root with all our capabilities, because it would otherwise drop those that loading a
        // filter requires.
        let mut entering = Process::default();
        let root = UserBuilder::default().uid(0_u32).gid(0_u32).umask(process.user().umask().unwrap_or(0o22));
        entering
            .set_user(root.build().map_err(|error| Error::Spec(error.to_string()))?)
            .set_args(process.args().clone())
            .set_env(Some(vec![HOME.to_owned()]))
            // The executor enters the real working directory, because it can report which one failed.
            .set_cwd(PathBuf::from("/"))
            .set_terminal(process.terminal())
            .set_oom_score_adj(process.oom_score_adj())
            .set_capabilities(None)
            .set_rlimits(None)
            .set_apparmor_profile(process.apparmor_profile().clone())
            .set_no_new_privileges(None);
        // In memory, so that a command can be run even if the run tree is full.
        let (_held, file) = in_memory(&entering)?;
        let filter = self.filter(&spec)?;
        let (report_read, report_write) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(Error::call("create", "pipe"))?;
        // Without a group the process is killed alone.
        let group = exec.group.zip(cgroups_path(&spec));
        let group = group.and_then(|(name, path)| {
            let made = cgroup::make_below(&cgroup::below(&path, name));
            made.inspect_err(|error| tracing::debug!(%error, id = exec.id, "no group for a command")).ok()
        });
        let terminal_label = mount_label(&spec).filter(|_| exec.tty);
        let joins = Joins { group, users, terminal_label };
        let executor = ContainerExecutor::joining(process, filter, report_write, inherited, joins);
        let result = self.builder(exec.id, &exec.stdio).map_err(failed).and_then(|builder| {
            let builder = builder
                .with_console_socket(exec.console_socket)
                .with_executor(executor)
                .as_tenant()
                .with_detach(true)
                .with_process(Some(&file));
            failures
                .watch(|| builder.build())
                .map_err(|error| Error::failed("exec in", exec.id, with_cause(failures, &error)))
        });
        let pid = result?;
        let mut message = String::new();
        File::from(report_read).read_to_string(&mut message).map_err(Error::call("read", "pipe"))?;
        if message.is_empty() {
            return Ok(pid.as_raw());
        }
        // No other process knows its pid, and while it is a zombie its pid namespace cannot end.
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid.as_raw()), None);
        Err(Error::failed("exec in", exec.id, message))
    }
}

/// Returns the process of an exec: the container's own with other arguments, a larger environment and its own terminal.
pub(super) fn exec_process(spec: &Spec, exec: &Exec<'_>) -> Result<Process, Error> {
    let process = spec.process().as_ref();
    let mut process = process.cloned().ok_or_else(|| Error::Spec("it has no process".to_owned()))?;
    let mut env = process.env().clone().unwrap_or_default();
    let added = |one: &String| {
        let name = one.split('=').next().unwrap_or_default();
        exec.env.iter().any(|(added, _)| added == name)
    };
    env.retain(|one| !added(one));
    env.extend(exec.env.iter().map(|(name, value)| format!("{name}={value}")));
    process.set_env(Some(env)).set_args(Some(exec.args.to_vec())).set_terminal(Some(exec.tty));
    let size = exec
        .size
        .filter(|_| exec.tty)
        .map(|(rows, columns)| oci_spec::runtime::BoxBuilder::default().height(rows).width(columns).build());
    let size = size.transpose().map_err(|error| Error::Spec(error.to_string()))?;
    process.set_console_size(size);
    Ok(process)
}

/// Reads `<bundle>/config.json`.
pub(super) fn load(bundle: &Path) -> Result<Spec, Error> {
    let path = bundle.join("config.json");
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Spec(format!("{}: {error}", path.display())))
}

pub(super) fn cgroups_path(spec: &Spec) -> Option<String> {
    let path = spec.linux().as_ref()?.cgroups_path().as_ref()?;
    path.to_str().map(str::to_owned)
}

/// Returns the SELinux label of a container's files.
fn mount_label(spec: &Spec) -> Option<String> {
    spec.linux().as_ref()?.mount_label().clone()
}

/// Changes a spec where libcontainer deviates from the OCI specification.
fn adapt(spec: &mut Spec) {
    // The executor loads the filter: libcontainer would build it anew each time, and misinterprets masks.
    let has_filter = spec.linux_mut().as_mut().is_some_and(|linux| {
        let has = linux.seccomp().is_some();
        linux.set_seccomp(None);
        // It fails with a label. The root has been mounted with it, and devices are labelled later.
        linux.set_mount_label(None);
        has
    });
    if let Some(process) = spec.process_mut() {
        // The executor sets the real environment.
        process.set_env(Some(vec![HOME.to_owned()]));
        // The executor sets the limits.
        process.set_rlimits(None);
        if process.no_new_privileges() == Some(false) {
            process.set_no_new_privileges(None);
        }
        if has_filter {
            executor::leave_capabilities_for_filter(process);
        }
    }
}

/// Attaches the device rules to a scope. libcontainer does so for its own cgroups, but not for systemd's: without this,
/// a container could reach the disks of the host by mknod. The container has not been started yet.
fn limit_devices(spec: &Spec, cgroups_path: &str) -> Result<(), LimitDevices> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let rules = resources.and_then(|resources| resources.devices().clone());
    let dir = Path::new("/sys/fs/cgroup").join(cgroup::relative(cgroups_path));
    libcgroups::v2::devices::Devices::apply_devices(&dir, &rules).map_err(|error| LimitDevices(chain(&error)))
}

/// Error: the device rules could not be attached.
#[derive(Debug, thiserror::Error)]
#[error("cannot limit its devices: {0}")]
struct LimitDevices(String);

/// Copies a descriptor to a number above the standard three: libcontainer closes the copy once it is in place.
fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, LibcontainerError> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|error| LibcontainerError::OtherIO(error.into()))
}

/// Reads until all writers have closed the file.
fn read_report(report: &mut File) -> std::io::Result<String> {
    let mut message = Vec::new();
    loop {
        match report.read_to_end(&mut message) {
            Ok(_) => return Ok(String::from_utf8_lossy(&message).into_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::from_borrowed_fd(report.as_fd(), PollFlags::IN)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns an error of libcontainer with its cause. A message of our executor needs no addition.
fn with_cause(failures: Failures, error: &LibcontainerError) -> String {
    let message = chain(error);
    if message.starts_with("exec: ") { message } else { failures.explain(&message) }
}

/// Adds the path of the working directory to an error about entering it.
fn name_working_dir(spec: &Spec, message: String) -> String {
    match spec.process() {
        Some(process)
            if message.contains("failed to chdir") || message.contains("working directory is safe") =>
        {
            format!("workingDir {}: {message}", process.cwd().display())
        }
        _ => message,
    }
}

/// The prefix that libcontainer puts before a message of an executor.
const EXECUTOR: &str = "error in executing process : ";

/// Joins the messages of an error and its causes, without repetition. If our executor sent the message, only that one
/// is returned.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = error.source();
    }
    match text.rsplit_once(EXECUTOR) {
        Some((_, said)) => said.to_owned(),
        None => text,
    }
}

/// Writes a value as JSON to a file without a name; its path is valid as long as the file is open.
fn in_memory(value: &impl serde::Serialize) -> Result<(File, PathBuf), Error> {
    let fd = rustix::fs::memfd_create("process", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(Error::call("create", "memfd"))?;
    let mut file = File::from(fd);
    let bytes = serde_json::to_vec(value).map_err(|error| Error::Spec(error.to_string()))?;
    file.write_all(&bytes).and_then(|()| file.rewind()).map_err(Error::call("write", "memfd"))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    Ok((file, path))
}
