//! Terminals: an OCI runtime creates the pseudo-terminal inside the container and sends its master over a Unix socket
//! (the console socket of `--console-socket` in runc and similar runtimes).

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Uid, fchown};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Error, selinux};

/// The socket to which a runtime sends a terminal. Removed from disk when dropped.
#[derive(Debug)]
pub struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleSocket {
    /// Listens at `path` and replaces a socket that a crash left there. The socket's folder is created, accessible to
    /// its owner only.
    ///
    /// # Errors
    /// If the socket cannot be created. A path of more than about 100 bytes is supported.
    pub fn bind(path: &Path) -> Result<Self, Error> {
        let failed = || Error::io("listen at", path);
        let dir = path.parent().unwrap_or(Path::new("/"));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(failed())?;
        base::file::remove_file_if_exists(path)?;
        // An address holds 107 bytes (unix(7)); a path through a descriptor of the folder is short.
        let dir = fs::File::open(dir).map_err(failed())?;
        let name = path.file_name().unwrap_or_default();
        let short = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
        let listener = UnixListener::bind(short).map_err(failed())?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Returns its path, for [`super::Create::console_socket`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the master of the terminal.
    ///
    /// # Errors
    /// If no descriptor arrives within `timeout`, or if it is not a terminal.
    pub fn receive(&self, timeout: Duration) -> Result<OwnedFd, Error> {
        let wait = |fd: BorrowedFd<'_>| {
            let timeout = Timespec {
                tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(timeout.subsec_nanos()),
            };
            loop {
                match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)) {
                    Err(rustix::io::Errno::INTR) => {}
                    Ok(0) => {
                        return Err(Error::io("wait for a terminal at", &self.path)(
                            rustix::io::Errno::TIMEDOUT,
                        ));
                    }
                    Ok(_) => return Ok(()),
                    Err(error) => return Err(Error::io("wait for a terminal at", &self.path)(error)),
                }
            }
        };
        wait(self.listener.as_fd())?;
        let (stream, _) = self.listener.accept().map_err(Error::io("accept at", &self.path))?;
        wait(stream.as_fd())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        // The runtime also sends the terminal's name, which is not needed.
        let mut name = [0; 4096];
        recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .map_err(Error::io("receive a terminal at", &self.path))?;
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let fd = fd.ok_or_else(|| Error::failed("receive", "a terminal", "no descriptor came"))?;
        verify(&fd)?;
        Ok(fd)
    }
}

impl AsFd for ConsoleSocket {
    /// The descriptor is readable when a runtime has connected.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Checks that a descriptor is the master of a pseudo-terminal, because a container must not be able to make the
/// supervisor read and write something else in its place.
fn verify(fd: &OwnedFd) -> Result<(), Error> {
    let file = fs::File::from(fd.try_clone().map_err(Error::call("duplicate", "terminal"))?);
    let device = file.metadata().map_err(Error::call("stat", "terminal"))?.rdev();
    let is_ptmx = (libc::major(device), libc::minor(device)) == (5, 2);
    if is_ptmx && rustix::pty::ptsname(fd, Vec::new()).is_ok() {
        return Ok(());
    }
    Err(Error::failed("receive", "a terminal", "what came is not the master of a pseudo-terminal"))
}

/// Changes the owner of a terminal, so that a process of that user can open it again (/dev/stdout), and gives it an
/// SELinux label. Other runtimes do so themselves.
///
/// # Errors
/// If the descriptor is not a master.
pub fn set_owner(master: impl AsFd, uid: u32, label: Option<&str>) -> Result<(), Error> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(master, flags).map_err(Error::call("open", "terminal"))?;
    if let Some(label) = label {
        selinux::label_descriptor(&terminal, label).map_err(Error::call("label", "terminal"))?;
    }
    fchown(terminal, Some(Uid::from_raw(uid)), None).map_err(Error::call("set the owner of", "terminal"))
}

/// Sets the size of a terminal in characters; its processes receive SIGWINCH.
///
/// # Errors
/// If the descriptor is not a terminal.
pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> Result<(), Error> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).map_err(Error::call("resize", "terminal"))
}
