//! A pod's cgroup: created before its containers, removed after them.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::{Cgroups, Driver, Hierarchy, PARENT, kill, relative, systemd, weight_of_shares};
use crate::plan::Resources;
use crate::runtime::Error;

/// Time limit for killed processes of a cgroup that is being removed.
const KILL_TIME: Duration = Duration::from_secs(10);
/// Pauses between attempts to remove a folder whose processes have all ended, in milliseconds: the kernel releases the
/// folder shortly after the last of them and sends no notification.
const REMOVE_PAUSES: [u64; 8] = [1, 1, 2, 5, 10, 20, 50, 100];

/// A pod's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCgroup {
    /// The path that [`super::container_path`] and the functions of this module take: an absolute path, or a slice.
    pub path: String,
    /// Limits that this host does not support, as messages for the user that do not name the pod, so that each is
    /// reported once.
    pub warnings: Vec<String>,
}

/// Returns the [`PodCgroup::path`] of a pod, whether the cgroup exists or not.
pub fn pod_path(uid: &str) -> String {
    match Cgroups::get().driver {
        Driver::Systemd => systemd::slice_name(uid),
        Driver::Cgroupfs => cgroupfs_path(uid),
    }
}

fn cgroupfs_path(uid: &str) -> String {
    format!("/{PARENT}/pod{uid}")
}

/// Creates a pod's cgroup with its limits. A second call sets the limits again.
///
/// A controller that this host lacks is not an error: a warning names the limit that is not enforced.
///
/// # Errors
/// If no cgroup can be created at all.
pub fn create_pod(uid: &str, resources: &Resources) -> Result<PodCgroup, Error> {
    let (cgroups, path) = (Cgroups::get(), pod_path(uid));
    let mut warnings = missing(cgroups, resources);
    if cgroups.driver == Driver::Systemd {
        systemd::start_slice(&path, uid, resources)?;
        return Ok(PodCgroup { path, warnings });
    }
    for hierarchy in cgroups.used() {
        let dir = hierarchy.dir(&path);
        let made = if hierarchy.unified { make_v2(hierarchy, &dir) } else { make_v1(hierarchy, &dir) };
        made.map_err(Error::io("create cgroup", &dir))?;
        for (file, value) in settings(hierarchy, resources) {
            if let Err(error) = fs::write(dir.join(&*file), &value) {
                warnings.push(format!("cgroup setting {file} = {value} was refused: {error}"));
            }
        }
    }
    Ok(PodCgroup { path, warnings })
}

/// Returns the limits in `resources` that this host has no controller for, as messages that do not name the object.
pub fn missing(cgroups: &Cgroups, resources: &Resources) -> Vec<String> {
    let wanted = [
        ("cpu", resources.cpu_shares.is_some() || resources.cpu_quota.is_some(), "CPU requests and limits"),
        ("memory", resources.memory_limit.is_some(), "memory limits"),
        ("hugetlb", !resources.huge_pages.is_empty(), "limits of huge pages"),
    ];
    let lacks = |controller: &str| cgroups.hierarchy(controller).is_none();
    wanted
        .into_iter()
        .filter(|(controller, wanted, _)| *wanted && lacks(controller))
        .map(|(controller, _, what)| {
            format!("this host has no {controller} cgroup controller: {what} do nothing")
        })
        .collect()
}

/// Returns the files to write into a pod's folder of one hierarchy, with their contents.
pub(super) fn settings(hierarchy: &Hierarchy, resources: &Resources) -> Vec<(Cow<'static, str>, String)> {
    let mut all: Vec<(Cow<'static, str>, String)> =
        plain_settings(hierarchy, resources).into_iter().map(|(file, value)| (file.into(), value)).collect();
    if hierarchy.controllers.iter().any(|one| one == "hugetlb") {
        let suffix = if hierarchy.unified { "max" } else { "limit_in_bytes" };
        let limits = resources.huge_pages.iter();
        all.extend(limits.map(|(size, bytes)| {
            (format!("hugetlb.{}.{suffix}", page_size_name(*size)).into(), bytes.to_string())
        }));
    }
    all
}

/// Returns the size of huge pages in the spelling of the kernel and of OCI runtimes: `2MB`.
pub fn page_size_name(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 && bytes.is_multiple_of(1 << 30) => format!("{}GB", bytes >> 30),
        bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{}MB", bytes >> 20),
        bytes => format!("{}KB", bytes >> 10),
    }
}

fn plain_settings(hierarchy: &Hierarchy, resources: &Resources) -> Vec<(&'static str, String)> {
    let has = |name: &str| hierarchy.controllers.iter().any(|one| one == name);
    let mut files = Vec::new();
    if has("cpu") {
        let period = resources.cpu_period.unwrap_or(100_000);
        if hierarchy.unified {
            files.extend(resources.cpu_shares.map(|it| ("cpu.weight", weight_of_shares(it).to_string())));
            let quota = resources.cpu_quota.map(|it| if it < 0 { "max".to_owned() } else { it.to_string() });
            files.extend(quota.map(|quota| ("cpu.max", format!("{quota} {period}"))));
        } else {
            files.extend(resources.cpu_shares.map(|it| ("cpu.shares", it.to_string())));
            if let Some(quota) = resources.cpu_quota {
                files.push(("cpu.cfs_period_us", period.to_string()));
                files.push(("cpu.cfs_quota_us", quota.to_string()));
            }
        }
    }
    if has("memory") {
        let file = if hierarchy.unified { "memory.max" } else { "memory.limit_in_bytes" };
        files.extend(resources.memory_limit.map(|it| (file, it.to_string())));
    }
    if has("pids") {
        files.extend(resources.pids_limit.map(|it| ("pids.max", it.to_string())));
    }
    files
}

pub(super) fn make_v1(hierarchy: &Hierarchy, dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    if hierarchy.controllers.iter().any(|name| name == "cpuset") {
        // An empty cpuset cannot contain processes and does not inherit from its parent by itself.
        let mut parents: Vec<&Path> =
            dir.ancestors().take_while(|path| path.starts_with(&hierarchy.mount)).collect();
        parents.reverse();
        for pair in parents.windows(2) {
            let [parent, child] = pair else { continue };
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if fs::read_to_string(child.join(file))?.trim().is_empty() {
                    fs::write(child.join(file), fs::read_to_string(parent.join(file))?.trim())?;
                }
            }
        }
    }
    Ok(())
}

/// Creates a v2 folder, and enables each controller for its children.
pub(super) fn make_v2(hierarchy: &Hierarchy, dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut parents: Vec<&Path> =
        dir.ancestors().take_while(|path| path.starts_with(&hierarchy.mount)).collect();
    parents.reverse();
    for parent in parents {
        for controller in &hierarchy.controllers {
            // If a controller cannot be enabled here (cpuset below a partition, a parent with processes), setting a
            // limit that needs it fails later.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// Removes the cgroup of a pod or a container (its `linux.cgroupsPath`) with its children in every hierarchy, after
/// killing the remaining processes. A missing cgroup is not an error.
///
/// # Errors
/// Every folder that could not be removed.
pub fn remove(path: &str) -> Result<(), Error> {
    let cgroups = Cgroups::get();
    let relative = relative(path);
    let mut errors = Vec::new();
    kill::kill_in(cgroups, &relative, KILL_TIME);
    if !path.starts_with('/') {
        errors.extend(systemd::stop(path).err());
    }
    for hierarchy in &cgroups.hierarchies {
        let dir = hierarchy.dir(&relative);
        errors.extend(remove_tree(&dir).map_err(Error::io("remove cgroup", &dir)).err());
    }
    Error::gather(errors)
}

/// Removes a cgroup folder, deepest first, because in this file system only empty folders can be removed.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    for pause in REMOVE_PAUSES {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(pause));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    fs::remove_dir(dir)
}

/// Returns the cgroups that a pod has on this host, whichever driver created them.
pub fn of_pod(uid: &str) -> Vec<String> {
    let stands = |path: &String| {
        let relative = relative(path);
        Cgroups::get().hierarchies.iter().any(|one| one.dir(&relative).is_dir())
    };
    [cgroupfs_path(uid), systemd::slice_name(uid)].into_iter().filter(stands).collect()
}
