//! Checks that images and volumes cannot mislead libcontainer.
//!
//! libcontainer creates links and device nodes in `<root>/dev` by path, and hides paths of `/proc` where it finds them.
//! Therefore these folders must be folders of the container, and only the kernel's own proc file system may be visible
//! at `/proc` (CVE-2019-16884, CVE-2025-52881): in a false one nothing is really hidden or protected, and a write goes
//! to wherever a link points.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{PROC_SUPER_MAGIC, statfs};

/// Files of /proc that a volume may replace (lxcfs does), as in runc.
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

/// The files that libcontainer creates in a container's /dev, with the device numbers
/// (Documentation/admin-guide/devices.txt of the kernel).
const OWN_DEVICES: &[(&str, Option<(u32, u32)>)] = &[
    ("/dev/null", Some((1, 3))),
    ("/dev/zero", Some((1, 5))),
    ("/dev/full", Some((1, 7))),
    ("/dev/random", Some((1, 8))),
    ("/dev/urandom", Some((1, 9))),
    ("/dev/tty", Some((5, 0))),
    ("/dev/ptmx", None),
    ("/dev/fd", None),
    ("/dev/stdin", None),
    ("/dev/stdout", None),
    ("/dev/stderr", None),
    ("/dev/kcore", None),
];

/// Why a volume may not be mounted at its path, worded for the author of the manifest or image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a volume mounted at {0} needs another OCI runtime: use --runtime crun or runc")]
    NeedsOtherRuntime(String),
    #[error("a volume cannot be mounted at {0}: every container has its own")]
    OwnDevice(String),
    #[error("a volume cannot be mounted at {0}: it would hide what the kernel tells")]
    HidesKernel(String),
}

/// Refuses a bind mount that would mislead libcontainer. `shown` is the path in the manifest or image, `place` the path
/// that it resolves to.
pub(super) fn check_place(shown: &str, place: &Path, source: &Path) -> Result<(), Refusal> {
    if place == Path::new("/dev") {
        return Err(Refusal::NeedsOtherRuntime(shown.to_owned()));
    }
    if let Some((_, number)) = OWN_DEVICES.iter().find(|(path, _)| place == Path::new(path)) {
        // The same device of the host, e.g. /dev/null, may replace the container's.
        let is_same = number.is_some() && device_number(source) == *number;
        return if is_same { Ok(()) } else { Err(Refusal::OwnDevice(shown.to_owned())) };
    }
    if !place.starts_with("/proc") || REPLACEABLE.iter().any(|one| place == Path::new(one)) {
        return Ok(());
    }
    let is_proc = || statfs(source).is_ok_and(|it| it.f_type == PROC_SUPER_MAGIC);
    if place == Path::new("/proc") && is_proc() {
        return Ok(());
    }
    Err(Refusal::HidesKernel(shown.to_owned()))
}

/// Returns true for a path that libcontainer creates in every container.
pub(super) fn is_own_device(place: &Path) -> bool {
    OWN_DEVICES.iter().any(|(path, _)| place == Path::new(path))
}

/// Returns major and minor number of a character device.
fn device_number(path: &Path) -> Option<(u32, u32)> {
    let meta = fs::metadata(path).ok()?;
    meta.file_type().is_char_device().then(|| (libc::major(meta.rdev()), libc::minor(meta.rdev())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::runtime::rootfs::Root;

    fn told(root: &Path, source: &str, destination: &str) -> String {
        let place = match Root::open(root).unwrap().place(Path::new(destination)) {
            Ok(place) => place,
            Err(error) => return error.to_string(),
        };
        check_place(destination, &place, Path::new(source)).err().map(|e| e.to_string()).unwrap_or_default()
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
            "a volume cannot be mounted at /data: it would hide what the kernel tells"
        );
        assert!(told(root, "/tmp", "/devices").contains("needs another OCI runtime"));
        for destination in ["/etc", "/round", "/procs", "/new/deep/folder", "/dev/shm", "/proc/cpuinfo"] {
            assert_eq!(told(root, "/tmp", destination), "", "{destination}");
        }
        assert_eq!(told(root, "/tmp", "/loop/x"), rustix::io::Errno::LOOP.to_string());
        assert_eq!(told(root, "/proc", "/proc"), "", "the host's own proc may be shown");
    }

    #[test]
    fn a_device_that_every_container_has_may_be_the_hosts_own_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for device in ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty"] {
            assert_eq!(told(dir.path(), device, device), "");
        }
        for (source, destination) in
            [("/dev/zero", "/dev/null"), ("/tmp", "/dev/null"), ("/dev/null", "/dev/fd")]
        {
            assert!(
                told(dir.path(), source, destination).contains("every container has its own"),
                "{destination}"
            );
        }
    }
}
