//! Changes the limits of cgroups whose processes run.

use std::fs;
use std::path::Path;

use super::pod::settings;
use super::{Cgroups, Driver, relative, systemd};
use crate::plan::Resources;

/// Sets the cpu and memory of the cgroup of a pod or a container (its `linux.cgroupsPath`). Returns what was refused, as
/// messages for the user.
pub fn update(path: &str, resources: &Resources) -> Vec<String> {
    let cgroups = Cgroups::get();
    if cgroups.driver == Driver::Systemd {
        return systemd::set_limits(path, resources)
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect();
    }
    let relative = relative(path);
    let mut problems = Vec::new();
    for hierarchy in cgroups.used() {
        let dir = hierarchy.dir(&relative);
        if !dir.is_dir() {
            continue;
        }
        for (file, value) in settings(hierarchy, resources) {
            if let Err(error) = write(&dir, &file, &value) {
                problems.push(format!("cgroup setting {file} = {value} was refused: {error}"));
            }
        }
    }
    problems
}

/// Writes a setting. On v1 the limit of memory with swap must never be below that of memory, so that it is raised before
/// and lowered after it.
fn write(dir: &Path, file: &str, value: &str) -> std::io::Result<()> {
    const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";
    if file != "memory.limit_in_bytes" || !is_limited(&dir.join(WITH_SWAP)) {
        return fs::write(dir.join(file), value);
    }
    let raised = fs::write(dir.join(WITH_SWAP), value);
    fs::write(dir.join(file), value)?;
    if raised.is_err() { fs::write(dir.join(WITH_SWAP), value) } else { Ok(()) }
}

/// Returns whether a file holds a limit. The kernel shows none as a number near 2^63.
fn is_limited(file: &Path) -> bool {
    let limit = fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok());
    limit.is_some_and(|limit| limit < 1 << 62)
}
