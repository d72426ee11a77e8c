//! What the crates `network` and `pod-core` share, and what knows nothing of networks, pods or YAML.
//!
//! - [`fail_point`]: named steps at which a test kills or halts a process.

pub mod fail_point;
