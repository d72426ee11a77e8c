//! Ctrl-C while a command waits: what the command has started keeps running, and a message says so.

use std::sync::OnceLock;

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
