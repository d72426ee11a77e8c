//! The terminal that we run on: raw mode, its size, and the signals about it.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Keeps our stdin in raw mode until this value is dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Enters raw mode: every key is passed on as it is typed, also Ctrl-C.
    ///
    /// # Errors
    /// stdin is not a terminal.
    pub fn enter() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).context("look at the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Drain, &raw).context("set the terminal up")?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // An error is ignored: the terminal may be gone, and then has no mode to restore.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Returns the size of the terminal that we run on; `None` without a terminal.
fn window() -> Option<Winsize> {
    let ours =
        [std::io::stdout().as_fd().try_clone_to_owned(), std::io::stdin().as_fd().try_clone_to_owned()];
    ours.into_iter().flatten().filter(|fd| fd.is_terminal()).find_map(|terminal| tcgetwinsize(&terminal).ok())
}

/// Returns rows and columns of the terminal that we run on; `None` without a terminal.
pub fn size() -> Option<(u16, u16)> {
    window().map(|size| (size.ws_row, size.ws_col))
}

/// Gives a pty the size of the terminal that we run on. Does nothing without a terminal.
pub fn copy_size(pty: BorrowedFd<'_>) {
    if let Some(size) = window() {
        // An error is ignored: the pty may be gone, and then needs no size.
        let _ = tcsetwinsize(pty, size);
    }
}

/// What a signal asks a session on a terminal to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Give the pty the terminal's new size.
    Resize,
    /// End the session because of the signal with this number.
    End(i32),
}

/// Receives signals through a descriptor that can be polled. While this value lives, the signals have no other effect,
/// so that raw mode is always left properly.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks SIGWINCH, SIGTERM, SIGHUP and SIGINT, and receives them from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take() -> anyhow::Result<Self> {
        let set: SigSet =
            [Signal::SIGWINCH, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT].into_iter().collect();
        let before = SigSet::thread_get_mask().context("signals")?;
        set.thread_block().context("signals")?;
        let fd =
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("signals")?;
        Ok(Self { fd, before })
    }

    /// Returns the request of the next signal that has arrived; `None` if there is none.
    pub fn next(&self) -> Option<Request> {
        let signal = i32::try_from(self.fd.read_signal().ok()??.ssi_signo).ok()?;
        Some(if signal == Signal::SIGWINCH as i32 { Request::Resize } else { Request::End(signal) })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}
