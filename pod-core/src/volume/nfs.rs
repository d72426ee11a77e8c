//! Mounts nfs volumes with the kernel's own client: no mount.nfs, no rpcbind, no rpc.statd.
//!
//! mount(2) wants what mount.nfs computes: the address of the server, a version, and for NFSv3, which needs a daemon for
//! locks, `nolock` (nfs(5)).

use std::ffi::CString;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

/// A folder of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// A host name or an address.
    pub server: String,
    /// The exported path.
    pub path: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// mountOptions.
    pub options: Vec<String>,
}

/// Why a share cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no client for nfs.
    #[error("the kernel of this machine cannot mount nfs: install its module nfs (`modprobe nfs` loads it)")]
    NoKernel,
    /// The name of the server has no address.
    #[error("cannot find the server {server}: {source}")]
    Resolve {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the mount.
    #[error("cannot mount {server}:{path}: {}", explain(*source))]
    Mount {
        /// The server.
        server: String,
        /// The exported path.
        path: String,
        /// The kernel's error.
        #[source]
        source: Errno,
    },
}

/// Returns what an error of a mount means for nfs.
fn explain(error: Errno) -> String {
    let text = io::Error::from(error).to_string();
    match error {
        Errno::ACCESS | Errno::PERM => format!("the server does not allow it ({text})"),
        Errno::PROTONOSUPPORT => format!("the server or the kernel does not speak this version ({text})"),
        Errno::INVAL => format!("the kernel does not accept an option ({text}); see `dmesg`"),
        Errno::NOENT => format!("the server does not export this path ({text})"),
        _ => text,
    }
}

/// The versions that are tried, the newest first, if mountOptions name none.
const VERSIONS: [&str; 4] = ["4.2", "4.1", "4.0", "3"];

/// The options of one attempt: flags of mount(2), and the text for the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// `MS_*`.
    pub flags: MountFlags,
    /// The options for the kernel's client.
    pub data: String,
}

/// Returns the attempts to mount a share, in order: one, if its options name a version.
pub fn attempts(share: &Share, address: IpAddr) -> Vec<Attempt> {
    let mut flags = if share.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    let mut given = Vec::new();
    for option in &share.options {
        match generic(option) {
            Some((flag, true)) => flags |= flag,
            Some((flag, false)) => flags -= flag,
            None if is_for_programs(option) => {}
            None => given.push(option.as_str()),
        }
    }
    if share.read_only {
        flags |= MountFlags::RDONLY;
    }
    let value = |option: &str| option.split_once('=').map_or("", |(_, value)| value).to_owned();
    let version = given.iter().rev().find_map(|option| match *option {
        "v2" => Some("2".to_owned()),
        "v3" => Some("3".to_owned()),
        "v4" => Some("4".to_owned()),
        "v4.0" | "v4.1" | "v4.2" => Some(option.trim_start_matches('v').to_owned()),
        option if option.starts_with("vers=") || option.starts_with("nfsvers=") => Some(value(option)),
        _ => None,
    });
    given.retain(|option| {
        let is_short = matches!(*option, "v2" | "v3" | "v4" | "v4.0" | "v4.1" | "v4.2");
        !is_short && !option.starts_with("vers=") && !option.starts_with("nfsvers=")
    });
    let versions = version.map_or_else(|| VERSIONS.map(str::to_owned).to_vec(), |version| vec![version]);
    let data = |version: &String| {
        let mut all = vec![format!("vers={version}"), format!("addr={address}")];
        if version.starts_with('4') {
            // The kernel takes the address of the connection.
            let unspecified = if address.is_ipv6() { "::" } else { "0.0.0.0" };
            if !given.iter().any(|option| option.starts_with("clientaddr=")) {
                all.push(format!("clientaddr={unspecified}"));
            }
        } else {
            if !given.iter().any(|option| option.starts_with("mountaddr=")) {
                all.push(format!("mountaddr={address}"));
            }
            let has_lock =
                |option: &&str| matches!(*option, "lock" | "nolock") || option.starts_with("local_lock=");
            if !given.iter().any(has_lock) {
                all.push("nolock".to_owned());
            }
        }
        all.extend(given.iter().map(|option| (*option).to_owned()));
        Attempt { flags, data: all.join(",") }
    };
    versions.iter().map(data).collect()
}

/// Returns the flag of mount(2) that an option sets (true) or clears, if it is one for every file system.
fn generic(option: &str) -> Option<(MountFlags, bool)> {
    Some(match option {
        "ro" => (MountFlags::RDONLY, true),
        "rw" => (MountFlags::RDONLY, false),
        "noexec" => (MountFlags::NOEXEC, true),
        "exec" => (MountFlags::NOEXEC, false),
        "nosuid" => (MountFlags::NOSUID, true),
        "suid" => (MountFlags::NOSUID, false),
        "nodev" => (MountFlags::NODEV, true),
        "dev" => (MountFlags::NODEV, false),
        "noatime" => (MountFlags::NOATIME, true),
        "atime" => (MountFlags::NOATIME, false),
        "nodiratime" => (MountFlags::NODIRATIME, true),
        "relatime" => (MountFlags::RELATIME, true),
        "sync" => (MountFlags::SYNCHRONOUS, true),
        "async" => (MountFlags::SYNCHRONOUS, false),
        _ => return None,
    })
}

/// Returns whether an option is for mount(8) or mount.nfs alone.
fn is_for_programs(option: &str) -> bool {
    matches!(option, "defaults" | "auto" | "noauto" | "_netdev" | "nofail" | "bg" | "fg" | "user" | "nouser")
        || option.starts_with("retry=")
        || option.starts_with("x-")
}

/// Mounts a share on an existing folder.
///
/// # Errors
/// Those of the last version that was tried.
pub fn mount_share(share: &Share, target: &Path) -> Result<(), Error> {
    if !is_available() {
        return Err(Error::NoKernel);
    }
    let fail = |source| Error::Mount { server: share.server.clone(), path: share.path.clone(), source };
    let address = resolve(&share.server)?;
    let host = if address.is_ipv6() && share.server.contains(':') {
        format!("[{}]", share.server.trim_matches(['[', ']']))
    } else {
        share.server.clone()
    };
    let source = format!("{host}:{}", share.path);
    let mut last = Errno::PROTONOSUPPORT;
    for attempt in attempts(share, address) {
        let data = CString::new(attempt.data).map_err(|_| fail(Errno::INVAL))?;
        match mount(source.as_str(), target, "nfs", attempt.flags, data.as_c_str()) {
            Ok(()) => return Ok(()),
            Err(Errno::NODEV) => return Err(Error::NoKernel),
            // Another version may be spoken, or another path exported for it.
            Err(error @ (Errno::PROTONOSUPPORT | Errno::INVAL | Errno::NOENT | Errno::OPNOTSUPP)) => {
                last = error;
            }
            Err(error) => return Err(fail(error)),
        }
    }
    Err(fail(last))
}

fn resolve(server: &str) -> Result<IpAddr, Error> {
    let plain = server.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = plain.parse() {
        return Ok(address);
    }
    let fail = |source| Error::Resolve { server: server.to_owned(), source };
    let mut found = (plain, 0).to_socket_addrs().map_err(fail)?;
    let first = found.next().map(|address| address.ip());
    first.ok_or_else(|| fail(io::Error::other("it has no address")))
}

/// Returns whether the kernel can mount nfs, by a module that is loaded, built in or can be loaded.
pub fn is_available() -> bool {
    let loaded = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if knows_nfs(&loaded) {
        return true;
    }
    let Ok(release) = std::fs::read_to_string("/proc/sys/kernel/osrelease") else { return false };
    let folder = Path::new("/lib/modules").join(release.trim());
    let list = std::fs::read_to_string(folder.join("modules.dep")).unwrap_or_default();
    has_module(&list)
}

/// Returns whether a list of file systems (/proc/filesystems) has nfs.
fn knows_nfs(filesystems: &str) -> bool {
    filesystems.lines().filter_map(|line| line.split_whitespace().last()).any(|name| name == "nfs")
}

/// Returns whether a list of modules (modules.dep(5)) has nfs.
fn has_module(list: &str) -> bool {
    let modules = list.lines().filter_map(|line| line.split(':').next());
    modules.filter_map(|path| path.rsplit('/').next()).any(|file| file.starts_with("nfs.ko"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(options: &[&str], read_only: bool, address: &str) -> Vec<(bool, String)> {
        let share = Share {
            server: "files".to_owned(),
            path: "/export".to_owned(),
            read_only,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        };
        let all = attempts(&share, address.parse().unwrap());
        all.into_iter().map(|one| (one.flags.contains(MountFlags::RDONLY), one.data)).collect()
    }

    #[test]
    fn every_version_is_tried_from_the_newest_on() {
        assert_eq!(
            data(&[], false, "192.0.2.1"),
            [
                (false, "vers=4.2,addr=192.0.2.1,clientaddr=0.0.0.0".to_owned()),
                (false, "vers=4.1,addr=192.0.2.1,clientaddr=0.0.0.0".to_owned()),
                (false, "vers=4.0,addr=192.0.2.1,clientaddr=0.0.0.0".to_owned()),
                (false, "vers=3,addr=192.0.2.1,mountaddr=192.0.2.1,nolock".to_owned()),
            ]
        );
    }

    #[test]
    fn options_choose_the_version_and_the_rest_is_passed_on() {
        let only = |options: &[&str]| {
            let mut all = data(options, false, "2001:db8::1");
            assert_eq!(all.len(), 1);
            all.remove(0).1
        };
        assert_eq!(
            only(&["nfsvers=4.1", "hard", "rsize=4096"]),
            "vers=4.1,addr=2001:db8::1,clientaddr=::,hard,rsize=4096"
        );
        assert_eq!(only(&["vers=3", "lock"]), "vers=3,addr=2001:db8::1,mountaddr=2001:db8::1,lock");
        assert_eq!(only(&["v4.2", "soft", "_netdev", "bg"]), "vers=4.2,addr=2001:db8::1,clientaddr=::,soft");
    }

    #[test]
    fn read_only_of_the_volume_wins_over_its_options() {
        assert!(data(&["rw"], true, "192.0.2.1").iter().all(|(read_only, _)| *read_only));
        assert!(
            data(&["ro"], false, "192.0.2.1")
                .iter()
                .all(|(read_only, data)| *read_only && !data.contains("ro"))
        );
        let share = Share {
            server: "files".to_owned(),
            path: "/".to_owned(),
            read_only: false,
            options: vec!["noexec".to_owned(), "nosuid".to_owned(), "vers=4".to_owned()],
        };
        let only = &attempts(&share, "192.0.2.1".parse().unwrap())[0];
        assert_eq!(only.flags, MountFlags::NOEXEC | MountFlags::NOSUID);
    }

    #[test]
    fn the_client_is_found_loaded_or_loadable() {
        assert!(knows_nfs("nodev\tsysfs\nnodev\tnfs\n\text4\n"));
        assert!(!knows_nfs("nodev\tnfsd\n\text4\n"));
        assert!(has_module("kernel/fs/nfs/nfs.ko.xz: kernel/net/sunrpc/sunrpc.ko.xz\n"));
        assert!(!has_module("kernel/fs/nfsd/nfsd.ko: kernel/fs/nfs_common/nfs_acl.ko\n"));
    }
}
