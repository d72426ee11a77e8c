//! The container that a user names with `-c`.

use pod_core::observe::{PodView, container};

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
