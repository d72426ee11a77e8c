//! Ctrl-C while a command waits. Usually what the command has started keeps running, and a message says so; a command in
//! the foreground gets it as a report ([`Interrupts`]).

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Context as _;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const MESSAGE: &[u8] =
    b"\ninterrupted: the pods keep running; `kube ps` lists them, `kube down` stops them\n";

/// 128 + SIGINT, the exit code that a shell shows.
const CODE: i32 = 130;

/// The message that replaces [`MESSAGE`] while the command waits for a rollout.
static ROLLOUT: OnceLock<String> = OnceLock::new();

/// Makes Ctrl-C say how to watch or undo the rollout of a workload (`deployment/api`).
pub fn report_rollout(workload: &str) {
    ROLLOUT.get_or_init(|| {
        format!(
            "\ninterrupted: the rollout of {workload} continues; `kube rollout status {workload}` watches it, \
             `kube rollout undo {workload}` returns to the previous revision\n"
        )
    });
}

extern "C" fn on_interrupt(_signal: libc::c_int) {
    let message = ROLLOUT.get().map_or(MESSAGE, String::as_bytes);
    // SAFETY: write(2) and _exit(2) are async-signal-safe. The text lives as long as the process, and checking whether
    // the text is set is one atomic load.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::_exit(CODE);
    }
}

/// Makes Ctrl-C print what happens to the started pods and end this process. This is a signal handler and not a thread,
/// because supervisors are spawned from this process, which must have no other threads for that. The supervisors do not
/// inherit the handler (exec resets it).
pub fn report_on_interrupt() {
    let action = SigAction::new(SigHandler::Handler(on_interrupt), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only calls async-signal-safe functions.
    let set = unsafe { sigaction(Signal::SIGINT, &action) };
    if let Err(error) = set {
        tracing::debug!("Ctrl-C ends this process without a message: {error}");
    }
}

/// The end of the pipe that [`on_reported`] writes to; -1 while there is none.
static REPORTS: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_reported(signal: libc::c_int) {
    let number = u8::try_from(signal).unwrap_or_default();
    // SAFETY: write(2) is async-signal-safe and reads one byte of this function. The pipe does not block; if it is full,
    // enough signals are waiting in it. errno belongs to the code that was interrupted, so it is restored.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(REPORTS.load(Ordering::Relaxed), std::ptr::from_ref(&number).cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// Receives the signals that ask a command to end, through a descriptor that can be polled. While this value lives, they
/// have no other effect. These are handlers and not a signalfd, because the other threads of this process (such as
/// [`pod_core::runtime::cgroup::Warm`]) do not block the signals.
#[derive(Debug)]
pub struct Interrupts {
    read: OwnedFd,
    _write: OwnedFd,
    before: Vec<(Signal, SigAction)>,
}

impl Interrupts {
    /// Receives SIGINT, SIGTERM and SIGHUP from now on. SIGHUP stays ignored if it is (nohup).
    ///
    /// # Errors
    /// The kernel refuses. Only one value may exist at a time.
    pub fn take() -> anyhow::Result<Self> {
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (read, write) = rustix::pipe::pipe_with(flags).context("receive signals")?;
        REPORTS.store(write.as_raw_fd(), Ordering::Relaxed);
        let action = SigAction::new(SigHandler::Handler(on_reported), SaFlags::SA_RESTART, SigSet::empty());
        let mut before = Vec::new();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler only calls async-signal-safe functions.
            let old = unsafe { sigaction(signal, &action) }.context("receive signals")?;
            if signal == Signal::SIGHUP && matches!(old.handler(), SigHandler::SigIgn) {
                // SAFETY: this installs no function.
                unsafe { sigaction(signal, &old) }.context("receive signals")?;
            } else {
                before.push((signal, old));
            }
        }
        Ok(Self { read, _write: write, before })
    }

    /// Returns the number of the next signal that has come; `None` if there is none.
    pub fn next(&self) -> Option<i32> {
        let mut number = [0_u8];
        let read = rustix::io::read(&self.read, &mut number).is_ok_and(|read| read == 1);
        read.then_some(i32::from(u8::from_ne_bytes(number)))
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for (signal, action) in &self.before {
            // SAFETY: the action was in effect before.
            let _ = unsafe { sigaction(*signal, action) };
        }
        REPORTS.store(-1, Ordering::Relaxed);
    }
}
