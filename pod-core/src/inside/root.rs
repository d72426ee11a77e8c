//! The root of a running container, as its processes see it, with all its mounts.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

use super::{Error, retried};
use crate::sandbox::container;

/// The root of a running container.
#[derive(Debug)]
pub struct ContainerRoot {
    root: OwnedFd,
    /// The user and the group of the container's first process.
    owner: (u32, u32),
    /// The working directory of the container's first process, below the root.
    working_dir: PathBuf,
}

impl ContainerRoot {
    /// Opens the root of a run of a container, whose first process is `pid`.
    ///
    /// # Errors
    /// [`Error::Ended`] if that process has ended; the kernel's error.
    pub fn open(pod_uid: &str, name: &str, attempt: u32, pid: i32) -> Result<Self, Error> {
        let ended = || Error::Ended(name.to_owned());
        let path = PathBuf::from(format!("/proc/{pid}"));
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // All further lookups use this descriptor, so that they are about one process even if its pid is used again.
        let process = openat(CWD, &path, folder, Mode::empty()).map_err(|_| ended())?;
        let read = |file: &str| -> Option<String> {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let mut file = std::fs::File::from(openat(&process, file, flags, Mode::empty()).ok()?);
            let mut text = String::new();
            file.read_to_string(&mut text).ok()?;
            Some(text)
        };
        let groups = read("cgroup").ok_or_else(ended)?;
        if !groups.contains(&container::id(pod_uid, name, attempt)) {
            return Err(ended());
        }
        let owner = read("status").and_then(|status| owner(&status)).ok_or_else(ended)?;
        // `root` is a magic link into the mount namespace of the container.
        let root = openat(&process, "root", folder, Mode::empty()).map_err(|error| match error {
            Errno::NOENT | Errno::SRCH => ended(),
            error => Error::at("open", &path.join("root"))(error),
        })?;
        // As the link is read, its text is relative to the container's root, or to ours if it is outside of it.
        let working_dir = readlinkat(&process, "cwd", Vec::new())
            .ok()
            .and_then(|dir| dir.into_string().ok())
            .map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Ok(Self { root, owner, working_dir })
    }

    /// Returns a folder of a test as the root of a container whose files belong to this process.
    #[cfg(test)]
    pub(super) fn of_folder(folder: &Path) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, folder, flags, Mode::empty()).unwrap();
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { root, owner, working_dir: PathBuf::from("/") }
    }

    /// Returns the user and the group that new files belong to: those of the container's first process.
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Returns an absolute path: relative ones begin at the working directory of the container's first process.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.working_dir.join(path)
    }

    /// Opens a path of the container with O_PATH. Links are followed as the container would follow them: absolute ones
    /// begin at its root, and `..` does not lead above it.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn find(&self, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC | more;
        retried(|| openat2(&self.root, path, flags, Mode::empty(), how))
    }
}

/// Returns the effective user and group in the status of a process (proc_pid_status(5)).
fn owner(status: &str) -> Option<(u32, u32)> {
    let id = |name: &str| {
        let ids = status.lines().find_map(|line| line.strip_prefix(name))?;
        ids.split_whitespace().nth(1)?.parse().ok()
    };
    Some((id("Uid:")?, id("Gid:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_the_effective_user() {
        let status = "Name:\tsh\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t6\t7\t8\n";
        assert_eq!(owner(status), Some((1001, 6)));
        assert_eq!(owner("Name:\tsh\n"), None);
    }

    #[test]
    fn a_process_of_no_container_is_refused() {
        let own = i32::try_from(std::process::id()).unwrap();
        let error = ContainerRoot::open("uid", "main", 0, own).unwrap_err();
        assert!(matches!(error, Error::Ended(name) if name == "main"));
    }
}
