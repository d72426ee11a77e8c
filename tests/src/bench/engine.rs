//! What plays manifests: `kube` or podman, with trees of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::http::Response;

/// The longest that one command may take.
const LIMIT: Duration = Duration::from_mins(5);

/// An engine with trees of its own. What it made is gone from the host once it is dropped.
pub trait Engine {
    /// `kube` or `podman`.
    fn name(&self) -> &'static str;
    /// The index of its samples: 0 for `kube`, 1 for podman.
    fn index(&self) -> usize;
    /// Its folder for manifests and outputs.
    fn dir(&self) -> &Path;
    /// A command of it on its trees.
    fn command(&self, arguments: &[&str]) -> Command;
    /// The same in the host's network, to reach a registry on loopback.
    fn command_on_host(&self, arguments: &[&str]) -> Command;
    /// Arguments that play a file.
    fn play_arguments<'a>(&self, file: &'a str) -> Vec<&'a str>;
    /// Arguments that take down what a file made.
    fn down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str>;
    /// Asks a published port for a page.
    fn get(&self, address: SocketAddr) -> std::io::Result<Response>;
    /// Waits until nothing goes on any more behind commands that have answered.
    fn settle(&self);
    /// Folders of the cgroup tree that hold what it runs now.
    fn cgroups(&self) -> Vec<PathBuf>;
}

impl dyn Engine + '_ {
    /// Runs a command to its end; how long it took.
    pub fn time(&self, arguments: &[&str]) -> Duration {
        self.time_command(&mut self.command(arguments))
    }

    /// Plays a file; how long it took.
    pub fn play(&self, file: &str) -> Duration {
        self.time(&self.play_arguments(file))
    }

    /// Takes down what a file made; how long it took until the answer. What goes on behind it is waited for, so that
    /// it does not disturb what comes next.
    pub fn down(&self, file: &str) -> Duration {
        let took = self.time(&self.down_arguments(file));
        self.settle();
        took
    }

    /// Runs a command of [`Engine::command`] to its end; how long it took.
    pub fn time_command(&self, command: &mut Command) -> Duration {
        // Not pipes: what goes on running behind a command may hold them open.
        let output = self.dir().join("output");
        let file = File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let begun = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.name()));
        let status = child.wait().unwrap();
        let took = begun.elapsed();
        let said = || std::fs::read_to_string(&output).unwrap_or_default();
        assert!(status.success(), "{command:?} ended with {status}:\n{}", said());
        assert!(took < LIMIT, "{command:?} took {took:?}");
        took
    }

    /// Writes a manifest; its path.
    pub fn manifest(&self, name: &str, yaml: &str) -> String {
        let path = self.dir().join(format!("{name}.yaml"));
        std::fs::write(&path, yaml).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Two folders of an engine: one on a disk, as /var/lib is, and one on a tmpfs, as /run is.
pub struct Trees {
    /// On a disk.
    pub disk: tempfile::TempDir,
    /// On a tmpfs.
    pub memory: tempfile::TempDir,
}

impl Trees {
    /// Makes them.
    pub fn new(engine: &str) -> Self {
        let dir = |below: &str| {
            let made = tempfile::Builder::new().prefix(&format!("kb-{engine}-")).tempdir_in(below);
            made.unwrap_or_else(|e| panic!("{below}: {e}"))
        };
        let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/run" };
        Self { disk: dir("/var/tmp"), memory: dir(memory) }
    }

    /// A path on the disk.
    pub fn on_disk(&self, name: &str) -> String {
        self.disk.path().join(name).to_str().unwrap().to_owned()
    }

    /// A path on the tmpfs.
    pub fn in_memory(&self, name: &str) -> String {
        self.memory.path().join(name).to_str().unwrap().to_owned()
    }
}
