//! Builds the mounts of a container.

use std::path::Path;

use serde_json::{Value, json};

use super::{Container, Mount};
use crate::plan::Propagation;
use crate::runtime::cgroup::{Cgroups, Version, container_path, relative};

const CGROUP: &str = "/sys/fs/cgroup";

/// Returns the mounts of an infra container, which are those that a runtime needs to create one.
pub(super) fn infra() -> Value {
    json!([proc(), dev(), dev_pts(), sys(true)])
}

/// Returns the mounts of a container in the order in which to mount them. A volume at the path of a default replaces
/// it.
pub(super) fn container(container: &Container<'_>) -> Vec<Value> {
    let Container { sandbox, plan, mounts, host, id, .. } = container;
    let cgroups_path = container_path(&sandbox.cgroup, id);
    let mut defaults = vec![proc(), dev(), dev_pts(), mqueue(), sys(!plan.privileged)];
    defaults.extend(cgroup(&host.cgroups, &relative(&cgroups_path), plan.privileged));
    let shm = if sandbox.host_ipc { Path::new("/dev/shm") } else { &sandbox.shm };
    defaults.push(bind(shm, "/dev/shm", &["nosuid", "nodev", "noexec"], false));
    for name in ["hosts", "hostname", "resolv.conf"] {
        defaults.push(bind(&sandbox.etc.join(name), &format!("/etc/{name}"), &[], plan.read_only_root));
    }
    let is_replaced = |default: &Value| {
        let destination = default.get("destination").and_then(Value::as_str).unwrap_or_default();
        mounts.iter().any(|mount| normal(&mount.destination) == destination)
    };
    defaults.retain(|default| !is_replaced(default));
    // A mount below another has to come after it; otherwise the order is kept.
    let mut volumes: Vec<&Mount> = mounts.iter().collect();
    volumes.sort_by_key(|mount| depth(&mount.destination));
    let volumes = volumes.iter().map(|mount| volume(mount));
    let mut all: Vec<Value> = defaults.into_iter().chain(volumes).collect();
    all.sort_by_key(|mount| depth(mount.get("destination").and_then(Value::as_str).unwrap_or_default()));
    all
}

/// Returns true for a path at or below a volume.
pub(super) fn is_covered(path: &Path, mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| path.starts_with(normal(&mount.destination)))
}

/// Returns a path without `//`, `/./`, `..` and a trailing `/`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    format!("/{}", parts.join("/"))
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").count()
}

fn proc() -> Value {
    json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] })
}

fn dev() -> Value {
    let options = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn dev_pts() -> Value {
    let options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options })
}

fn mqueue() -> Value {
    let options = ["nosuid", "noexec", "nodev"];
    json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": options })
}

fn sys(read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    let options = ["nosuid", "noexec", "nodev", access];
    json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options })
}

/// Returns the mounts at /sys/fs/cgroup. On v2 the container's cgroup namespace shows its own cgroup. On v1 the
/// container's folder of each hierarchy is bound, because runtimes implement `type: cgroup` differently, and
/// libcontainer's is writable by the container.
fn cgroup(cgroups: &Cgroups, relative: &str, privileged: bool) -> Vec<Value> {
    let access = if privileged { "rw" } else { "ro" };
    let destination = CGROUP;
    match cgroups.version {
        Version::None => Vec::new(),
        Version::V2 => {
            let options = ["nosuid", "noexec", "nodev", "relatime", access];
            vec![
                json!({ "destination": destination, "type": "cgroup", "source": "cgroup", "options": options }),
            ]
        }
        Version::V1 | Version::Hybrid => {
            let options = ["nosuid", "noexec", "nodev", "mode=755", "size=64k"];
            let folder = json!({
                "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options,
            });
            let hierarchies = cgroups.used().filter_map(|hierarchy| {
                let name = hierarchy.mount.file_name()?.to_str()?;
                let source = hierarchy.mount.join(relative);
                let flags = ["nosuid", "noexec", "nodev"];
                Some(bind(&source, &format!("{destination}/{name}"), &flags, !privileged))
            });
            std::iter::once(folder).chain(hierarchies).collect()
        }
    }
}

/// Returns the folder that [`cgroup`] mounts hierarchies in, if we mount it: it has to be made read-only after they
/// have been mounted.
pub(super) fn cgroup_folder(container: &Container<'_>) -> Option<&'static str> {
    let is_v1 = matches!(container.host.cgroups.version, Version::V1 | Version::Hybrid);
    let is_ours = !container.mounts.iter().any(|mount| normal(&mount.destination) == CGROUP);
    (is_v1 && is_ours).then_some(CGROUP)
}

/// Returns the mount of a volume.
fn volume(mount: &Mount) -> Value {
    let propagation = match mount.propagation {
        Propagation::None => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    let access = match (mount.read_only, mount.recursive_read_only) {
        (true, true) => "rro",
        (true, false) => "ro",
        (false, _) => "rw",
    };
    let destination = normal(&mount.destination);
    let mut options = vec!["rbind", propagation, access];
    options.extend(mount.options.iter().map(String::as_str));
    json!({ "destination": destination, "type": "bind", "source": mount.source, "options": options })
}

fn bind(source: &Path, destination: &str, flags: &[&str], read_only: bool) -> Value {
    let mut options = vec!["rbind", "rprivate"];
    options.extend(flags);
    options.push(if read_only { "ro" } else { "rw" });
    json!({ "destination": destination, "type": "bind", "source": source, "options": options })
}
