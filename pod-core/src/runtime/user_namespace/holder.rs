//! Creates the namespaces of a pod: a process that holds them until they are bound to files.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use super::IDS;
use crate::runtime::Error;

/// A process in new namespaces. It does nothing, and ends when this value is dropped.
#[derive(Debug)]
pub struct Holder {
    pid: Pid,
    /// Closing it ends the process.
    alive: Option<PipeWriter>,
}

impl Holder {
    /// Starts the process in a new user namespace without a map, and if `network` is true in a new network namespace
    /// that belongs to it.
    ///
    /// # Errors
    /// If the kernel refuses a process or a namespace.
    pub fn start(network: bool) -> Result<Self, Error> {
        let pipe = || std::io::pipe().map_err(Error::call("create", "a pipe"));
        let ((waits, alive), (mut answer, report)) = (pipe()?, pipe()?);
        // SAFETY: the child makes only system calls on values that exist already, and ends by _exit; it neither
        // allocates nor takes locks, so the threads of a command do not matter. A thread could not do this: a process
        // with several threads cannot create a user namespace.
        match unsafe { fork() }.map_err(Error::call("fork", "a process for a user namespace"))? {
            ForkResult::Child => {
                drop(alive);
                hold(network, waits, report);
                // SAFETY: ends this process without running the parent's exit handlers.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => {
                drop((waits, report));
                let holder = Self { pid: child, alive: Some(alive) };
                let mut errno = [0; 4];
                answer.read_exact(&mut errno).map_err(Error::call("create", "a user namespace"))?;
                match i32::from_ne_bytes(errno) {
                    0 => Ok(holder),
                    errno => Err(Error::call("create", "a user namespace")(
                        std::io::Error::from_raw_os_error(errno),
                    )),
                }
            }
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// Maps the [`IDS`] ids from 0 on to those from `first` on of the host. Can be called once.
    ///
    /// # Errors
    /// If the kernel refuses the map.
    pub fn map(&self, first: u32) -> Result<(), Error> {
        for name in ["uid_map", "gid_map"] {
            let path = self.file(name);
            fs::write(&path, format!("0 {first} {IDS}\n")).map_err(Error::io("write", &path))?;
        }
        Ok(())
    }

    /// Opens the user namespace.
    ///
    /// # Errors
    /// If the process was killed.
    pub fn open(&self) -> Result<File, Error> {
        let path = self.file("ns/user");
        File::open(&path).map_err(Error::io("open", &path))
    }

    /// Returns the path of its network namespace, which is valid until this value is dropped.
    pub fn network(&self) -> PathBuf {
        self.file("ns/net")
    }

    /// Binds the user namespace to a file, which is created if it is missing; it then outlives the process.
    ///
    /// # Errors
    /// If the file cannot be created or mounted on.
    pub fn bind(&self, path: &Path) -> Result<(), Error> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Error::io("create", path))?;
        mount(Some(&self.file("ns/user")), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(Error::io("mount a user namespace at", path))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.alive.take();
        let _ = waitpid(self.pid, None);
    }
}

/// What the process does: reports an error number, 0 for none, and waits until its parent has closed the pipe.
fn hold(network: bool, mut waits: PipeReader, mut report: PipeWriter) {
    let mut flags = CloneFlags::CLONE_NEWUSER;
    if network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let errno = unshare(flags).err().map_or(0, |errno| errno as i32);
    if report.write_all(&errno.to_ne_bytes()).is_ok() {
        let _ = waits.read(&mut [0]);
    }
}

/// Unmounts and removes what [`Holder::bind`] created; a missing file is not an error.
///
/// # Errors
/// If the file cannot be removed.
pub fn remove(path: &Path) -> Result<(), Error> {
    // Not mounted, or missing: the file is removed next.
    let _ = umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_gives_its_namespace_a_map_and_ends_with_its_value() {
        ::tests::need_root!();
        let holder = Holder::start(true).unwrap();
        holder.map(1_879_048_192).unwrap();
        let map = fs::read_to_string(holder.file("uid_map")).unwrap();
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "1879048192", "65536"]);
        let of = |path: PathBuf| fs::read_link(path).unwrap();
        for name in ["ns/user", "ns/net"] {
            assert_ne!(of(holder.file(name)), of(Path::new("/proc/self").join(name)), "{name}");
        }
        let pid = holder.file("");
        drop(holder);
        assert!(!pid.exists());
    }

    #[test]
    fn a_bound_namespace_outlives_its_holder_until_it_is_removed() {
        ::tests::need_root!();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let holder = Holder::start(false).unwrap();
        holder.bind(&path).unwrap();
        drop(holder);
        assert!(base::file::is_mount_point(&path));
        remove(&path).unwrap();
        assert!(!path.exists());
        remove(&path).unwrap();
    }
}
