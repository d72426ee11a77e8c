//! Replaces the program of a running supervisor with that of a newer `kube`, on request of the latter.
//!
//! The process executes the new program in its place (execve(2)). So the pid stays, containers and commands of `exec`
//! stay children whose exit codes it receives, and locks, sockets, FIFOs and pipes of workers stay open: nothing is
//! waited for and nothing is lost. What no file says goes along in a [`table`], in memory. [`give`] is what the old
//! program does, [`take`] what the new one does. Killed at any step, the process leaves what any crash of a supervisor
//! leaves, and the next one adopts (`supervisor::adopt`).

mod give;
mod table;
mod take;

pub(super) use give::Successor;
pub(super) use take::Handed;

/// The variable that names the descriptor of the table.
const TABLE: &str = "KUBE_HANDED_OVER";
