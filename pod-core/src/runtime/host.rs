//! Facts about this host: capabilities, control groups, processors, devices.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::cgroup::Cgroups;
use super::selinux;
use crate::plan::SeLinux;

/// The properties of the host that specs depend on. All of them can be read without changing the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Capabilities that this process has and so can give to containers, e.g. `CAP_CHOWN`.
    pub capabilities: BTreeSet<String>,
    /// The lowest oom_score_adj that this process may set.
    pub oom_score_adj_min: i32,
    /// Control groups.
    pub cgroups: Cgroups,
    /// Number of processors; some hidden paths exist once per processor.
    pub cpus: u32,
    /// The architecture as Rust names it: `x86_64`, `aarch64`.
    pub arch: String,
    /// Whether containers whose AppArmor profile is RuntimeDefault can be confined.
    pub app_armor: bool,
    /// What the SELinux policy has for containers; `None` without SELinux.
    pub selinux: Option<selinux::Policy>,
    /// Device nodes below /dev, for privileged containers.
    pub devices: Vec<Device>,
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path, below /dev.
    pub path: PathBuf,
    /// Whether it is a block device; otherwise it is a character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Device {
    /// Returns the device node at a path.
    ///
    /// # Errors
    /// If it cannot be looked at, or is no device.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        let meta = fs::metadata(path)?;
        let kind = meta.file_type();
        if !kind.is_block_device() && !kind.is_char_device() {
            return Err(std::io::Error::other("it is not a device"));
        }
        Ok(Self {
            path: path.to_owned(),
            block: kind.is_block_device(),
            major: libc::major(meta.rdev()),
            minor: libc::minor(meta.rdev()),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }
}

impl Host {
    /// Returns the facts about this host, which are read once. What cannot be read counts as missing.
    pub fn get() -> &'static Self {
        static THIS: OnceLock<Host> = OnceLock::new();
        THIS.get_or_init(Self::detect)
    }

    fn detect() -> Self {
        let capabilities: BTreeSet<String> = caps::read(None, caps::CapSet::Permitted)
            .unwrap_or_default()
            .into_iter()
            .map(|capability| capability.to_string())
            .collect();
        let own_score = fs::read_to_string("/proc/self/oom_score_adj")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        // Only a process with CAP_SYS_RESOURCE may go below its own value (proc_pid_oom_score_adj(5)).
        let oom_score_adj_min = if capabilities.contains("CAP_SYS_RESOURCE") { -1000 } else { own_score };
        Self {
            capabilities,
            oom_score_adj_min,
            cgroups: Cgroups::get().clone(),
            cpus: configured_cpus(),
            arch: std::env::consts::ARCH.to_owned(),
            app_armor: super::app_armor::has_default(),
            selinux: selinux::policy(),
            devices: Vec::new(),
        }
    }

    /// Returns the SELinux labels of a container, or of the sandbox, of the pod `uid`; `None` without SELinux.
    pub fn labels(&self, uid: &str, options: &SeLinux, privileged: bool) -> Option<selinux::Labels> {
        Some(selinux::labels(self.selinux.as_ref()?, uid, options, privileged))
    }

    /// Adds the device nodes that a privileged container gets.
    pub fn with_devices(mut self) -> Self {
        self.devices.clear();
        collect_devices(Path::new("/dev"), &mut self.devices);
        self.devices.sort_by(|a, b| a.path.cmp(&b.path));
        self
    }
}

/// Folders of /dev that are separate file systems and are created anew in a container.
const OWN_FILE_SYSTEMS: &[&str] = &["pts", "shm", "fd", "mqueue", "hugepages", ".udev"];

fn collect_devices(dir: &Path, devices: &mut Vec<Device>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
        let kind = meta.file_type();
        let name = entry.file_name();
        if kind.is_dir() {
            if !OWN_FILE_SYSTEMS.iter().any(|own| name == *own) {
                collect_devices(&path, devices);
            }
        } else if (kind.is_block_device() || kind.is_char_device()) && name != "console" && name != "ptmx" {
            devices.extend(Device::at(&path));
        }
    }
}

/// Returns how many processors have a folder below /sys/devices/system/cpu.
fn configured_cpus() -> u32 {
    let is_cpu = |name: &str| {
        name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let count = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_cpu)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
