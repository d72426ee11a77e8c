//! Adds the cause to errors of libcontainer. Its errors lose their causes on the way from the process that becomes the
//! container (all that is left is "failed to prepare rootfs"), but that process logs them first. Therefore errors that
//! are logged during a call of libcontainer are recorded, and the first one is added to the message.

use std::fmt::{Debug, Write as _};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::sync::Mutex;

use nix::errno::Errno;
use rustix::fs::MemfdFlags;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Maximum number of bytes that are kept of one entry.
const MOST: usize = 2000;

/// A file with the errors that this process and its children log.
pub(super) struct Failures(File);

impl Failures {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self(File::from(rustix::fs::memfd_create("failures", MemfdFlags::CLOEXEC)?)))
    }

    /// Runs a call and records the errors that are logged in the meantime.
    pub(super) fn watch<T>(&self, call: impl FnOnce() -> T) -> T {
        match self.0.try_clone() {
            Ok(file) => {
                let keeper = Keeper { file, step: Mutex::new(String::new()) };
                tracing::dispatcher::with_default(&Dispatch::new(keeper), call)
            }
            Err(_) => call(),
        }
    }

    /// Returns an error together with its cause.
    pub(super) fn explain(mut self, error: &str) -> String {
        let mut text = Vec::new();
        if self.0.rewind().and_then(|()| self.0.read_to_end(&mut text)).is_err() {
            return error.to_owned();
        }
        explain(error, &String::from_utf8_lossy(&text))
    }
}

/// Returns an error together with the first entry that adds something to it. Entries end with a NUL; each begins with
/// the step during which it was logged, followed by [`STEP`].
fn explain(error: &str, entries: &str) -> String {
    // A failed clean-up is a consequence (systemd has no scope that was never started), and hides what failed first.
    if let Some((cause, cleanup)) = error.split_once(CLEANUP) {
        let cleanup =
            if cleanup.contains("not loaded") { String::new() } else { format!("{CLEANUP}{cleanup}") };
        return explain(cause, entries) + &cleanup;
    }
    let first = entries.split('\0').find(|entry| !entry.is_empty()).unwrap_or_default();
    let (step, entry) = first.split_once(STEP).unwrap_or(("", first));
    if entry.starts_with(error) {
        entry.to_owned()
    } else if !entry.is_empty() && !entry.contains(error) && !error.contains(entry) {
        format!("{error}: {entry}")
    } else if !step.is_empty() {
        // The entry is the error itself, logged by the function that returned it.
        format!("{error} (after: {step})")
    } else {
        error.to_owned()
    }
}

/// Where libcontainer adds the error of cleaning up after a failure to that failure.
const CLEANUP: &str = ". error during cleanup: ";

/// Separates the step from the error in an entry.
const STEP: char = '\u{1}';

/// A subscriber that records errors, each with the last step that was logged before it.
struct Keeper {
    file: File,
    step: Mutex<String>,
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("libcontainer")
    }
    fn event(&self, event: &Event<'_>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let text = entry.text();
        let Ok(mut step) = self.step.lock() else { return };
        if *event.metadata().level() != Level::ERROR {
            *step = text;
            return;
        }
        // All processes write through the same open file description and so share its position.
        let _ = (&self.file).write_all(format!("{step}{STEP}{text}\0").as_bytes());
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// One entry of a log: its message, its subject, and the error.
#[derive(Default)]
struct Entry {
    message: String,
    fields: String,
    error: String,
}

impl Entry {
    fn text(&self) -> String {
        let mut text = self.message.clone();
        if !self.fields.is_empty() {
            let _ = write!(text, " ({})", self.fields);
        }
        if !self.error.is_empty() {
            let _ = write!(text, ": {}", self.error);
        }
        text.truncate(text.floor_char_boundary(MOST));
        text.replace(['\0', STEP], " ")
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "err" | "error" | "e" | "ret" => self.error = in_words(&format!("{value:?}")),
            name => {
                let comma = if self.fields.is_empty() { "" } else { ", " };
                let _ = write!(self.fields, "{comma}{name} {value:?}");
            }
        }
    }
}

/// Returns the description of the kernel error in the debug output of an error; without one, the output itself.
fn in_words(debug: &str) -> String {
    let is_part = |c: char| !c.is_ascii_alphanumeric();
    debug.split(is_part).find_map(known).map_or_else(|| debug.to_owned(), |errno| errno.desc().to_owned())
}

/// Returns the error with a name such as `ENOENT`.
fn known(name: &str) -> Option<Errno> {
    name.strip_prefix('E').filter(|rest| rest.len() > 2 && *rest == rest.to_ascii_uppercase())?;
    (1..=133).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_that_is_logged_explains_also_from_a_child() {
        let failures = Failures::new().unwrap();
        failures.watch(|| {
            // SAFETY: the child logs, which writes to a file, and ends.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child => {
                    let err = nix::errno::Errno::ENOENT;
                    let path = std::path::Path::new("/x");
                    tracing::error!(target: "libcontainer::rootfs", ?err, ?path, "failed to mount");
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(0) };
                }
                nix::unistd::ForkResult::Parent { child } => nix::sys::wait::waitpid(child, None).unwrap(),
            };
            tracing::error!("of somebody else");
            tracing::error!(target: "libcontainer::process", "failed to prepare rootfs");
        });
        assert_eq!(
            failures.explain("failed to prepare rootfs"),
            "failed to prepare rootfs: failed to mount (path \"/x\"): No such file or directory"
        );
    }

    #[test]
    fn what_says_no_more_is_not_added() {
        assert_eq!(explain("failed", ""), "failed");
        assert_eq!(explain("failed", "\u{1}the process failed\0"), "failed");
        assert_eq!(explain("failed: x", "\u{1}x\0"), "failed: x");
        assert_eq!(explain("failed", "\u{1}failed: y\0\u{1}z\0"), "failed: y");
        assert_eq!(explain("failed", "set a\u{1}the process failed\0"), "failed (after: set a)");
        let scope = format!("failed{CLEANUP}Unit x.scope not loaded.");
        assert_eq!(explain(&scope, "set a\u{1}the process failed\0"), "failed (after: set a)");
        let other = format!("failed{CLEANUP}EBUSY");
        assert_eq!(explain(&other, "\u{1}failed: y\0"), format!("failed: y{CLEANUP}EBUSY"));
        assert_eq!(in_words("Nix(EINVAL)"), "Invalid argument");
        assert_eq!(in_words("Custom(\"ENTRY\")"), "Custom(\"ENTRY\")");
    }
}
