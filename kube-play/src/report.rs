//! What `play` and `down` tell while they work.

use std::sync::Arc;

use pod_core::image::Progress;
use pod_core::lifecycle::pod_row;
use pod_core::play::{Change, PodView, Report};

use crate::{output, pods, progress, terminal};

/// kubectl's lines on stdout, warnings on stderr at once, hints at the end.
#[derive(Debug, Default)]
pub struct Lines {
    /// `-q`: only warnings and errors.
    quiet: bool,
    /// `--dry-run`: every line says that nothing was done.
    dry_run: bool,
    /// Warnings that a user has read already.
    told: Vec<String>,
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

    fn waiting(&mut self, pods: &[PodView]) {
        if !self.quiet {
            terminal::note(&waiting(pods));
        }
    }

    fn hint(&mut self, message: &str) {
        if !self.quiet {
            self.hints.push(message.to_owned());
        }
    }

    fn last_lines(&mut self, object: &str, container: &str, lines: &[String]) {
        terminal::note(&last_lines(object, container, lines));
    }

    fn pull(&mut self, image: &str) -> Arc<dyn Progress> {
        progress::of_pull(image, self.quiet)
    }
}

/// What a container wrote last, set off from what is ours.
fn last_lines(object: &str, container: &str, lines: &[String]) -> String {
    let shown = lines.iter().map(|line| format!("\n  {line}")).collect::<String>();
    format!("{object}: container {container} wrote last:{shown}")
}

/// `waiting for pod/web (Init:0/1), pod/db (Terminating, killed after 30 s)`; of many, the first few.
fn waiting(all: &[PodView]) -> String {
    const NAMED: usize = 4;
    let one = |view: &PodView| {
        let pod = pods::object(view, &[]);
        let row = pod_row(&pod, jiff::Timestamp::now());
        let grace = pod.metadata.deletion_grace_period_seconds.filter(|_| view.terminating);
        let killed = grace.map_or_else(String::new, |seconds| format!(", killed after {seconds} s"));
        format!("pod/{} ({}{killed})", row.name, row.status)
    };
    let mut named: Vec<String> = all.iter().take(NAMED).map(one).collect();
    let more = all.len().saturating_sub(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    format!("waiting for {}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{context, pod, record};

    #[test]
    fn a_long_wait_names_the_first_pods_and_how_they_are() {
        let (_dir, context) = context();
        let pods = ["a", "b", "c", "d", "e", "f"].map(|name| pod("default", name, &json!({})));
        record(&context, "Deployment", "default", "web", "-", pods.to_vec());
        let views = pod_core::play::pods(&context.layout).unwrap();
        let told = waiting(&views);
        assert!(told.starts_with("waiting for pod/a (ContainerCreating), pod/b"), "{told}");
        assert!(told.ends_with("pod/d (ContainerCreating), 2 more"), "{told}");
        assert_eq!(waiting(&views[..1]), "waiting for pod/a (ContainerCreating)");
    }
}
