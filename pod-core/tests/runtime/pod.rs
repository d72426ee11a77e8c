//! A pod without images, volumes and network: a root of busybox, an infra container and containers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use pod_core::plan::{ContainerPlan, Resources, SeLinux, Seccomp};
use pod_core::runtime::host::Host;
use pod_core::runtime::spec::{self, Mount};
use pod_core::runtime::{Create, Error, Exec, Runtime, Sandbox, Stdio, cgroup, infra, open};

/// Capabilities that containerd gives by default.
pub const DEFAULT_CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

pub struct Pod {
    dir: tempfile::TempDir,
    pub uid: String,
    pub runtime: Box<dyn Runtime>,
    pub sandbox: Sandbox,
    pub host: Host,
    made: Vec<String>,
    children: Vec<i32>,
}

/// What came of a call in a worker.
type Outcome<T> = Result<T, String>;

impl Pod {
    pub fn new(runtime: Option<&str>) -> Self {
        Self::with(runtime, |_| {})
    }

    /// With hostNetwork: a network namespace is not this crate part's business.
    pub fn with(runtime: Option<&str>, change: impl FnOnce(&mut Sandbox)) -> Self {
        // SAFETY: a flag of this process.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let dir = tempfile::Builder::new().prefix("kube-runtime-").tempdir().unwrap();
        let uid = uuid::Uuid::new_v4().to_string();
        let state = dir.path().join("state");
        let runtime = open(runtime, &state).unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        for (name, text) in [("hosts", "127.0.0.1 localhost\n"), ("hostname", "web\n"), ("resolv.conf", "")] {
            fs::write(etc.join(name), text).unwrap();
        }
        let shm = dir.path().join("shm");
        infra::mount_shm(&shm, None).unwrap();
        let pod_cgroup = cgroup::create_pod(&uid, &Resources::default()).unwrap();
        let mut sandbox = Sandbox { etc, shm, cgroup: pod_cgroup.path, ..Sandbox::default() };
        change(&mut sandbox);
        let host = Host::get();
        Self { dir, uid, runtime, sandbox, host: host.clone(), made: Vec::new(), children: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes and starts the infra container.
    pub fn start_infra(&mut self) -> i32 {
        let root = self.path().join("pause");
        infra::prepare_rootfs(&root, None).unwrap();
        let id = format!("{}-infra", self.uid);
        let spec = spec::infra(&spec::Infra {
            id: &id,
            sandbox: &self.sandbox,
            hostname: "web",
            sysctls: &BTreeMap::new(),
            rootfs: &root,
            labels: None,
            host: &self.host,
        })
        .unwrap();
        let bundle = self.path().join("bundles").join("infra");
        spec::write(&bundle, &spec).unwrap();
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let pid = self.create(&id, &bundle, [null.as_fd(); 3], None).unwrap();
        self.start(&id).unwrap();
        self.sandbox.infra_pid = pid;
        pid
    }

    /// A root of busybox, its own for each container.
    pub fn rootfs(&self, name: &str) -> PathBuf {
        let root = self.path().join("roots").join(name);
        for dir in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        let applets = std::process::Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
        for applet in String::from_utf8(applets).unwrap().lines().filter(|name| *name != "busybox") {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n",
        )
        .unwrap();
        root
    }

    pub fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.uid)
    }

    /// Makes a container of a plan.
    pub fn make(
        &mut self,
        plan: &ContainerPlan,
        mounts: &[Mount],
        output: BorrowedFd<'_>,
        console: Option<&Path>,
    ) -> Outcome<i32> {
        let rootfs = self.rootfs(&plan.name);
        self.make_in(plan, &rootfs, mounts, output, console)
    }

    pub fn make_in(
        &mut self,
        plan: &ContainerPlan,
        rootfs: &Path,
        mounts: &[Mount],
        output: BorrowedFd<'_>,
        console: Option<&Path>,
    ) -> Outcome<i32> {
        let id = self.id(&plan.name);
        let host = if plan.privileged { self.host.clone().with_devices() } else { self.host.clone() };
        let container = spec::Container {
            id: &id,
            plan,
            sandbox: &self.sandbox,
            mounts,
            rootfs,
            labels: None,
            host: &host,
        };
        let spec = spec::container(&container).map_err(|error| error.to_string())?;
        let bundle = self.bundle(&plan.name);
        spec::write(&bundle, &spec).unwrap();
        let null = File::open("/dev/null").unwrap();
        self.create(&id, &bundle, [null.as_fd(), output, output], console)
    }

    pub fn bundle(&self, name: &str) -> PathBuf {
        self.path().join("bundles").join(name)
    }

    fn create(
        &mut self,
        id: &str,
        bundle: &Path,
        [stdin, stdout, stderr]: [BorrowedFd<'_>; 3],
        console_socket: Option<&Path>,
    ) -> Outcome<i32> {
        self.made.push(id.to_owned());
        let stdio = Stdio { stdin, stdout, stderr };
        let create = Create { id, bundle, stdio, console_socket };
        let pid = worker(|| self.runtime.create(&create))?;
        self.children.push(pid);
        Ok(pid)
    }

    pub fn start(&self, id: &str) -> Outcome<()> {
        worker(|| self.runtime.start(id).map(|()| 0)).map(drop)
    }

    pub fn delete(&self, id: &str) -> Outcome<()> {
        worker(|| self.runtime.delete(id).map(|()| 0)).map(drop)
    }

    /// Runs a process in a container; its pid.
    pub fn exec(
        &self,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
        output: BorrowedFd<'_>,
        console_socket: Option<&Path>,
    ) -> Outcome<i32> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let env: Vec<(String, String)> =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let null = File::open("/dev/null").unwrap();
        let stdio = Stdio { stdin: null.as_fd(), stdout: output, stderr: output };
        let (id, bundle) = (self.id(name), self.bundle(name));
        let tty = console_socket.is_some();
        let exec = Exec {
            id: &id,
            bundle: &bundle,
            args: &args,
            env: &env,
            tty,
            size: None,
            stdio,
            console_socket,
            group: None,
        };
        worker(|| self.runtime.exec(&exec))
    }

    /// Runs a process in a container to its end: exit code and output.
    pub fn exec_output(&self, name: &str, args: &[&str]) -> (i32, String) {
        let (read, write) = pipe();
        let pid = self.exec(name, args, &[], write.as_fd(), None).unwrap();
        drop(write);
        (wait(pid), read_all(read))
    }

    /// Makes and starts a container and waits for its end: exit code and output.
    pub fn run(&mut self, plan: &ContainerPlan) -> (i32, String) {
        self.run_with(plan, &[])
    }

    pub fn run_with(&mut self, plan: &ContainerPlan, mounts: &[Mount]) -> (i32, String) {
        let (read, write) = pipe();
        let pid = self.make(plan, mounts, write.as_fd(), None).unwrap();
        drop(write);
        self.start(&self.id(&plan.name)).unwrap();
        let output = read_all(read);
        (wait(pid), output)
    }

    /// Makes and starts a container that stays, once it has written a line.
    pub fn spawn(&mut self, plan: &ContainerPlan) -> (i32, File) {
        let (mut read, write) = pipe();
        let pid = self.make(plan, &[], write.as_fd(), None).unwrap();
        drop(write);
        self.start(&self.id(&plan.name)).unwrap();
        let mut byte = [0];
        while read.read(&mut byte).unwrap() == 1 && byte != *b"\n" {}
        (pid, read)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for id in self.made.iter().rev() {
            let result = self.delete(id);
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
        // SAFETY: reaps what was handed to us.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
        let removed = cgroup::remove(&self.sandbox.cgroup);
        let unmounted = infra::unmount_shm(&self.path().join("shm"));
        if !std::thread::panicking() {
            removed.unwrap();
            unmounted.unwrap();
            assert_eq!(cgroup::of_pod(&self.uid), [""; 0], "the pod's cgroup is gone");
        }
    }
}

/// A plan that runs a shell script as root with containerd's defaults.
pub fn shell(name: &str, script: &str) -> ContainerPlan {
    ContainerPlan {
        name: name.to_owned(),
        args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        cwd: "/".to_owned(),
        uid: 0,
        gid: 0,
        additional_gids: Vec::new(),
        capabilities: DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
        privileged: false,
        no_new_privileges: false,
        read_only_root: false,
        seccomp: Seccomp::RuntimeDefault,
        app_armor: pod_core::plan::AppArmor::Unset,
        selinux: SeLinux::default(),
        unmasked_proc: false,
        ulimits: Vec::new(),
        resources: Resources::default(),
        devices: Vec::new(),
        cdi: Vec::new(),
        oom_score_adj: 0,
        mounts: Vec::new(),
        volume_devices: Vec::new(),
        tty: false,
        stdin: false,
        stop_signal: "SIGTERM".to_owned(),
    }
}

/// A container that says that it runs and waits for SIGTERM.
pub fn sleeper(name: &str) -> ContainerPlan {
    shell(name, "trap 'exit 7' TERM; echo up; while :; do sleep 1000 & wait $!; done")
}

/// Calls a runtime in a forked process, as the supervisor does.
fn worker(call: impl FnOnce() -> Result<i32, Error>) -> Outcome<i32> {
    let (read, write) = pipe();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        // Volumes are mounted into the root there, and end with the container.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_SLAVE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let text = match call() {
            Ok(pid) => format!("+{pid}"),
            Err(error) => format!("-{error}"),
        };
        File::from(write).write_all(text.as_bytes()).unwrap();
        // SAFETY: ends the worker without running what belongs to the test.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let text = read_all(read);
    assert_eq!(wait(pid), 0, "the worker ends well");
    match text.strip_prefix('+') {
        Some(pid) => Ok(pid.parse().unwrap()),
        None => Err(text.strip_prefix('-').expect("a result").to_owned()),
    }
}

pub fn pipe() -> (File, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: the array holds two descriptors.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the kernel just gave them to us.
    unsafe { (File::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) }
}

pub fn read_all(mut from: File) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// Sends a signal to a child.
pub fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Waits for a child; its exit code, 128+n for a signal.
pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: the status is ours.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if waited == pid {
            break;
        }
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), std::io::ErrorKind::Interrupted, "wait for {pid}: {error}");
    }
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

/// A field of /proc/PID/status as a container prints it.
pub fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {status}")).trim()
}

pub fn raw(fd: &impl AsRawFd) -> i32 {
    fd.as_raw_fd()
}
