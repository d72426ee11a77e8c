//! Replaces the program of a running supervisor with that of a newer `kube`, at the request of that `kube`.
//!
//! The process executes the new program in its place (execve(2)). So the pid stays the same, containers and commands of
//! `exec` stay children whose exit codes the process receives, and locks, sockets, FIFOs and pipes of workers stay
//! open: nothing is interrupted and nothing is lost. State that is in no file is passed on in a [`table`] in memory.
//! [`give`] is the part of the old program, [`take`] that of the new one. If the process is killed at any step, its
//! state on disk is that of any crashed supervisor, and the next supervisor adopts the pods (`supervisor::adopt`).

mod give;
mod table;
mod take;

pub(super) use give::Successor;
pub(super) use take::Handed;

/// The variable with the number of the table's descriptor.
const TABLE: &str = "KUBE_HANDED_OVER";
