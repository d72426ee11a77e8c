//! Protects our own executable from containers.
//!
//! A process in a container can open `/proc/PID/exe` of a process that enters the container, and overwrite the file
//! that the host will run next (CVE-2019-5736). Therefore a process that enters containers runs from a read-only copy
//! of the mount that is attached nowhere, or else from a sealed copy in memory.

use std::env;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};

use super::Error;

const OWN: &str = "/proc/self/exe";
/// Environment variable with the path of the executable on disk, for a process that runs from a protected copy. It is
/// set by [`reexec_sealed`], which by this also detects a second attempt, and by a process that starts a child from
/// [`sealed`].
pub const PROGRAM: &str = "KUBE_PROGRAM";

/// Runs this program again, with the same arguments and environment, from a copy that containers cannot write. Returns
/// if the process runs from one already. Must be called at the very beginning, while there is one thread.
///
/// # Errors
/// If the kernel supports neither way. The caller may continue, but then hostile containers are a risk.
pub fn reexec_sealed() -> Result<(), Error> {
    if is_sealed() {
        return Ok(());
    }
    if env::var_os(PROGRAM).is_some_and(|path| env::current_exe().is_ok_and(|own| own.as_os_str() != path)) {
        return Err(Error::failed("seal", OWN, "running again from a sealed copy did not help"));
    }
    let path = env::current_exe().map_err(Error::io("read", Path::new(OWN)))?;
    let sealed = read_only_mount().or_else(|_| memory_copy()).map_err(Error::io("seal", Path::new(OWN)))?;
    Err(execute(&sealed, &path))
}

/// Returns a protected copy of our executable for a child to run. `None` if `exe` is another program or the kernel
/// refuses; then the child has to protect itself.
pub fn sealed(exe: &Path) -> Option<OwnedFd> {
    (env::current_exe().ok()? == exe).then(|| read_only_mount().ok()).flatten()
}

/// Returns true if no process can write this process's executable through /proc.
pub fn is_sealed() -> bool {
    let read_only =
        rustix::fs::statvfs(OWN).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    read_only
        || File::open(OWN).is_ok_and(|file| {
            rustix::fs::fcntl_get_seals(&file).is_ok_and(|it| it.contains(SealFlags::WRITE))
        })
}

/// Returns the path of the executable on disk, even if this process runs from a protected copy (`/proc/self/exe` then
/// has no path).
///
/// # Errors
/// If /proc cannot be read.
pub fn program() -> Result<PathBuf, Error> {
    match env::var_os(PROGRAM) {
        Some(path) => Ok(path.into()),
        None => env::current_exe().map_err(Error::io("read", Path::new(OWN))),
    }
}

/// Clones the mount of our executable, restricted to that file and read-only (open_tree(2), mount_setattr(2)). The
/// clone ends with the last process that runs from it.
fn read_only_mount() -> io::Result<OwnedFd> {
    let path = c"/proc/self/exe";
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path ends with NUL; the call reads nothing else.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = owned(fd)?;
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: an empty path with AT_EMPTY_PATH means the descriptor itself; the size argument is the size of the
    // attributes.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if set == 0 { Ok(fd) } else { Err(io::Error::last_os_error()) }
}

/// Returns a copy of our executable in memory that no process can change (memfd_create(2)).
fn memory_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("kube", flags)?;
    let mut file = File::from(fd);
    io::copy(&mut File::open(OWN)?, &mut file)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    // Opened again read-only, because the kernel does not execute a file that is open for writing.
    Ok(File::open(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))?.into())
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Executes the program of a descriptor; returns only an error.
fn execute(program: &OwnedFd, path: &Path) -> Error {
    let c_string = |text: OsString| CString::new(text.into_vec()).ok();
    let args: Vec<CString> = env::args_os().filter_map(c_string).collect();
    let mut env: Vec<CString> = env::vars_os()
        .filter(|(name, _)| name != PROGRAM)
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            c_string(name)
        })
        .collect();
    let mut mark = PROGRAM.as_bytes().to_vec();
    mark.push(b'=');
    mark.extend(path.as_os_str().as_bytes());
    env.extend(CString::new(mark).ok());
    match fexecve(program.as_fd(), &args, &env) {
        Ok(never) => match never {},
        Err(error) => Error::io("run again", path)(error),
    }
}

/// Executes the program of a descriptor with the given arguments and environment.
///
/// # Errors
/// If the kernel refuses; then nothing has changed.
pub fn execute_at(
    program: &OwnedFd,
    args: &[CString],
    env: &[CString],
) -> io::Result<std::convert::Infallible> {
    fexecve(program.as_fd(), args, env)
}

/// Returns a descriptor of our executable for a process that will execute it: a protected copy where the kernel
/// supports that.
///
/// # Errors
/// If the executable cannot be opened.
pub fn descriptor(exe: &Path) -> io::Result<OwnedFd> {
    sealed(exe).map_or_else(|| Ok(File::open(OWN)?.into()), Ok)
}

fn fexecve(fd: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Result<std::convert::Infallible> {
    nix::unistd::execveat(fd, c"", args, env, nix::fcntl::AtFlags::AT_EMPTY_PATH).map_err(io::Error::from)
}
