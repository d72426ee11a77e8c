//! Network namespaces that outlive the process that created them: bind mounts, like those of ip-netns(8).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use netavark::network::netlink::Socket;
use netavark::network::netlink_route::{LinkID, NetlinkRoute};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::Error;

/// The index of `lo` in every new network namespace.
const LOOPBACK: u32 = 1;

/// Creates a network namespace, brings its loopback up and binds it at `path` (which is created if missing). The
/// caller's own namespace does not change, because the work is done in a separate thread; so the caller may have other
/// threads.
pub fn make_netns(path: &Path) -> Result<(), Error> {
    make_file(path)?;
    base::fail_point!(Worker, "namespace-file-made");
    let made = in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|e| Error::io("make a network namespace for", path)(e.into()))?;
        bring_loopback_up()?;
        mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|e| Error::io("mount a network namespace at", path)(e.into()))
    });
    if made.is_err() {
        let _ = fs::remove_file(path);
    }
    made
}

/// Brings the loopback of a new network namespace (`/proc/PID/ns/net`) up and binds the namespace at `path`, as
/// [`make_netns`] does with one of its own. It may belong to another user namespace.
pub fn bind_netns(namespace: &Path, path: &Path) -> Result<(), Error> {
    make_file(path)?;
    let bound = mount(Some(namespace), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|e| Error::io("mount a network namespace at", path)(e.into()));
    if bound.is_err() {
        let _ = fs::remove_file(path);
    }
    bound.and_then(|()| with_netns(path, bring_loopback_up)?)
}

/// Creates the file to bind a namespace at, with its folder.
fn make_file(path: &Path) -> Result<(), Error> {
    if let Some(dir) = path.parent() {
        base::file::create_private_dir_all(dir).map_err(Error::io("create", dir))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop).map_err(Error::io("create", path))
}

/// Brings the loopback of this thread's network namespace up.
fn bring_loopback_up() -> Result<(), Error> {
    let socket = Socket::<NetlinkRoute>::new();
    socket.and_then(|mut socket| socket.set_up(LinkID::ID(LOOPBACK))).map_err(|e| Error::Refused {
        doing: "bring the loopback of a pod up".to_owned(),
        why: e.to_string(),
    })
}

/// Unmounts and removes a namespace of [`make_netns`]. A namespace that does not exist, or only in part, is no error.
/// The kernel ends the namespace once no process runs in it.
pub fn remove_netns(path: &Path) -> Result<(), Error> {
    // A crash between two binds may have left two mounts on top of each other.
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Not mounted, or the file does not exist.
            Err(nix::Error::EINVAL | nix::Error::ENOENT | nix::Error::ENOTDIR) => break,
            Err(e) => return Err(Error::io("unmount", path)(e.into())),
        }
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound && e.kind() != ErrorKind::NotADirectory => {
            Err(Error::io("remove", path)(e))
        }
        _ => Ok(()),
    }
}

/// Runs `f` inside the network namespace bound at `path`, in a separate thread; the caller's namespace does not change.
/// Sockets opened inside stay in that namespace, also if `f` returns them.
pub fn with_netns<T: Send>(path: &Path, f: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    in_thread(|| {
        setns(&file, CloneFlags::CLONE_NEWNET).map_err(|e| Error::io("enter", path)(e.into()))?;
        Ok(f())
    })
}

/// Sets `net.*` sysctls (names with dots or slashes, as in a pod's `securityContext.sysctls`) inside the network
/// namespace bound at `path`.
pub fn set_sysctls(path: &Path, sysctls: &[(String, String)]) -> Result<(), Error> {
    if sysctls.is_empty() {
        return Ok(());
    }
    with_netns(path, || {
        for (name, value) in sysctls {
            let file = Path::new("/proc/sys").join(sysctl_path(name));
            // /proc/sys/net shows the namespace of the thread that opens it.
            fs::write(&file, value).map_err(Error::io("set", &file))?;
        }
        Ok(())
    })?
}

/// Returns the path of a sysctl. A name has dots or slashes (sysctl(8)), and whichever comes first is the separator;
/// the other character is then literal (`net.ipv4.conf.eth0/1.rp_filter` is interface `eth0.1`).
fn sysctl_path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b'.') => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Returns whether a namespace is bound at `path`.
pub fn netns_exists(path: &Path) -> bool {
    inode(path).is_some()
}

/// Returns the inode of the namespace bound at `path`, if there is one; it identifies the namespace.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    /// The device of nsfs, the file system of all namespaces.
    static NSFS: OnceLock<Option<u64>> = OnceLock::new();
    let found = fs::metadata(path).ok()?;
    let nsfs = NSFS.get_or_init(|| Some(fs::metadata("/proc/self/ns/net").ok()?.dev()));
    (*nsfs == Some(found.dev())).then(|| found.ino())
}

fn in_thread<T: Send>(f: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, f) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(e) => Err(Error::io("start a thread in", Path::new("/proc/self"))(io::Error::other(e))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_names_have_dots_or_slashes() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(sysctl_path("net/ipv4/ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
    }
}
