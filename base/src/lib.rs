//! What the crates of this workspace share. It knows nothing of networks, pods or YAML, and uses none of the other
//! crates, so that an image store can be built without netavark.
//!
//! - [`fail_point`]: named steps at which a test kills or halts a process.
//! - [`file`]: files that are replaced atomically, locks, private folders, removal of trees.
//! - [`memory`]: how an idle process releases memory.
//! - [`memo`]: a cache of what the files of a folder contain.
//! - [`escape`]: foreign text, made safe for messages and terminals.

pub mod escape;
pub mod fail_point;
pub mod file;
pub mod memo;
pub mod memory;
