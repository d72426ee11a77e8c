//! What a user gives to a command, read: manifests, names of pods and containers, durations.
//!
//! [`sources`] reads files, folders, stdin and URLs, [`load`] makes a plan of them; [`select`] and [`container`] find
//! what a name means, and say what is near when it means nothing.

pub mod container;
pub mod identity;
pub mod load;
pub mod select;
pub mod sources;
pub mod time;
