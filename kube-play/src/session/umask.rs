//! The user's umask. Only files that a command writes for the user are created with it.

use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

/// The umask of the process that called `kube`.
static CALLERS: OnceLock<Mode> = OnceLock::new();

/// Prepares this process to run a command ([`pod_core::inherited::begin_command`]), and remembers the caller's umask.
/// Must be called before anything else.
pub fn begin_command() {
    let _ = CALLERS.set(pod_core::inherited::begin_command());
}

/// Applies the caller's umask to new files and folders while this value lives.
#[must_use]
#[derive(Debug)]
pub struct CallersUmask(Option<Mode>);

impl CallersUmask {
    /// Sets the caller's umask.
    pub fn begin() -> Self {
        Self(CALLERS.get().map(|callers| umask(*callers)))
    }
}

impl Drop for CallersUmask {
    fn drop(&mut self) {
        if let Some(own) = self.0 {
            umask(own);
        }
    }
}
