//! Reads what a user gives to a command: manifests, names of pods and containers, durations.
//!
//! [`sources`] reads files, folders, stdin and URLs, and [`load`] makes a plan of them. [`select`] and [`container`]
//! find the objects that a name means; if there are none, their errors name similar ones.

pub mod container;
pub mod identity;
pub mod load;
pub mod sources;
pub mod time;
