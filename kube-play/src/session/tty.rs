//! The terminal that we run on: raw mode, its size, and the signals that concern it.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Our stdin in raw mode, until this value is dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Every key goes to the reader as it is typed, Ctrl-C too.
    ///
    /// # Errors
    /// stdin is no terminal.
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
        // A terminal that is gone needs no care any more.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// The size of the terminal that we run on, if we run on one.
fn window() -> Option<Winsize> {
    let ours =
        [std::io::stdout().as_fd().try_clone_to_owned(), std::io::stdin().as_fd().try_clone_to_owned()];
    ours.into_iter().flatten().filter(|fd| fd.is_terminal()).find_map(|terminal| tcgetwinsize(&terminal).ok())
}

/// Rows and columns of the terminal that we run on.
pub fn size() -> Option<(u16, u16)> {
    window().map(|size| (size.ws_row, size.ws_col))
}

/// Gives a pty the size of the terminal that we run on; nothing where we run on none.
pub fn copy_size(pty: BorrowedFd<'_>) {
    if let Some(size) = window() {
        // One that is gone has no size to set.
        let _ = tcsetwinsize(pty, size);
    }
}

/// What a signal asks of a session on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The terminal has another size now.
    Resize,
    /// End, with this signal's number.
    End(i32),
}

/// Signals as something to poll for. While this lives they have no other effect, so that raw mode is always
/// left in good order.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Takes SIGWINCH, SIGTERM, SIGHUP and SIGINT.
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

    /// The next one that has come.
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
