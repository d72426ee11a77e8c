//! How much of the processors and of the memory a cgroup uses.

use std::fs;
use std::path::Path;

use super::{Cgroups, relative};

/// What the processes of a cgroup use, with those below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The processor time since the cgroup was created, in nanoseconds. `None`: the host does not count it.
    pub cpu_ns: Option<u64>,
    /// The working set in bytes, as the kubelet reports it: all memory but file pages that have not been used lately.
    /// `None`: the host has no memory controller.
    pub memory_bytes: Option<u64>,
}

/// Returns what a cgroup (a `linux.cgroupsPath`) uses; `None` if there is no such cgroup.
pub fn usage(cgroups_path: &str) -> Option<Usage> {
    usage_in(Cgroups::get(), &relative(cgroups_path))
}

fn usage_in(cgroups: &Cgroups, relative: &str) -> Option<Usage> {
    let dirs: Vec<_> = cgroups.used().map(|hierarchy| hierarchy.dir(relative)).collect();
    if !dirs.iter().any(|dir| dir.is_dir()) {
        return None;
    }
    let find = |read: fn(&Path) -> Option<u64>| dirs.iter().find_map(|dir| read(dir));
    Some(Usage {
        cpu_ns: find(|dir| {
            let v2 = || Some(field(&dir.join("cpu.stat"), "usage_usec")?.saturating_mul(1000));
            number(&dir.join("cpuacct.usage")).or_else(v2)
        }),
        memory_bytes: find(|dir| {
            let stat = dir.join("memory.stat");
            let (all, inactive) = match number(&dir.join("memory.current")) {
                Some(all) => (all, field(&stat, "inactive_file")),
                None => (number(&dir.join("memory.usage_in_bytes"))?, field(&stat, "total_inactive_file")),
            };
            Some(all.saturating_sub(inactive.unwrap_or_default()))
        }),
    })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns the value of a line `NAME VALUE`.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cgroup::{Hierarchy, Version};

    fn cgroups(version: Version, hierarchies: &[(&Path, &[&str], bool)]) -> Cgroups {
        let hierarchies = hierarchies.iter().map(|(mount, controllers, unified)| Hierarchy {
            mount: mount.to_path_buf(),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            unified: *unified,
        });
        Cgroups { version, hierarchies: hierarchies.collect(), ..Cgroups::default() }
    }

    fn write(dir: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(dir).unwrap();
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
    }

    #[test]
    fn both_versions_are_read_and_inactive_files_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let v2 = dir.path().join("v2");
        write(
            &v2.join("pod/c"),
            &[
                ("cpu.stat", "usage_usec 2500\nuser_usec 1\n"),
                ("memory.current", "1000\n"),
                ("memory.stat", "anon 1\ninactive_file 300\n"),
            ],
        );
        let on_v2 = cgroups(Version::V2, &[(&v2, &["cpu", "memory"], true)]);
        let wanted = Usage { cpu_ns: Some(2_500_000), memory_bytes: Some(700) };
        assert_eq!(usage_in(&on_v2, "pod/c"), Some(wanted));
        assert_eq!(usage_in(&on_v2, "pod/gone"), None);

        let (cpu, memory) = (dir.path().join("cpu"), dir.path().join("memory"));
        write(&cpu.join("pod/c"), &[("cpuacct.usage", "2500000\n")]);
        write(
            &memory.join("pod/c"),
            &[
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
            ],
        );
        let on_v1 =
            cgroups(Version::V1, &[(&cpu, &["cpu", "cpuacct"], false), (&memory, &["memory"], false)]);
        assert_eq!(usage_in(&on_v1, "pod/c"), Some(wanted));
        let without_memory = cgroups(Version::V1, &[(&cpu, &["cpu", "cpuacct"], false)]);
        let usage = usage_in(&without_memory, "pod/c").unwrap();
        assert_eq!(usage.memory_bytes, None, "the host has no memory controller");
    }
}
