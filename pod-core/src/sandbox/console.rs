//! Terminals of containers. The master of a pty must outlive the supervisor, because its container would get SIGHUP. A
//! small process therefore holds the master and copies the terminal's output into the container's stdout FIFO.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::{ForkResult, fork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::process::Process;
use crate::runtime;

/// How long to wait for a terminal's last output after its container has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// How long a runtime may take to send a terminal's master.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the FIFO that a container with `stdin: true` gets, at both ends, so that it never reads an end of file.
pub fn open_stdin(bundle: &Path) -> io::Result<OwnedFd> {
    let path = bundle.join("stdin");
    match mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(OpenOptions::new().read(true).write(true).open(path)?.into())
}

/// Opens the FIFO of a container with `stdinOnce: true`: its end for the container, which reads an end of file once
/// nothing has the other end open, and the small process that holds this other end open. It outlives a supervisor, as a
/// terminal's process does, and ends when the container has closed its end. Killing it closes the container's stdin.
pub fn open_stdin_once(bundle: &Path) -> io::Result<(OwnedFd, Process)> {
    let both = open_stdin(bundle)?;
    let path = bundle.join("stdin");
    let reader = OwnedFd::from(OpenOptions::new().read(true).open(&path)?);
    let writer = OwnedFd::from(OpenOptions::new().write(true).open(&path)?);
    drop(both);
    // SAFETY: called in a worker, which has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let holder = Process::of(child.as_raw());
            let holder = holder.ok_or_else(|| io::Error::other("the process of stdin ended at once"))?;
            base::fail_point!(Worker, "stdin-held");
            Ok((reader, holder))
        }
        ForkResult::Child => {
            drop(reader);
            close_others(&[writer.as_raw_fd()]);
            // POLLERR, which is always reported: nothing has the FIFO open for reading any more (pipe(7)).
            let mut fds = [PollFd::new(&writer, PollFlags::empty())];
            let _ = rustix::io::retry_on_intr(|| poll(&mut fds, None));
            // SAFETY: _exit ends this process without running the worker's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Opens the stdin of a container for writing, without ever waiting; `None` if the container has closed it.
pub fn write_stdin(bundle: &Path) -> io::Result<Option<OwnedFd>> {
    let mut options = OpenOptions::new();
    match options.write(true).custom_flags(libc::O_NONBLOCK).open(bundle.join("stdin")) {
        Ok(file) => Ok(Some(file.into())),
        Err(e) if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Types an end of file on the terminal of a container (VEOF of termios(3), whose default is Ctrl-D). The first one ends a
/// line that was typed in part, the second one is the end of file after it.
pub fn type_end_of_file(bundle: &Path) -> io::Result<()> {
    const END_OF_FILE: u8 = 4;
    match write_stdin(bundle)? {
        Some(stdin) => Ok(rustix::io::write(stdin, &[END_OF_FILE; 2]).map(drop)?),
        None => Ok(()),
    }
}

/// Gives a container's terminal a size. `holder` is the process that holds its master.
pub fn resize(holder: Process, (rows, columns): (u16, u16)) -> io::Result<()> {
    let pidfd = holder.open().ok_or_else(|| io::Error::other("the terminal's process has ended"))?;
    for entry in std::fs::read_dir(format!("/proc/{}/fd", holder.pid))? {
        let entry = entry?;
        let is_master = std::fs::read_link(entry.path()).is_ok_and(|target| target.ends_with("ptmx"));
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let (true, Some(number)) = (is_master, number) {
            let master = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())?;
            return runtime::console::set_size(master, rows, columns).map_err(io::Error::other);
        }
    }
    Err(io::Error::other("the terminal's process has no terminal"))
}

/// Forks the process that holds `master` until no process uses the terminal any more.
pub fn hold(master: OwnedFd, stdout: OwnedFd, stdin: Option<OwnedFd>) -> io::Result<Process> {
    // SAFETY: called in a worker, which has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Process::of(child.as_raw())
            .ok_or_else(|| io::Error::other("the terminal's process ended at once")),
        ForkResult::Child => {
            let keep: Vec<i32> = [Some(&master), Some(&stdout), stdin.as_ref()]
                .into_iter()
                .flatten()
                .map(AsRawFd::as_raw_fd)
                .collect();
            close_others(&keep);
            copy(master.as_fd(), stdout.as_fd(), stdin.as_ref().map(AsFd::as_fd));
            // SAFETY: _exit ends this process without running the worker's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Closes all other descriptors. The most important is the worker's result pipe, because the supervisor waits for its
/// end.
fn close_others(keep: &[i32]) {
    let Ok(read) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = read.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open {
        if !keep.contains(&fd) {
            // SAFETY: nothing in this process uses these descriptors any more; it only copies and ends.
            unsafe { libc::close(fd) };
        }
    }
}

fn copy(master: BorrowedFd<'_>, stdout: BorrowedFd<'_>, stdin: Option<BorrowedFd<'_>>) {
    let mut chunk = [0u8; 16 * 1024];
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(master, PollFlags::IN)];
        if let Some(stdin) = stdin {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        if rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_err() {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.first() == Some(&true) {
            // EIO: no process has the terminal open any more (pty(7)).
            match rustix::io::retry_on_intr(|| rustix::io::read(master, &mut chunk)) {
                Ok(0) | Err(_) => return,
                Ok(n) => write_all(stdout, chunk.get(..n).unwrap_or_default()),
            }
        }
        if let (Some(stdin), Some(true)) = (stdin, ready.get(1))
            && let Ok(n) = rustix::io::read(stdin, &mut chunk)
        {
            write_all(master, chunk.get(..n).unwrap_or_default());
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(_) => return,
        }
    }
}

/// Waits until the holder of a terminal has copied the last output. Calls `drain` meanwhile, so that the holder never
/// waits for room in the FIFO.
pub fn await_last_output(holder: Process, mut drain: impl FnMut()) {
    let Some(fd) = holder.open() else { return };
    let deadline = Instant::now() + LAST_OUTPUT;
    loop {
        drain();
        let step = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut fds, Some(&step)) {
            Ok(0) | Err(Errno::INTR) if Instant::now() < deadline => {}
            _ => return,
        }
    }
}
