//! Debian's podman as an engine: runc, netavark, cgroupfs, so that it runs with and without systemd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::http::{self, Response};

use crate::cgroup;
use crate::engine::{Engine, Trees};
use crate::netns::Netns;

/// podman with separate trees and a separate network namespace, because the rules that its netavark creates with
/// iptables, and leaves, would cost every pod of `kube` on the same host some milliseconds.
pub struct Podman {
    trees: Trees,
    netns: Netns,
    /// The lock in /dev/shm was created by this instance.
    lock_is_ours: bool,
}

/// The only file of podman outside its trees.
const LOCK: &str = "/dev/shm/libpod_lock";

impl Podman {
    /// Creates an instance with the busybox image.
    pub fn new() -> Self {
        let podman = Self {
            trees: Trees::new("podman"),
            netns: Netns::new(),
            lock_is_ours: !Path::new(LOCK).exists(),
        };
        // Limits above those of the caller cannot be set without CAP_SYS_RESOURCE.
        let nofile = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let most = nofile.maximum.unwrap_or(1024).min(1024);
        let tmp = podman.trees.in_memory("libpod");
        let disk = |name: &str| podman.trees.on_disk(name);
        let config = format!(
            "[containers]\ndefault_ulimits = [\"nofile={most}:{most}\", \"nproc=1024:1024\"]\nlog_driver = \"k8s-file\"\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             tmp_dir = \"{tmp}\"\nstatic_dir = \"{}\"\nvolume_path = \"{}\"\n\
             [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{}\"\n",
            disk("libpod"),
            disk("volumes"),
            disk("networks"),
        );
        std::fs::write(disk("containers.conf"), config).unwrap();
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            disk("graph"),
            podman.trees.in_memory("run")
        );
        std::fs::write(disk("storage.conf"), storage).unwrap();
        let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
        std::fs::write(disk("policy.json"), policy).unwrap();
        std::fs::create_dir(disk("networks")).unwrap();
        let tar = tests::image::busybox_tar();
        let engine: &dyn Engine = &podman;
        let path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        engine.time(&["import", "--change", path, tar.to_str().unwrap(), tests::image::BUSYBOX]);
        // The first pod builds the image of the infra container.
        let file = engine.manifest("first", &crate::manifests::pods(1));
        engine.play(&file);
        engine.down(&file);
        podman
    }
}

impl Engine for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }
    fn index(&self) -> usize {
        1
    }
    fn dir(&self) -> &Path {
        self.trees.memory.path()
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_on_host(arguments);
        self.netns.enter(&mut command);
        command
    }
    fn command_on_host(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(arguments);
        command.env_clear().env("HOME", self.trees.disk.path()).current_dir("/");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("CONTAINERS_CONF", self.trees.on_disk("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.trees.on_disk("storage.conf"));
        command
    }
    fn play_arguments<'a>(&self, file: &'a str) -> Vec<&'a str> {
        vec!["play", "kube", "--quiet", file]
    }
    fn down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str> {
        vec!["play", "kube", "--down", file]
    }
    fn whole_down_arguments<'a>(&self, file: &'a str) -> Vec<&'a str> {
        self.down_arguments(file)
    }
    fn ps_arguments(&self) -> Vec<&'static str> {
        vec!["pod", "ps"]
    }
    fn generate_arguments<'a>(&self, pod: &'a str) -> Vec<&'a str> {
        vec!["generate", "kube", pod]
    }
    fn pull_arguments<'a>(&self, image: &'a str) -> Vec<&'a str> {
        vec!["pull", "--quiet", "--tls-verify=false", image]
    }
    fn remove_image_arguments<'a>(&self, image: &'a str) -> Vec<&'a str> {
        vec!["rmi", image]
    }
    fn get(&self, address: SocketAddr) -> std::io::Result<Response> {
        self.netns.call(|| http::request(address, "GET", "/", &[], b""))
    }
    fn settle(&self) {}
    fn cgroups(&self) -> Vec<PathBuf> {
        cgroup::find(&|name| name == "libpod_parent")
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let quiet = |command: &mut Command| {
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        quiet(&mut self.command(&["pod", "rm", "--all", "--force", "--time", "0"]));
        quiet(&mut self.command(&["system", "reset", "--force"]));
        if self.lock_is_ours {
            let _ = std::fs::remove_file(LOCK);
        }
        // In each tree of cgroup v1, or in the one of v2.
        let trees = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for tree in trees.map(|e| e.path()).chain([PathBuf::from("/sys/fs/cgroup")]) {
            cgroup::remove(&tree.join("libpod_parent"));
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for dir in [self.trees.disk.path(), self.trees.memory.path()] {
            let points = mounts.lines().rev().filter_map(|l| l.split(' ').nth(1));
            for point in points.filter(|p| Path::new(p).starts_with(dir)) {
                let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
            }
        }
    }
}
