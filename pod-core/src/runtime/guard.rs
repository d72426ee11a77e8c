//! What an image or a volume may not make libcontainer do.
//!
//! libcontainer makes links and device nodes in `<root>/dev` by path, and hides paths of `/proc` where it finds
//! them. So these folders must be folders of the container, and nothing but the kernel's own proc file system
//! may be seen at `/proc` (CVE-2019-16884, CVE-2025-52881): on a false one, what is to be hidden or protected
//! is not, and what is written there goes where a link points.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{PROC_SUPER_MAGIC, statfs};
use rustix::io::Errno;

/// Single files of /proc that may be replaced by a volume (lxcfs does), as runc has them.
const REPLACEABLE: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// What libcontainer makes in a container's /dev.
const OWN_DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/fd",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/kcore",
];

/// As the kernel has it (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Refuses a spec that would lead libcontainer astray, in words for whoever wrote its manifest or image.
pub(super) fn check(spec: &Spec) -> Result<(), String> {
    let Some(root) = spec.root() else { return Err("its spec has no root".to_owned()) };
    for name in ["dev", "proc", "sys"] {
        match fs::symlink_metadata(root.path().join(name)) {
            Ok(meta) if !meta.is_dir() => return Err(format!("/{name} of the image is not a folder")),
            _ => {}
        }
    }
    for mount in spec.mounts().iter().flatten().filter(|mount| mount.typ().as_deref() == Some("bind")) {
        check_bind(root.path(), mount)?;
    }
    Ok(())
}

fn check_bind(root: &Path, mount: &Mount) -> Result<(), String> {
    let wanted = mount.destination();
    let place = resolve(root, wanted)
        .map_err(|error| format!("cannot look up {} in the image: {error}", wanted.display()))?;
    let through = if place == *wanted {
        String::new()
    } else {
        format!(" (a link of the image leads to {})", place.display())
    };
    if place == Path::new("/dev") {
        return Err(format!(
            "a volume mounted at {}{through} needs another OCI runtime: use --runtime crun or runc",
            wanted.display()
        ));
    }
    if OWN_DEVICES.iter().any(|one| place == Path::new(one)) {
        return Err(format!(
            "a volume cannot be mounted at {}{through}: every container has its own",
            wanted.display()
        ));
    }
    if !place.starts_with("/proc") || REPLACEABLE.iter().any(|one| place == Path::new(one)) {
        return Ok(());
    }
    let is_proc =
        || mount.source().as_ref().is_some_and(|it| statfs(it).is_ok_and(|it| it.f_type == PROC_SUPER_MAGIC));
    if place == Path::new("/proc") && is_proc() {
        return Ok(());
    }
    Err(format!(
        "a volume cannot be mounted at {}{through}: it would hide what the kernel tells",
        wanted.display()
    ))
}

/// Where a path leads in the image once /proc is there: a link may lead to what does not exist yet. Nobody else
/// has this root yet, so it does not change meanwhile.
fn resolve(root: &Path, path: &Path) -> Result<PathBuf, Errno> {
    let parts = |path: &Path| {
        let text = path.as_os_str().as_bytes().split(|byte| *byte == b'/').rev();
        text.map(|part| OsStr::from_bytes(part).to_owned()).collect::<Vec<_>>()
    };
    let (mut left, mut found, mut links) = (parts(path), PathBuf::from("/"), 0);
    while let Some(part) = left.pop() {
        match part.as_bytes() {
            b"" | b"." => continue,
            b".." => {
                found.pop();
                continue;
            }
            _ => found.push(&part),
        }
        let below = found.strip_prefix("/").unwrap_or(&found);
        let Ok(target) = fs::read_link(root.join(below)) else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        found.pop();
        if target.is_absolute() {
            found = PathBuf::from("/");
        }
        left.extend(parts(&target));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::*;

    fn told(root: &Path, source: &str, destination: &str) -> String {
        let spec = json!({
            "ociVersion": "1.0.2",
            "root": { "path": root },
            "mounts": [{ "destination": destination, "type": "bind", "source": source, "options": [] }],
        });
        check(&serde_json::from_value(spec).unwrap()).err().unwrap_or_default()
    }

    #[test]
    fn volumes_over_proc_and_dev_are_refused_also_through_links_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["dev", "proc", "sys", "etc"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        symlink("/proc/sys", root.join("data")).unwrap();
        symlink("../../../../proc", root.join("etc/deep")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/dev", root.join("devices")).unwrap();
        symlink("/proc/../etc", root.join("round")).unwrap();
        for destination in
            ["/proc", "/proc/sys/kernel", "/proc/1", "/data/kernel", "/etc/deep", "/etc/deep/self"]
        {
            assert!(
                told(root, "/tmp", destination).starts_with("a volume cannot be mounted at"),
                "{destination}"
            );
        }
        assert_eq!(
            told(root, "/tmp", "/data"),
            "a volume cannot be mounted at /data (a link of the image leads to /proc/sys): it would hide what \
             the kernel tells"
        );
        assert!(told(root, "/tmp", "/devices").contains("needs another OCI runtime"));
        for destination in ["/etc", "/round", "/procs", "/new/deep/folder", "/dev/shm", "/proc/cpuinfo"] {
            assert_eq!(told(root, "/tmp", destination), "", "{destination}");
        }
        assert!(told(root, "/tmp", "/loop/x").contains("cannot look up /loop/x"));
        assert_eq!(told(root, "/proc", "/proc"), "", "the host's own proc may be shown");
    }
}
