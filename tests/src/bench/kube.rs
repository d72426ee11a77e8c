//! `kube` as an engine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::http::{self, Response};

use crate::cgroup;
use crate::engine::{Engine, Trees};

/// A build of `kube` with separate trees.
pub struct Kube {
    name: &'static str,
    index: usize,
    program: PathBuf,
    trees: Trees,
}

impl Kube {
    /// Creates an instance of the build to measure, with the busybox image.
    pub fn new(program: &Path) -> Self {
        Self::with_index(program, "kube", 0)
    }

    /// Creates an instance of the build to compare with, with the busybox image.
    pub fn before(program: &Path) -> Self {
        Self::with_index(program, "before", 1)
    }

    fn with_index(program: &Path, name: &'static str, index: usize) -> Self {
        let program = program.canonicalize().unwrap();
        let kube = Self { name, index, program, trees: Trees::new(name) };
        let tar = tests::image::busybox_tar();
        let tar = tar.to_str().unwrap();
        (&kube as &dyn Engine).time(&["image", "import", tar, tests::image::BUSYBOX, "--cmd", "sh"]);
        kube
    }

    /// `--root`.
    pub fn root(&self) -> PathBuf {
        self.trees.disk.path().join("root")
    }

    /// `--runroot`.
    pub fn runroot(&self) -> PathBuf {
        self.trees.memory.path().join("run")
    }
}

impl Engine for Kube {
    fn name(&self) -> &'static str {
        self.name
    }
    fn index(&self) -> usize {
        self.index
    }
    fn dir(&self) -> &Path {
        self.trees.memory.path()
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.root()).arg("--runroot").arg(self.runroot()).args(arguments);
        command.env_clear().env("HOME", "/root").current_dir("/");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if let Some(trace) = std::env::var_os("KUBE_TRACE") {
            command.env("KUBE_TRACE", trace);
        }
        command
    }
    fn command_on_host(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }
    fn play_arguments<'a>(&self, file: &'a str) -> Vec<&'a str> {
        vec!["play", file]
    }
    fn down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str> {
        vec!["down", file]
    }
    fn whole_down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str> {
        vec!["down", "--wait", file]
    }
    fn ps_arguments(&self) -> Vec<&'static str> {
        vec!["ps"]
    }
    fn generate_arguments<'a>(&self, pod: &'a str) -> Vec<&'a str> {
        vec!["generate", pod]
    }
    fn pull_arguments<'a>(&self, image: &'a str) -> Vec<&'a str> {
        vec!["image", "pull", image]
    }
    fn remove_image_arguments<'a>(&self, image: &'a str) -> Vec<&'a str> {
        vec!["image", "rm", image]
    }
    fn get(&self, address: SocketAddr) -> std::io::Result<Response> {
        http::request(address, "GET", "/", &[], b"")
    }
    fn settle(&self) {
        let run = self.runroot();
        let run = run.to_str().unwrap();
        let supervises = |p: &&tests::Process| p.command.contains(" supervise ") && p.command.contains(run);
        for supervisor in tests::processes().iter().filter(supervises) {
            assert!(supervisor.ends_within(tests::limit(30)), "{supervisor:?} does not end");
        }
    }
    fn cgroups(&self) -> Vec<PathBuf> {
        let pods = std::fs::read_dir(self.runroot().join("pods")).into_iter().flatten().flatten();
        let uids: Vec<String> = pods.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        cgroup::find(&|name| uids.iter().any(|uid| name.replace('_', "-").contains(uid)))
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        let mut command = self.command(&["down", "--all", "--force"]);
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        // Supervisors end only after their last answer.
        let run = self.runroot();
        let run = run.to_str().unwrap_or_default();
        for process in tests::processes().iter().filter(|p| p.command.contains(run)) {
            process.ends_within(tests::limit(10));
        }
    }
}
