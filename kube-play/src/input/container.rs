//! The container that a user names with `-c`, and how it is connected to the terminal.

use std::io::IsTerminal as _;

use pod_core::observe::{PodView, container};

use crate::output::exit::Failure;
use crate::output::terminal;

// Options of the commands that connect a terminal to a container.
#[derive(Debug, clap::Args)]
pub struct ContainerOptions {
    /// The container [default: the only one, or the first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass stdin
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Use a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Print only the output
    #[arg(short, long)]
    pub quiet: bool,
}

impl ContainerOptions {
    /// Returns whether a terminal is used: with `-t`, unless `-i` passes on a stdin that is not a terminal.
    pub fn wants_terminal(&self) -> bool {
        if self.tty && self.stdin && !std::io::stdin().is_terminal() {
            if !self.quiet {
                terminal::warning("stdin is not a terminal: -t is ignored");
            }
            return false;
        }
        self.tty
    }
}

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
