//! Ctrl-C while something is waited for: what was made keeps running, and that is said.

use std::sync::OnceLock;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const TOLD: &[u8] =
    b"\ninterrupted: what has started keeps running; `kube ps` shows it, `kube down` stops it\n";

/// 128 + SIGINT, as a shell shows it.
const CODE: i32 = 130;

/// What is said instead once a rollout is waited for.
static ROLLOUT: OnceLock<String> = OnceLock::new();

/// From now on Ctrl-C says how to watch or undo the rollout of a workload, `deployment/api`.
pub fn tell_of_rollout(workload: &str) {
    ROLLOUT.get_or_init(|| {
        format!(
            "\ninterrupted: the rollout of {workload} goes on; `kube rollout status {workload}` watches it, \
             `kube rollout undo {workload}` goes back to what ran before\n"
        )
    });
}

extern "C" fn on_interrupt(_signal: libc::c_int) {
    let told = ROLLOUT.get().map_or(TOLD, String::as_bytes);
    // SAFETY: write(2) and _exit(2) are async-signal-safe. The text lives as long as the process, and looking whether
    // it is there is one atomic load.
    unsafe {
        libc::write(libc::STDERR_FILENO, told.as_ptr().cast(), told.len());
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
