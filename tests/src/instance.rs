//! A separate instance of `kube` per test: two trees, and therefore separate pods, images and networks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::command::{self, Output, Running};
use crate::{Terminal, image, leaks};

/// An instance of `kube`. When it is dropped, everything is taken down, and the test fails if anything is left on the
/// host.
pub struct Kube {
    dir: PathBuf,
    kube: PathBuf,
    format: AtomicU32,
    files: Mutex<usize>,
    uids: Mutex<BTreeSet<String>>,
    networks: Mutex<BTreeSet<String>>,
}

/// Returns the path of the `kube` under test: `$KUBE_BIN`, or the program that cargo built in the folder of this
/// test.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KUBE_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("kube");
    assert!(path.exists(), "{} is missing: run `cargo build -p kube-play` first", path.display());
    path
}

/// Returns a folder for an instance, on a tmpfs that allows programs to run if there is one, because that is faster.
fn scratch() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() }
}

impl Default for Kube {
    fn default() -> Self {
        Self::new()
    }
}

impl Kube {
    /// Creates an instance with the busybox image in its store.
    pub fn new() -> Self {
        let kube = Self::empty();
        std::fs::create_dir_all(kube.root()).unwrap();
        image::copy_store(&kube.kube, &kube.root().join("images"));
        kube
    }

    /// Creates an instance without images.
    pub fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("ke-").tempdir_in(scratch()).unwrap().keep();
        std::fs::create_dir(dir.join("home")).unwrap();
        Self {
            dir,
            kube: binary(),
            format: AtomicU32::new(0),
            files: Mutex::default(),
            uids: Mutex::default(),
            networks: Mutex::default(),
        }
    }

    /// Returns the folder of this test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// `--root`.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }
    /// `--runroot`.
    pub fn runroot(&self) -> PathBuf {
        self.dir.join("run")
    }
    /// HOME of every command.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// Returns a `kube` command for this instance, which has not been started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kube);
        command.arg("--root").arg(self.root()).arg("--runroot").arg(self.runroot()).args(args);
        command.current_dir(&self.dir).env_clear().env("HOME", self.home()).env("TERM", "xterm");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("RUST_BACKTRACE", "1");
        match self.format.load(Ordering::Relaxed) {
            0 => {}
            format => drop(command.env("KUBE_TEST_FORMAT", format.to_string())),
        }
        command
    }

    /// Makes all further commands behave as a `kube` that writes and speaks another format.
    pub fn speak(&self, format: u32) {
        self.format.store(format, Ordering::Relaxed);
    }

    /// Runs `kube` with these arguments and waits until it has ended.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_command(&mut self.command(args), None)
    }

    /// Runs `kube` with text on its stdin.
    #[track_caller]
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        self.run_command(&mut self.command(args), Some(input))
    }

    /// Runs a command that was created by [`Kube::command`] and changed by the test.
    #[track_caller]
    pub fn run_command(&self, command: &mut Command, input: Option<&str>) -> Output {
        let output = command::run(command, input.map(str::as_bytes), crate::limit(90));
        self.remember();
        output
    }

    /// Runs `kube`, and fails the test unless it exits with 0.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Output {
        self.run(args).expect(0)
    }

    /// Starts `kube` in parallel with the test.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.command(args))
    }

    /// Starts `kube` on a terminal.
    pub fn terminal(&self, args: &[&str]) -> Terminal {
        Terminal::start(self.command(args))
    }

    /// Writes a manifest to a new file and returns its path.
    pub fn manifest(&self, yaml: &str) -> String {
        let mut files = self.files.lock().unwrap();
        *files += 1;
        self.file(&format!("manifest-{files}.yaml"), yaml)
    }

    /// Writes a file into the test's folder and returns its path.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Plays YAML, and fails the test unless that succeeds.
    #[track_caller]
    pub fn play(&self, yaml: &str) -> Output {
        self.play_with(yaml, &[])
    }

    /// Plays YAML with a container that fails soon: 1 if it has failed before `play` returns, else 0.
    #[track_caller]
    pub fn play_failing(&self, yaml: &str) -> Output {
        let output = self.try_play(yaml, &[]);
        assert!(matches!(output.code, 0 | 1) && output.stdout.contains(" created\n"), "{output}");
        output
    }

    /// Plays YAML with flags, and fails the test unless that succeeds.
    #[track_caller]
    pub fn play_with(&self, yaml: &str, flags: &[&str]) -> Output {
        self.try_play(yaml, flags).expect(0)
    }

    /// Plays YAML with flags.
    #[track_caller]
    pub fn try_play(&self, yaml: &str, flags: &[&str]) -> Output {
        let file = self.manifest(yaml);
        self.run(&[&["play", &file], flags].concat())
    }

    /// Returns a pod as a Kubernetes object, from `kube inspect`.
    #[track_caller]
    pub fn pod(&self, name: &str) -> Value {
        let value = self.ok(&["inspect", name, "-o", "json"]).json();
        assert_eq!(value["kind"], "Pod", "{value:#}");
        value
    }

    /// Returns the names of all pods.
    #[track_caller]
    pub fn pods(&self) -> Vec<String> {
        let list = self.ok(&["ps", "-o", "json"]).json();
        let items = list["items"].as_array().unwrap_or_else(|| panic!("no items: {list:#}"));
        items.iter().map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the status of a container or init container.
    #[track_caller]
    pub fn container(&self, pod: &str, name: &str) -> Value {
        let pod = self.pod(pod);
        let all =
            ["initContainerStatuses", "containerStatuses"].iter().filter_map(|l| pod["status"][l].as_array());
        let found = all.flatten().find(|c| c["name"] == name);
        found.unwrap_or_else(|| panic!("no container {name}: {pod:#}")).clone()
    }

    /// Waits for a condition of `kube wait`.
    #[track_caller]
    pub fn wait(&self, pod: &str, condition: &str) {
        let timeout = format!("{}s", crate::limit(60).as_secs());
        self.ok(&["wait", pod, &format!("--for={condition}"), "--timeout", &timeout]);
    }

    /// Waits until `fits` is true for a pod. Each event of `kube events` causes a check.
    #[track_caller]
    pub fn until(&self, pod: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let events = self.dir.join("run/events");
        let deadline = std::time::Instant::now() + crate::limit(60);
        let changes = Changes::of(&events);
        loop {
            let value = self.pod(pod);
            if fits(&value) {
                return value;
            }
            assert!(changes.wait(deadline), "it never came to that: {:#}", self.pod(pod)["status"]);
        }
    }

    /// Waits until `fits` is true for all pods. If no event arrives it checks nevertheless, by a command, because the
    /// process that would write the event may have been killed.
    #[track_caller]
    pub fn until_all(&self, fits: impl Fn(&[Value]) -> bool) {
        let deadline = std::time::Instant::now() + crate::limit(60);
        let changes = self.runroot().exists().then(|| Changes::of(&self.runroot().join("events")));
        loop {
            let list = self.ok(&["ps", "-A", "-o", "json"]).json();
            if fits(list["items"].as_array().unwrap()) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "it never came to that: {list:#}");
            if let Some(changes) = &changes {
                changes.wait(std::time::Instant::now() + std::time::Duration::from_millis(100));
            }
        }
    }

    /// Runs a shell script in a pod's container and returns its stdout. Fails the test unless the script exits with
    /// 0.
    #[track_caller]
    pub fn sh(&self, pod: &str, script: &str) -> String {
        self.ok(&["exec", pod, "--", "sh", "-c", script]).stdout
    }

    /// Runs a shell script that makes its container end. Its exit code is ignored, because the shell may be killed
    /// together with the container.
    pub fn sh_to_end(&self, pod: &str, script: &str) {
        let _ = self.run(&["exec", pod, "--", "sh", "-c", script]);
    }

    /// Does the same in a container of a pod that has several.
    pub fn sh_to_end_in(&self, pod: &str, container: &str, script: &str) {
        let _ = self.run(&["exec", pod, "-c", container, "--", "sh", "-c", script]);
    }

    /// Returns the address of a pod.
    #[track_caller]
    pub fn ip(&self, pod: &str) -> std::net::IpAddr {
        let pod = self.pod(pod);
        let ip = pod["status"]["podIP"].as_str().unwrap_or_else(|| panic!("no podIP: {:#}", pod["status"]));
        ip.parse().unwrap()
    }

    /// Returns the first process of a container, as seen on the host. Its command line contains `text`.
    #[track_caller]
    pub fn process(&self, pod: &str, text: &str) -> crate::Process {
        let uid = self.pod(pod)["metadata"]["uid"].as_str().unwrap().to_owned();
        let all = self.processes_of(&uid);
        let found = all.iter().find(|p| p.command.contains(text)).cloned();
        found.unwrap_or_else(|| panic!("no process {text:?} in {all:#?}"))
    }

    /// Returns all processes in a pod's cgroups.
    pub fn processes_of(&self, uid: &str) -> Vec<crate::Process> {
        let mangled = uid.replace('-', "_");
        let of = |p: &crate::Process| p.cgroup.contains(uid) || p.cgroup.contains(&mangled);
        crate::processes().into_iter().filter(of).collect()
    }

    /// Returns the supervisors of this instance.
    pub fn supervisors(&self) -> Vec<crate::Process> {
        let run = self.runroot();
        let run = run.to_str().unwrap();
        let ours = |p: &crate::Process| p.command.contains("supervis") && p.command.contains(run);
        crate::processes().into_iter().filter(ours).collect()
    }

    /// Kills the only supervisor of this instance, and waits until it has ended: a command before that would not replace
    /// it.
    #[track_caller]
    pub fn kill_supervisor(&self) {
        let supervisor = self.supervisors().remove(0);
        supervisor.kill(nix::sys::signal::Signal::SIGKILL);
        assert!(supervisor.ends_within(crate::limit(10)));
    }

    /// Remembers the pods and networks that exist now, for the check of what is left of them.
    fn remember(&self) {
        for tree in [self.root(), self.runroot()] {
            let names = std::fs::read_dir(tree.join("pods")).into_iter().flatten().flatten();
            self.uids.lock().unwrap().extend(names.filter_map(|e| e.file_name().into_string().ok()));
        }
        self.networks.lock().unwrap().extend(leaks::bridges(&self.root()));
    }

    /// Removes everything of this instance from the kernel at once, as a power cut does: processes, mounts, cgroups,
    /// links. Its files stay.
    pub fn wipe_kernel(&self) {
        self.remember();
        let (uids, networks) = (self.uids.lock().unwrap(), self.networks.lock().unwrap());
        leaks::remove(&self.dir, &uids, &networks);
    }

    /// Removes the tables of nftables of this instance, as another program does that flushes the rule set.
    pub fn flush_tables(&self) {
        let own = leaks::bridges(&self.root());
        for table in own {
            // A network without pods has no table.
            let _ = Command::new("nft").args(["delete", "table", "inet", &table]).output();
        }
    }

    /// Returns what is on the host and in both trees although everything, including claims, was taken down.
    pub fn not_as_before(&self) -> Vec<String> {
        self.remember();
        let mut left = self.left_behind();
        left.extend(leaks::unexpected_files(&self.dir));
        left
    }

    /// Waits for processes that are about to end, and returns everything of this instance that is on the host except
    /// files.
    pub fn left_behind(&self) -> Vec<String> {
        let uids = self.uids.lock().unwrap();
        leaks::wait_for_processes(&self.dir, &uids);
        let networks = self.networks.lock().unwrap();
        let mut left = leaks::find(&self.dir, &uids, &networks);
        for dir in ["pods", "netns", "runtime", "networks"] {
            left.extend(leaks::files(&self.runroot().join(dir), &uids));
        }
        left.extend(leaks::files(&self.root().join("networks/leases"), &uids));
        left
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        self.remember();
        let failed = std::thread::panicking();
        let down = || command::run(&mut self.command(&["down", "--all", "--force"]), None, crate::limit(60));
        let down = std::panic::catch_unwind(std::panic::AssertUnwindSafe(down));
        let left = self.left_behind();
        if !left.is_empty() {
            leaks::remove(&self.dir, &self.uids.lock().unwrap(), &self.networks.lock().unwrap());
        }
        if failed {
            if std::env::var_os("KUBE_TEST_KEEP").is_none() {
                let _ = std::fs::remove_dir_all(&self.dir);
            }
            if !left.is_empty() {
                eprintln!("left behind: {left:#?}");
            }
            return;
        }
        let removed = std::fs::remove_dir_all(&self.dir);
        let down = down.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert_eq!(down.code, 0, "{down}");
        assert!(left.is_empty(), "left behind: {left:#?}\nafter {down}");
        removed.unwrap();
    }
}

/// Waits for changes of the files of a folder, by inotify.
pub struct Changes {
    inotify: std::os::fd::OwnedFd,
}

impl Changes {
    /// Watches the folder of a file.
    pub fn of(file: &Path) -> Self {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        add_watch(&inotify, file.parent().unwrap(), flags).unwrap();
        Self { inotify }
    }

    /// Waits for a change. Returns false if `deadline` comes first.
    pub fn wait(&self, deadline: std::time::Instant) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        let changed = poll(&mut fds, timeout).is_ok_and(|n| n > 0);
        let _ = rustix::io::read(&self.inotify, &mut [0_u8; 4096]);
        changed
    }
}
