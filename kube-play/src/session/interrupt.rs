//! Ctrl-C while something is waited for: what was made keeps running, and that is said.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const TOLD: &[u8] =
    b"\ninterrupted: what has started keeps running; `kube ps` shows it, `kube down` stops it\n";

/// 128 + SIGINT, as a shell shows it.
const CODE: i32 = 130;

extern "C" fn on_interrupt(_signal: libc::c_int) {
    // SAFETY: write(2) and _exit(2) are async-signal-safe, and the text is static.
    unsafe {
        libc::write(libc::STDERR_FILENO, TOLD.as_ptr().cast(), TOLD.len());
        libc::_exit(CODE);
    }
}

/// From now on Ctrl-C says what became of what was begun, and ends this process. A handler, and not a thread:
/// supervisors are made from this process, and those want none. They do not inherit it (exec resets it).
pub fn tell_on_interrupt() {
    let action = SigAction::new(SigHandler::Handler(on_interrupt), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only calls what is async-signal-safe.
    let set = unsafe { sigaction(Signal::SIGINT, &action) };
    if let Err(error) = set {
        tracing::debug!("Ctrl-C ends us without a word: {error}");
    }
}
