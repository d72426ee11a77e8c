//! Reads what a user gives to a command: manifests, names of pods and containers, durations.
//!
//! [`sources`] reads files, folders, stdin and URLs, and [`load`] makes a plan of them. [`container`] finds the container
//! that a name means; if there is none, its error names similar ones. [`targets`] reads names of objects of all kinds.

pub mod container;
pub mod identity;
pub mod load;
pub mod sources;
pub mod targets;
pub mod time;
