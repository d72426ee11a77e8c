//! What `play` and `down` tell while they work.

use std::sync::Arc;

use pod_core::image::Progress;
use pod_core::play::{Change, Report};

use crate::{output, progress, terminal};

/// kubectl's lines on stdout, warnings on stderr at once, hints at the end.
#[derive(Debug, Default)]
pub struct Lines {
    /// `-q`: only warnings and errors.
    pub quiet: bool,
    /// `--dry-run`: every line says that nothing was done.
    pub dry_run: bool,
    /// Warnings that a user has read already.
    pub told: Vec<String>,
    hints: Vec<String>,
}

impl Lines {
    /// A report that prints.
    pub fn new(quiet: bool, dry_run: bool) -> Self {
        Self { quiet, dry_run, ..Self::default() }
    }

    /// Prints the hints that were gathered.
    pub fn finish(&mut self) {
        for hint in self.hints.drain(..) {
            terminal::hint(&hint);
        }
    }
}

impl Report for Lines {
    fn changed(&mut self, object: &str, change: Change) {
        if !self.quiet {
            let dry_run = if self.dry_run { " (dry run)" } else { "" };
            let line = format!("{object} {}{dry_run}\n", change.as_str());
            // What is being done does not depend on somebody reading about it.
            let _ = output::print(&terminal::harmless_lines(&line));
        }
    }

    fn warning(&mut self, message: &str) {
        if !self.told.iter().any(|told| told == message) {
            terminal::warning(message);
            self.told.push(message.to_owned());
        }
    }

    fn hint(&mut self, message: &str) {
        if !self.quiet {
            self.hints.push(message.to_owned());
        }
    }

    fn pull(&mut self, image: &str) -> Arc<dyn Progress> {
        progress::of_pull(image, self.quiet)
    }
}
