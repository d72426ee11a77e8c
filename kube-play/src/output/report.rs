//! Prints what `play` and `down` report while they work.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pod_core::controller::Status;
use pod_core::image::Progress;
use pod_core::lifecycle::{Goal, Phase, pod_row};
use pod_core::observe::PodView;
use pod_core::play::{Change, Report};
use pod_core::store::WorkloadId;

use crate::output;
use crate::output::{progress, terminal};
use crate::session::interrupt;

/// Prints kubectl's lines on stdout, warnings on stderr at once, and hints at the end.
#[derive(Debug, Default)]
pub struct Lines {
    /// `-q`: only warnings and errors.
    quiet: bool,
    /// `--dry-run`: every line says that nothing was changed.
    dry_run: bool,
    /// The warnings that were printed already.
    warned: Vec<String>,
    hints: Vec<String>,
    /// The progress of a rollout that was printed last, and when.
    rollout: Option<(String, Instant)>,
}

/// The shortest time between two lines about the progress of a rollout.
const PROGRESS: Duration = Duration::from_millis(500);

impl Lines {
    /// Creates a report that prints.
    pub fn new(quiet: bool, dry_run: bool) -> Self {
        Self { quiet, dry_run, ..Self::default() }
    }

    /// Prints the hints that were collected.
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
            // The result is ignored: the play continues even if its reader has closed stdout.
            let _ = output::print(&base::escape::harmless_lines(&line));
        }
    }

    fn unchanged(&mut self, object: &str, pods: &[PodView]) {
        let dry_run = if self.dry_run { " (dry run)" } else { "" };
        let state = not_ready(pods).map_or_else(String::new, |state| format!(" ({state})"));
        if !self.quiet {
            let line = format!("{object} unchanged{state}{dry_run}\n");
            let _ = output::print(&base::escape::harmless_lines(&line));
        }
        if !pods.is_empty() && pods.iter().all(|pod| pod.state.is_terminal()) {
            self.hint(&format!("{object} has ended; `kube play --replace` runs it again"));
        }
    }

    fn warning(&mut self, message: &str) {
        if !self.warned.iter().any(|warning| warning == message) {
            terminal::warning(message);
            self.warned.push(message.to_owned());
        }
    }

    fn waiting(&mut self, pods: &[PodView]) {
        if !self.quiet {
            terminal::note(&waiting(pods));
        }
    }

    fn begins(&mut self, workload: &WorkloadId) {
        interrupt::report_rollout(&format!("{}/{}", workload.kind, workload.name));
    }

    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        if self.quiet || !std::io::stderr().is_terminal() {
            return;
        }
        let line = progress_line(&workload.name, status);
        let told = self.rollout.as_ref().filter(|(_, at)| !status.complete && at.elapsed() < PROGRESS);
        if told.is_none() && self.rollout.as_ref().is_none_or(|(told, _)| *told != line) {
            terminal::note(&line);
            self.rollout = Some((line, Instant::now()));
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

/// `api: 2 of 3 updated, 2 ready`
fn progress_line(name: &str, status: &Status) -> String {
    let Status { wanted, updated, ready, .. } = status;
    let old = match status.replicas.saturating_sub(*updated) {
        0 => String::new(),
        old => format!(", {old} old"),
    };
    format!("{name}: {updated} of {wanted} updated, {ready} ready{old}")
}

/// Returns the last lines of a container, indented so that they differ from messages of `kube`.
fn last_lines(object: &str, container: &str, lines: &[String]) -> String {
    let shown = lines.iter().map(|line| format!("\n  {line}")).collect::<String>();
    format!("{object}: container {container} wrote last:{shown}")
}

/// Describes pods that are not ready: `Error`, or `2 of 3 pods are not ready: CrashLoopBackOff`.
fn not_ready(pods: &[PodView]) -> Option<String> {
    let now = jiff::Timestamp::now();
    let status = |pod: &PodView| {
        if pod.state.goal == Goal::Idle {
            return "not started".to_owned();
        }
        let row = pod_row(&pod.object(&[]), now);
        if row.status == Phase::Running.as_str() { format!("{} ready", row.ready) } else { row.status }
    };
    let mut states: Vec<String> = pods.iter().filter(|pod| !pod.state.is_ready()).map(status).collect();
    let count = states.len();
    states.dedup();
    match (count, pods.len()) {
        (0, _) => None,
        (_, 1) => states.pop(),
        (count, all) => Some(format!("{count} of {all} pods are not ready: {}", states.join(", "))),
    }
}

/// Describes which pods are waited for: `waiting for pod/web (Init:0/1), pod/db (Terminating, killed after 30 s)`. Of
/// many pods the first few are named.
fn waiting(all: &[PodView]) -> String {
    const NAMED: usize = 4;
    let one = |view: &PodView| {
        let pod = view.object(&[]);
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
    use crate::tests::fixture::{context, pod, record};
    use pod_core::kind::Kind;

    #[test]
    fn a_long_wait_names_the_first_pods_and_how_they_are() {
        let (_dir, context) = context();
        let pods = ["a", "b", "c", "d", "e", "f"].map(|name| pod("default", name, &json!({})));
        record(&context, Kind::Deployment, "default", "web", "-", pods.to_vec());
        let views = pod_core::observe::pods(&context.layout).unwrap();
        let told = waiting(&views);
        assert!(told.starts_with("waiting for pod/a (ContainerCreating), pod/b"), "{told}");
        assert!(told.ends_with("pod/d (ContainerCreating), 2 more"), "{told}");
        assert_eq!(waiting(&views[..1]), "waiting for pod/a (ContainerCreating)");
    }

    #[test]
    fn pods_that_are_not_ready_are_described_with_their_state() {
        let (_dir, context) = context();
        let pods = ["a", "b", "c"].map(|name| pod("default", name, &json!({})));
        record(&context, Kind::Deployment, "default", "web", "-", pods.to_vec());
        let mut views = pod_core::observe::pods(&context.layout).unwrap();
        assert_eq!(not_ready(&views[..1]).unwrap(), "not started");
        views[0].state.conditions.ready.status = true;
        assert_eq!(not_ready(&views[..1]), None);
        for view in &mut views[1..] {
            view.state.goal = Goal::Run;
        }
        assert_eq!(not_ready(&views).unwrap(), "2 of 3 pods are not ready: ContainerCreating");
        assert_eq!(not_ready(&[]), None);
    }
}
