//! A pod's cgroup: made before its containers, removed after them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::{Cgroups, Driver, Hierarchy, PARENT, kill, relative, systemd, weight_of_shares};
use crate::plan::Resources;
use crate::runtime::Error;

/// How long leftovers of a removed cgroup may take to end once they were killed.
const KILL_TIME: Duration = Duration::from_secs(10);
/// Pauses between attempts to remove a folder whose processes have all ended: the kernel frees it a moment
/// after the last of them, and tells nobody.
const REMOVE_PAUSES: [u64; 8] = [1, 1, 2, 5, 10, 20, 50, 100];

/// A pod's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCgroup {
    /// What [`super::container_path`] and the functions of this module take: an absolute path, or a slice.
    pub path: String,
    /// What this host could not do, for the user, in words that do not name the pod (to be said once).
    pub warnings: Vec<String>,
}

/// What [`PodCgroup::path`] of a pod is, whether it has been made or not.
pub fn pod_path(uid: &str) -> String {
    match Cgroups::get().driver {
        Driver::Systemd => systemd::slice_name(uid),
        Driver::Cgroupfs => cgroupfs_path(uid),
    }
}

fn cgroupfs_path(uid: &str) -> String {
    format!("/{PARENT}/pod{uid}")
}

/// Makes a pod's cgroup with its limits. A second call sets the limits again.
///
/// A controller that this host lacks is no error: what it would have limited is named in a warning.
///
/// # Errors
/// When no cgroup can be made at all.
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
            if let Err(error) = fs::write(dir.join(file), &value) {
                warnings.push(format!("cgroup setting {file} = {value} was refused: {error}"));
            }
        }
    }
    Ok(PodCgroup { path, warnings })
}

/// What of `resources` this host has no controller for, in words that do not name who wants it.
pub fn missing(cgroups: &Cgroups, resources: &Resources) -> Vec<String> {
    let wanted = [
        ("cpu", resources.cpu_shares.is_some() || resources.cpu_quota.is_some(), "CPU requests and limits"),
        ("memory", resources.memory_limit.is_some(), "memory limits"),
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

/// Files to write into a pod's folder of one hierarchy.
fn settings(hierarchy: &Hierarchy, resources: &Resources) -> Vec<(&'static str, String)> {
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
    files
}

pub(super) fn make_v1(hierarchy: &Hierarchy, dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    if hierarchy.controllers.iter().any(|name| name == "cpuset") {
        // An empty cpuset takes no process; it does not inherit by itself.
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

/// Makes a v2 folder; each controller is handed down to what will lie in it.
pub(super) fn make_v2(hierarchy: &Hierarchy, dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut parents: Vec<&Path> =
        dir.ancestors().take_while(|path| path.starts_with(&hierarchy.mount)).collect();
    parents.reverse();
    for parent in parents {
        for controller in &hierarchy.controllers {
            // One that cannot be had here (cpuset below a partition, a parent that holds processes) is missed
            // when a limit that needs it is set.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// Removes the cgroup of a pod or a container (its `linux.cgroupsPath`) and what lies in it, in every
/// hierarchy, killing what is left. One that is gone is fine.
///
/// # Errors
/// Every folder that stays.
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

/// Removes a cgroup folder, deepest first: only folders can be removed there, and only empty ones.
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

/// The cgroups that a pod has on this host, whichever driver has made them.
pub fn of_pod(uid: &str) -> Vec<String> {
    let stands = |path: &String| {
        let relative = relative(path);
        Cgroups::get().hierarchies.iter().any(|one| one.dir(&relative).is_dir())
    };
    [cgroupfs_path(uid), systemd::slice_name(uid)].into_iter().filter(stands).collect()
}
