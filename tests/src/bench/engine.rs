//! An engine plays manifests: a build of `kube`, or podman, each with separate trees.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::http::Response;

/// The longest that one command may take.
const LIMIT: Duration = Duration::from_mins(5);

/// An engine with separate trees. When it is dropped, everything that it created is removed from the host.
pub trait Engine {
    /// `kube`, `before` or `podman`.
    fn name(&self) -> &'static str;
    /// The index of its samples: 0 for the build to measure, 1 for what it is compared with.
    fn index(&self) -> usize;
    /// The folder for manifests and outputs.
    fn dir(&self) -> &Path;
    /// A command of the engine on its trees.
    fn command(&self, arguments: &[&str]) -> Command;
    /// Such a command in the host's network, to reach a registry on loopback.
    fn command_on_host(&self, arguments: &[&str]) -> Command;
    /// Arguments that play a file.
    fn play_arguments<'a>(&self, file: &'a str) -> Vec<&'a str>;
    /// Arguments that take down what a file created.
    fn down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str>;
    /// Arguments that take down what a file created and return when networks, cgroups and mounts are removed as well.
    fn whole_down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str>;
    /// Arguments that list pods.
    fn ps_arguments(&self) -> Vec<&'static str>;
    /// Arguments that write a running pod as YAML.
    fn generate_arguments<'a>(&self, pod: &'a str) -> Vec<&'a str>;
    /// Arguments that pull an image.
    fn pull_arguments<'a>(&self, image: &'a str) -> Vec<&'a str>;
    /// Arguments that remove an image.
    fn remove_image_arguments<'a>(&self, image: &'a str) -> Vec<&'a str>;
    /// Requests a page from a published port.
    fn get(&self, address: SocketAddr) -> std::io::Result<Response>;
    /// Waits until background work of commands that have returned is done.
    fn settle(&self);
    /// The folders of the cgroup tree that contain the processes that it runs now.
    fn cgroups(&self) -> Vec<PathBuf>;
}

impl dyn Engine + '_ {
    /// Runs a command to its end and returns how long it took.
    pub fn time(&self, arguments: &[&str]) -> Duration {
        self.time_command(&mut self.command(arguments))
    }

    /// Plays a file and returns how long that took.
    pub fn play(&self, file: &str) -> Duration {
        self.time(&self.play_arguments(file))
    }

    /// Takes down what a file created and returns how long the command took. Then waits for its background work,
    /// because that would disturb the next measurement.
    pub fn down(&self, file: &str) -> Duration {
        let took = self.time(&self.down_arguments(file));
        self.settle();
        took
    }

    /// Runs a command of [`Engine::command`] to its end and returns how long it took.
    pub fn time_command(&self, command: &mut Command) -> Duration {
        // The output is not a pipe, because background processes of the command may keep a pipe open.
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

    /// Writes a manifest and returns its path.
    pub fn manifest(&self, name: &str, yaml: &str) -> String {
        let path = self.dir().join(format!("{name}.yaml"));
        std::fs::write(&path, yaml).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Two folders of an engine: one on a disk, like /var/lib, and one on a tmpfs, like /run.
pub struct Trees {
    /// On a disk.
    pub disk: tempfile::TempDir,
    /// On a tmpfs.
    pub memory: tempfile::TempDir,
}

impl Trees {
    /// Creates the folders.
    pub fn new(engine: &str) -> Self {
        let dir = |below: &str| {
            let made = tempfile::Builder::new().prefix(&format!("kb-{engine}-")).tempdir_in(below);
            made.unwrap_or_else(|e| panic!("{below}: {e}"))
        };
        let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/run" };
        Self { disk: dir("/var/tmp"), memory: dir(memory) }
    }

    /// Returns a path on the disk.
    pub fn on_disk(&self, name: &str) -> String {
        self.disk.path().join(name).to_str().unwrap().to_owned()
    }

    /// Returns a path on the tmpfs.
    pub fn in_memory(&self, name: &str) -> String {
        self.memory.path().join(name).to_str().unwrap().to_owned()
    }
}
