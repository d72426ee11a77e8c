//! The umask of the user: files that a command writes for them are made with it, and nothing else is.

use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

/// That of whoever called.
static CALLERS: OnceLock<Mode> = OnceLock::new();

/// Prepares this process to run a command ([`pod_core::inherited::begin_command`]), and remembers the caller's umask.
/// To be called first thing.
pub fn begin_command() {
    let _ = CALLERS.set(pod_core::inherited::begin_command());
}

/// While this lives, files and folders are made with the caller's umask.
#[must_use]
#[derive(Debug)]
pub struct CallersUmask(Option<Mode>);

impl CallersUmask {
    /// Begins.
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
