//! Control groups: which ones this host has, the paths of pods and containers in them, and operations on them.
//!
//! cgroupfs driver: `/kube-play/pod<uid>/<container id>` in every hierarchy. systemd driver (only where systemd runs):
//! `kubeplay-pod<uid>.slice` with one scope per container. Supervisors are in none of these ([`leave_callers`]).
//! cgroups(7) and the kernel's admin-guide/cgroup-v1 and cgroup-v2 are the reference for every file name here.

mod kill;
mod own;
mod pids;
mod pod;
mod systemd;
mod update;
mod usage;
mod warm;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(super) use kill::kill_as_group;
pub use kill::{kill_all, oom_kills, processes};
pub use own::{LeaveError, leave_callers};
pub use pids::{DEFAULT_PIDS, PIDS_VARIABLE, default_pids_limit, pids_limit_of_environment};
pub use pod::{PodCgroup, create_pod, missing, of_pod, page_size_name, pod_path, remove};
pub use update::update;
pub use usage::{Usage, usage};
pub use warm::Warm;

/// The parent folder of all our pods (cgroupfs driver).
const PARENT: &str = "kube-play";
/// The parent slice of all our pods (systemd driver), without its suffix.
const SLICE: &str = "kubeplay";

/// v1 controllers that OCI runtimes know; a pod gets a cgroup in each of their hierarchies.
const V1_CONTROLLERS: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// The cgroup interface of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// No cgroup file system is mounted.
    #[default]
    None,
    /// v1 only.
    V1,
    /// v1 controllers, and a v2 hierarchy without them.
    Hybrid,
    /// v2 only.
    V2,
}

/// The component that creates cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Driver {
    /// This program, in the cgroup file system.
    #[default]
    Cgroupfs,
    /// systemd, as slices and scopes.
    Systemd,
}

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its mount point.
    pub mount: PathBuf,
    /// Its controllers; `name=systemd` for a named hierarchy, none for the v2 hierarchy of a hybrid host.
    pub controllers: Vec<String>,
    /// Whether it is a v2 hierarchy.
    pub unified: bool,
}

impl Hierarchy {
    /// Returns whether runtimes put containers into it.
    fn is_used(&self) -> bool {
        self.unified && !self.controllers.is_empty()
            || self.controllers.iter().any(|name| V1_CONTROLLERS.contains(&name.as_str()))
    }
    /// Returns the folder of a cgroup, given its path relative to the hierarchy's root.
    fn dir(&self, relative: &str) -> PathBuf {
        self.mount.join(relative.trim_start_matches('/'))
    }
}

/// If this variable is `cgroupfs`, we create cgroups ourselves even where systemd runs.
pub const DRIVER_VARIABLE: &str = "KUBE_PLAY_CGROUP_DRIVER";

/// The control groups of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// The kernel's interface.
    pub version: Version,
    /// The component that creates cgroups.
    pub driver: Driver,
    /// Every hierarchy.
    pub hierarchies: Vec<Hierarchy>,
    /// Whether swap can be limited.
    pub swap: bool,
}

impl Cgroups {
    /// Returns the control groups of this host. They are read once, because neither their mounts nor PID 1 change while
    /// the host runs, and `mountinfo` is long. Forked processes inherit the result.
    pub fn get() -> &'static Self {
        static OF_HOST: OnceLock<Cgroups> = OnceLock::new();
        OF_HOST.get_or_init(Self::detect)
    }

    fn detect() -> Self {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut cgroups = Self::parse(&mountinfo, |mount| {
            fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        });
        let cgroupfs = std::env::var_os(DRIVER_VARIABLE).is_some_and(|driver| driver == "cgroupfs");
        if cgroups.version == Version::V2 && systemd_runs() && !cgroupfs {
            cgroups.driver = Driver::Systemd;
        }
        cgroups.swap = match cgroups.version {
            Version::V2 => Path::new("/proc/swaps").exists(),
            _ => cgroups
                .hierarchy("memory")
                .is_some_and(|memory| memory.mount.join("memory.memsw.limit_in_bytes").exists()),
        };
        cgroups
    }

    /// Parses `/proc/self/mountinfo` (proc_pid_mountinfo(5)); `controllers` returns the controllers of a v2 mount.
    fn parse(mountinfo: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next().unwrap_or_default(), right.nth(1).unwrap_or_default());
            // A mount elsewhere is a private one that runtimes do not use.
            if !mount.starts_with("/sys/fs/cgroup") || hierarchies.iter().any(|known| known.mount == mount) {
                continue;
            }
            let hierarchy = match kind {
                "cgroup" => {
                    let known = |name: &&str| V1_CONTROLLERS.contains(name) || name.starts_with("name=");
                    let controllers = options.split(',').filter(known).map(str::to_owned).collect();
                    Hierarchy { mount, controllers, unified: false }
                }
                "cgroup2" => {
                    let controllers = controllers(&mount).split_whitespace().map(str::to_owned).collect();
                    Hierarchy { mount, controllers, unified: true }
                }
                _ => continue,
            };
            hierarchies.push(hierarchy);
        }
        // A cgroup2 mount on /sys/fs/cgroup hides everything below it.
        let root = Path::new("/sys/fs/cgroup");
        let unified = hierarchies.iter().position(|one| one.unified && one.mount == root);
        let version = match (unified, hierarchies.is_empty(), hierarchies.iter().any(|one| one.unified)) {
            (Some(_), ..) => Version::V2,
            (None, true, _) => Version::None,
            (None, false, true) => Version::Hybrid,
            (None, false, false) => Version::V1,
        };
        if version == Version::V2 {
            hierarchies.retain(|one| one.mount == root);
        } else {
            // On a hybrid host we set no limits in the v2 hierarchy, whatever controllers are left to it.
            hierarchies.iter_mut().filter(|one| one.unified).for_each(|one| one.controllers.clear());
        }
        Self { version, driver: Driver::Cgroupfs, hierarchies, swap: false }
    }

    /// Returns the hierarchy that has a controller.
    pub fn hierarchy(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|one| one.controllers.iter().any(|name| name == controller))
    }

    /// Returns every controller that limits can be set with.
    pub fn controllers(&self) -> BTreeSet<&str> {
        let all = self.hierarchies.iter().flat_map(|one| one.controllers.iter());
        all.map(String::as_str).filter(|name| !name.starts_with("name=")).collect()
    }

    /// Returns the hierarchies that containers are put into.
    pub fn used(&self) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter().filter(|one| one.is_used() || self.version == Version::V2)
    }
}

/// Returns true if systemd is PID 1 and its manager can be called (sd_booted(3)).
fn systemd_runs() -> bool {
    let is_pid_1 = fs::read_to_string("/proc/1/comm").is_ok_and(|name| name.trim() == "systemd");
    is_pid_1 && Path::new("/run/systemd/system").is_dir() && Path::new("/run/systemd/private").exists()
}

/// Returns the `linux.cgroupsPath` of a container in its pod's cgroup ([`PodCgroup::path`]): an absolute path, or
/// `slice:prefix:name` for the systemd driver.
pub fn container_path(pod: &str, id: &str) -> String {
    if pod.starts_with('/') { format!("{pod}/{id}") } else { format!("{pod}:{SLICE}:{id}") }
}

/// Makes systemd forget the scope that a cgroups path names, if `message` is systemd's answer that its cgroup is gone or
/// that it has ended: systemd learns of the end of a scope's last process later than we do, so the scope of an earlier
/// container of the same name may still be known. Returns true if it is worth creating the container again.
pub(super) fn forget_stale_scope(cgroups_path: &str, message: &str) -> bool {
    systemd::is_stale_scope(message) && systemd::forget(cgroups_path)
}

/// Returns the `linux.cgroupsPath` of a cgroup below that of a container.
pub fn below(container: &str, name: &str) -> String {
    format!("/{}/{name}", relative(container))
}

/// Creates a cgroup for some processes of a container ([`below`]), in one hierarchy, because it is only there to find and
/// kill them: limits and counts remain the container's. Returns its `cgroup.procs`; a process that writes 0 to it joins.
///
/// # Errors
/// If the host has no hierarchy for it, or refuses the folder.
pub(super) fn make_below(path: &str) -> std::io::Result<fs::File> {
    let cgroups = Cgroups::get();
    let hierarchy = match cgroups.version {
        Version::V2 => cgroups.hierarchies.first(),
        // Freezing them there keeps them from forking faster than they are killed.
        _ => cgroups.hierarchy("freezer").or_else(|| cgroups.hierarchy("pids")),
    };
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let dir = hierarchy.ok_or_else(missing)?.dir(&relative(path));
    match fs::create_dir(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::OpenOptions::new().write(true).open(dir.join("cgroup.procs"))
}

/// Returns the path below a hierarchy's root of the cgroup that a `linux.cgroupsPath` (or a pod's path) names.
pub fn relative(cgroups_path: &str) -> String {
    if let Some(path) = cgroups_path.strip_prefix('/') {
        return path.to_owned();
    }
    let mut parts = cgroups_path.splitn(3, ':');
    let slice = expand_slice(parts.next().unwrap_or_default());
    match (parts.next(), parts.next()) {
        (Some(prefix), Some(name)) => format!("{slice}/{prefix}-{name}.scope"),
        _ => slice,
    }
}

/// Returns the path of a slice: `a-b-c.slice` is in `a-b.slice`, which is in `a.slice` (systemd.slice(5)).
fn expand_slice(slice: &str) -> String {
    let stem = slice.strip_suffix(".slice").unwrap_or(slice);
    let mut path = String::new();
    for (end, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(stem.get(..end).unwrap_or(stem));
        path.push_str(".slice");
    }
    path
}

/// Converts cpu.shares of v1 to cpu.weight of v2 by the formula of OCI runtimes: [2, 262144] to [1, 10000].
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests;
