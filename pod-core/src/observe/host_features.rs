//! The features of this host that pods depend on: which there are, what is missing and how to get it.
//!
//! [`HostFacts::gather`] reads the host and changes nothing; [`HostFacts::features`] is pure.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::manifest::PidsLimit;
use crate::runtime::cgroup::{DEFAULT_PIDS, PIDS_VARIABLE, default_pids_limit};

/// What was found on this host. What cannot be read counts as missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Effective user id.
    pub uid: u32,
    /// Linux release, `6.18.0`.
    pub kernel: String,
    /// `ID` and `ID_LIKE` of os-release(5).
    pub distribution: String,
    /// The file systems that the kernel supports now.
    pub filesystems: Vec<String>,
    /// True if there is a module for overlayfs, loaded or not.
    pub overlay_module: bool,
    /// The type of the file system that `--root` is, or will be, on.
    pub root_filesystem: String,
    /// The type of the file system that `--runroot` is, or will be, on.
    pub runroot_filesystem: String,
    /// True if the kernel supports seccomp filters.
    pub seccomp: bool,
    /// The cgroup controllers, each with the version of its hierarchy.
    pub controllers: BTreeMap<String, CgroupVersion>,
    /// True if a cgroup2 file system is mounted.
    pub cgroup2: bool,
    /// True if systemd is the init process.
    pub systemd: bool,
    /// The permitted capabilities of this process, a bit per capability (capabilities(7)).
    pub capabilities: u64,
    /// The number of the last capability of the kernel.
    pub last_capability: u32,
    /// user.max_user_namespaces.
    pub user_namespaces: u64,
    /// True if the kernel has IPv6.
    pub ipv6: bool,
    /// The path of `nft`.
    pub nft: Option<PathBuf>,
    /// The paths of OCI runtimes, besides the built-in one.
    pub runtimes: Vec<PathBuf>,
    /// The value of [`PIDS_VARIABLE`].
    pub pids_setting: Option<String>,
}

/// The version of the cgroup hierarchy that has a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// A hierarchy of version 1.
    V1,
    /// The unified hierarchy of version 2.
    V2,
}

/// Whether the host has a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureStatus {
    /// The host has all of it.
    Ok,
    /// Pods run, but some fields of theirs have no effect or fail.
    Limited,
    /// Pods need the feature, and the host does not have it.
    Missing,
}

impl FeatureStatus {
    /// Returns the word that is printed and serialized.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One feature of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// The name of the feature.
    pub name: &'static str,
    /// Whether the host has it.
    pub status: FeatureStatus,
    /// What was found.
    pub detail: String,
    /// What the lack of it means, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl HostFacts {
    /// Reads the facts of this host.
    pub fn gather(root: &Path, runroot: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let uname = rustix::system::uname();
        let kernel = uname.release().to_string_lossy().into_owned();
        let status = read("/proc/self/status");
        let capabilities = status
            .lines()
            .find_map(|line| line.strip_prefix("CapPrm:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0);
        let os_release = read("/etc/os-release");
        let field = |name: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
        };
        let filesystems = read("/proc/filesystems");
        let filesystems = filesystems.lines().filter_map(|line| line.split_whitespace().last());
        let mounts = read("/proc/self/mountinfo");
        let modules = Path::new("/lib/modules").join(&kernel);
        let module_lists =
            ["modules.dep", "modules.builtin"].map(|name| fs::read_to_string(modules.join(name)));
        Self {
            uid: rustix::process::geteuid().as_raw(),
            distribution: format!("{} {}", field("ID"), field("ID_LIKE")).trim().to_owned(),
            filesystems: filesystems.map(str::to_owned).collect(),
            overlay_module: module_lists.iter().flatten().any(|list| list.contains("/overlay.ko")),
            root_filesystem: filesystem_of(&mounts, root),
            runroot_filesystem: filesystem_of(&mounts, runroot),
            seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
            controllers: controllers(&mounts),
            cgroup2: mounted(&mounts).any(|(_, kind, _)| kind == "cgroup2"),
            systemd: Path::new("/run/systemd/system").is_dir(),
            capabilities,
            last_capability: read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(40),
            user_namespaces: read("/proc/sys/user/max_user_namespaces").trim().parse().unwrap_or(0),
            ipv6: Path::new("/proc/sys/net/ipv6").is_dir(),
            nft: network::find_nft(),
            runtimes: ["crun", "runc"].into_iter().filter_map(find_program).collect(),
            pids_setting: std::env::var_os(PIDS_VARIABLE).map(|value| value.to_string_lossy().into_owned()),
            kernel,
        }
    }

    /// Returns every feature, in the order in which they are printed.
    pub fn features(&self) -> Vec<Feature> {
        vec![
            self.user(),
            self.cgroups(),
            self.pids_limit(),
            self.capability_set(),
            self.seccomp(),
            self.overlay(),
            self.nft(),
            self.ipv6(),
            self.user_namespaces(),
            self.root(),
            self.runroot(),
            self.runtimes(),
        ]
    }

    fn user(&self) -> Feature {
        if self.uid == 0 {
            return feature("user", FeatureStatus::Ok, "root", None);
        }
        let detail = format!("rootless, uid {}", self.uid);
        feature(
            "user",
            FeatureStatus::Limited,
            detail,
            Some("networks, limits and mounts need root: run kube with sudo"),
        )
    }

    fn cgroups(&self) -> Feature {
        const WANTED: [&str; 3] = ["cpu", "memory", "pids"];
        let version = |version| self.controllers.values().any(|one| *one == version);
        let kind = match (version(CgroupVersion::V1), self.cgroup2) {
            (false, true) => "v2",
            (true, true) => "v1 and v2 (hybrid)",
            (true, false) => "v1",
            (false, false) => "none",
        };
        let (there, lacking): (Vec<&str>, Vec<&str>) =
            WANTED.into_iter().partition(|name| self.controllers.contains_key(*name));
        let driver = if self.systemd { "systemd" } else { "cgroupfs" };
        let detail = format!("{kind}, driver {driver}; {}", listed(&there));
        if kind == "none" {
            return feature(
                "cgroups",
                FeatureStatus::Missing,
                "none mounted",
                Some("mount -t cgroup2 none /sys/fs/cgroup"),
            );
        }
        if lacking.is_empty() {
            return feature("cgroups", FeatureStatus::Ok, detail, None);
        }
        let remedy = format!(
            "limits of {} are not enforced: the kernel's command line (cgroup_enable=..., cgroup_no_v1=all) and \
             the parent's cgroup.subtree_control say which controllers there are",
            listed(&lacking)
        );
        feature(
            "cgroups",
            FeatureStatus::Limited,
            format!("{detail}; without {}", listed(&lacking)),
            Some(&remedy),
        )
    }

    fn pids_limit(&self) -> Feature {
        let setting = self.pids_setting.as_deref();
        let limit = match default_pids_limit(setting) {
            Some(limit) => format!("{limit} processes for each pod"),
            None => "none".to_owned(),
        };
        let detail =
            format!("{limit} (from {})", if setting.is_some() { PIDS_VARIABLE } else { "the default" });
        if let Some(Err(error)) = setting.map(PidsLimit::parse) {
            let remedy = format!("{PIDS_VARIABLE}: {error}; pods get the default of {DEFAULT_PIDS}");
            let detail = format!("{DEFAULT_PIDS} processes for each pod");
            return feature("pids limit", FeatureStatus::Limited, detail, Some(&remedy));
        }
        if !self.controllers.contains_key("pids") {
            let remedy = "one pod can use up the process ids of this host: cgroups have no controller pids";
            return feature("pids limit", FeatureStatus::Limited, "not enforced", Some(remedy));
        }
        feature("pids limit", FeatureStatus::Ok, detail, None)
    }

    fn capability_set(&self) -> Feature {
        let lacking: Vec<String> = (0..=self.last_capability.min(63))
            .filter(|bit| self.capabilities & (1 << bit) == 0)
            .map(capability_name)
            .collect();
        let count = self.last_capability.saturating_add(1) as usize;
        match lacking.len() {
            0 => feature("capabilities", FeatureStatus::Ok, "all", None),
            few if few <= 8 => feature(
                "capabilities",
                FeatureStatus::Limited,
                format!("without {}", lacking.join(", ")),
                Some(&capability_remedy(&lacking)),
            ),
            many => feature(
                "capabilities",
                FeatureStatus::Limited,
                format!("{} of {count}", count.saturating_sub(many)),
                Some(&capability_remedy(&lacking)),
            ),
        }
    }

    fn seccomp(&self) -> Feature {
        if self.seccomp {
            return feature("seccomp", FeatureStatus::Ok, "filters", None);
        }
        let remedy = "containers run unfiltered: use a kernel with CONFIG_SECCOMP_FILTER";
        feature("seccomp", FeatureStatus::Limited, "no filters", Some(remedy))
    }

    fn overlay(&self) -> Feature {
        if self.filesystems.iter().any(|name| name == "overlay") {
            return feature("overlay", FeatureStatus::Ok, "in the kernel", None);
        }
        if self.overlay_module {
            return feature("overlay", FeatureStatus::Ok, "a module, loaded when it is needed", None);
        }
        let remedy = "images cannot be mounted: modprobe overlay, or use a kernel with CONFIG_OVERLAY_FS";
        feature("overlay", FeatureStatus::Missing, "the kernel has none", Some(remedy))
    }

    fn nft(&self) -> Feature {
        if let Some(path) = &self.nft {
            return feature("nft", FeatureStatus::Ok, path.display().to_string(), None);
        }
        let install = self.install("nftables");
        let remedy = format!("pods get no network, but hostNetwork works: {install}");
        feature("nft", FeatureStatus::Missing, "not found", Some(&remedy))
    }

    fn ipv6(&self) -> Feature {
        if self.ipv6 {
            return feature("ipv6", FeatureStatus::Ok, "on", None);
        }
        feature(
            "ipv6",
            FeatureStatus::Limited,
            "off",
            Some("pods get IPv4 addresses only: boot without ipv6.disable=1"),
        )
    }

    fn user_namespaces(&self) -> Feature {
        if self.user_namespaces > 0 {
            return feature(
                "user namespaces",
                FeatureStatus::Ok,
                format!("up to {}", self.user_namespaces),
                None,
            );
        }
        let remedy = "sysctl -w user.max_user_namespaces=15000";
        feature("user namespaces", FeatureStatus::Limited, "off", Some(remedy))
    }

    fn root(&self) -> Feature {
        let kind = &self.root_filesystem;
        if matches!(kind.as_str(), "overlay" | "nfs" | "nfs4" | "cifs" | "vfat" | "9p" | "fuse" | "virtiofs")
        {
            let remedy = format!(
                "{kind} cannot hold the upper layer of an overlay: choose another file system with --root"
            );
            return feature("root", FeatureStatus::Missing, kind.clone(), Some(&remedy));
        }
        feature("root", FeatureStatus::Ok, kind.clone(), None)
    }

    fn runroot(&self) -> Feature {
        let kind = &self.runroot_filesystem;
        if kind == "tmpfs" {
            return feature("runroot", FeatureStatus::Ok, kind.clone(), None);
        }
        let remedy = "on a tmpfs pods start faster: mount one, or choose one with --runroot";
        feature("runroot", FeatureStatus::Limited, kind.clone(), Some(remedy))
    }

    fn runtimes(&self) -> Feature {
        let mut detail = "built in".to_owned();
        for path in &self.runtimes {
            detail = format!("{detail}, {}", path.display());
        }
        feature("oci runtimes", FeatureStatus::Ok, detail, None)
    }

    /// Returns the command that installs a package on this distribution.
    fn install(&self, package: &str) -> String {
        let like = |name: &str| self.distribution.split_whitespace().any(|id| id == name);
        if like("debian") || like("ubuntu") {
            format!("apt-get install {package}")
        } else if like("fedora") || like("rhel") || like("centos") {
            format!("dnf install {package}")
        } else if like("suse") || like("opensuse") {
            format!("zypper install {package}")
        } else if like("arch") {
            format!("pacman -S {package}")
        } else if like("alpine") {
            format!("apk add {package}")
        } else {
            format!("install {package}")
        }
    }
}

fn feature(
    name: &'static str,
    status: FeatureStatus,
    detail: impl Into<String>,
    remedy: Option<&str>,
) -> Feature {
    Feature { name, status, detail: detail.into(), remedy: remedy.map(str::to_owned) }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "no controllers".to_owned() } else { names.join(", ") }
}

fn capability_remedy(lacking: &[String]) -> String {
    let mut effects = Vec::new();
    let lacks = |name: &str| lacking.iter().any(|one| one == name);
    if lacks("CAP_SYS_RESOURCE") {
        effects.push("limits cannot be raised nor oom_score_adj lowered");
    }
    if lacks("CAP_SYS_ADMIN") {
        effects.push("nothing can be mounted and no namespace made");
    }
    if lacks("CAP_NET_ADMIN") {
        effects.push("no network can be set up");
    }
    if lacks("CAP_MKNOD") {
        effects.push("no devices can be made");
    }
    let effects =
        if effects.is_empty() { "containers cannot be given them".to_owned() } else { effects.join("; ") };
    format!("{effects}: run kube where nothing took them away (as root, outside of a container)")
}

/// Returns the name of a capability by its number (capabilities(7)).
fn capability_name(bit: u32) -> String {
    const NAMES: [&str; 41] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];
    match NAMES.get(bit as usize) {
        Some(name) => format!("CAP_{name}"),
        None => format!("capability {bit}"),
    }
}

/// Returns mount point, type and super options of every mount (proc_pid_mountinfo(5)).
fn mounted(mountinfo: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let mut after = after.split(' ');
        let kind = after.next()?;
        Some((point, kind, after.nth(1).unwrap_or_default()))
    })
}

/// Returns the type of the file system that a path is, or would be, on.
fn filesystem_of(mountinfo: &str, path: &Path) -> String {
    // The path may not exist yet. Symbolic links are resolved, because the target decides which mount it is.
    let real = path.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_else(|| path.to_owned());
    let mut best = (0, "unknown");
    for (point, kind, _) in mounted(mountinfo) {
        // The later of two mounts at one mount point hides the earlier.
        let depth = Path::new(point).components().count();
        if real.starts_with(point) && depth >= best.0 {
            best = (depth, kind);
        }
    }
    best.1.to_owned()
}

/// Returns the controllers of the mounted v1 hierarchies and of the unified hierarchy.
fn controllers(mountinfo: &str) -> BTreeMap<String, CgroupVersion> {
    const KNOWN: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];
    let mut found = BTreeMap::new();
    for (point, kind, options) in mounted(mountinfo) {
        match kind {
            "cgroup" => {
                for name in options.split(',').filter(|name| KNOWN.contains(name)) {
                    found.insert(name.to_owned(), CgroupVersion::V1);
                }
            }
            "cgroup2" => {
                let list =
                    fs::read_to_string(Path::new(point).join("cgroup.controllers")).unwrap_or_default();
                for name in list.split_whitespace().filter(|name| KNOWN.contains(name)) {
                    found.entry(name.to_owned()).or_insert(CgroupVersion::V2);
                }
            }
            _ => {}
        }
    }
    found
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> HostFacts {
        HostFacts {
            uid: 0,
            kernel: "6.1.0".into(),
            distribution: "debian".into(),
            filesystems: vec!["ext4".into(), "overlay".into()],
            overlay_module: true,
            root_filesystem: "ext4".into(),
            runroot_filesystem: "tmpfs".into(),
            seccomp: true,
            controllers: ["cpu", "memory", "pids"].map(|name| (name.to_owned(), CgroupVersion::V2)).into(),
            cgroup2: true,
            systemd: true,
            capabilities: (1 << 41) - 1,
            last_capability: 40,
            user_namespaces: 100,
            ipv6: true,
            nft: Some("/usr/sbin/nft".into()),
            runtimes: Vec::new(),
            pids_setting: None,
        }
    }

    fn summary(facts: &HostFacts, name: &str) -> String {
        let feature = facts.features().into_iter().find(|feature| feature.name == name).unwrap();
        format!("{} | {} | {}", feature.status.as_str(), feature.detail, feature.remedy.unwrap_or_default())
    }

    #[test]
    fn a_host_with_every_feature_has_no_remedies() {
        assert!(
            good()
                .features()
                .iter()
                .all(|feature| feature.status == FeatureStatus::Ok && feature.remedy.is_none())
        );
    }

    #[test]
    fn a_missing_feature_is_listed_with_how_to_get_it() {
        let mut facts = good();
        facts.nft = None;
        facts.controllers.remove("memory");
        facts.capabilities &= !(1 << 24);
        facts.root_filesystem = "overlay".into();
        facts.systemd = false;
        insta::assert_snapshot!(
            ["nft", "cgroups", "capabilities", "root"].map(|name| summary(&facts, name)).join("\n"),
            @r"
        missing | not found | pods get no network, but hostNetwork works: apt-get install nftables
        limited | v2, driver cgroupfs; cpu, pids; without memory | limits of memory are not enforced: the kernel's command line (cgroup_enable=..., cgroup_no_v1=all) and the parent's cgroup.subtree_control say which controllers there are
        limited | without CAP_SYS_RESOURCE | limits cannot be raised nor oom_score_adj lowered: run kube where nothing took them away (as root, outside of a container)
        missing | overlay | overlay cannot hold the upper layer of an overlay: choose another file system with --root
        "
        );
    }

    #[test]
    fn the_limit_of_processes_is_shown_with_its_origin() {
        let mut facts = good();
        assert_eq!(summary(&facts, "pids limit"), "ok | 4096 processes for each pod (from the default) | ");
        facts.pids_setting = Some("100".to_owned());
        assert_eq!(
            summary(&facts, "pids limit"),
            "ok | 100 processes for each pod (from KUBE_PLAY_PIDS_LIMIT) | "
        );
        facts.pids_setting = Some("lots".to_owned());
        assert_eq!(
            summary(&facts, "pids limit"),
            "limited | 4096 processes for each pod | KUBE_PLAY_PIDS_LIMIT: \"lots\" must be a number of processes, at \
             least 1, or unlimited; pods get the default of 4096"
        );
    }

    #[test]
    fn a_path_is_on_the_deepest_and_latest_mount_above_it() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / /proc rw shared:1 - proc proc rw\n\
                      3 1 0:6 / /nowhere/x rw - xfs /dev/b rw\n4 1 0:7 / / rw - overlay o rw\n";
        assert_eq!(filesystem_of(mounts, Path::new("/nowhere/x")), "overlay", "the path does not exist yet");
        assert_eq!(filesystem_of(mounts, Path::new("/proc/self")), "proc");
    }
}
