//! The container that a user names with `-c`.

use pod_core::observe::{PodView, container};

use crate::output::exit::Failure;
use crate::output::terminal;

/// Returns the name of the container that a command is about, see [`container::choose`]. Prints a note if the choice was
/// arbitrary, unless `quiet` is set.
///
/// # Errors
/// The pod has no such container.
pub fn choose(pod: &PodView, name: Option<&str>, quiet: bool) -> Result<String, container::Error> {
    let choice = container::choose(pod, name)?;
    if !quiet && !choice.chosen_from.is_empty() {
        let all = choice.chosen_from.join(", ");
        terminal::note(&format!("container {} of: {all} (choose with -c)", choice.name));
    }
    Ok(choice.name)
}

/// Returns the number of a container's current run, and the pid of its first process.
///
/// # Errors
/// The container does not run (1).
pub fn running(pod: &PodView, name: &str) -> Result<(u32, i32), Failure> {
    let mut running = pod.state.running();
    let found = running.find(|(running, _, _)| *running == name);
    found.map(|(_, attempt, pid)| (attempt, pid)).ok_or_else(|| {
        let pod = pod.plan.name();
        Failure::failed(format!("container {name} of pod/{pod} is not running"))
            .hint(format!("`kube describe {pod}` shows its state"))
    })
}
