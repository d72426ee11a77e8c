//! End-to-end tests with the real `kube`, a real kernel and a real registry. Every test has separate trees and
//! networks, so they run in parallel. `tests/src/lib.rs` is their foundation.

// This is test code, which reports failures by panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::items_after_statements,
    clippy::too_many_lines,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::large_stack_arrays
)]

mod apps;
mod attach;
mod cgroups;
mod claims;
mod cli;
mod containers;
mod cp;
mod crashes;
mod damaged;
mod debug;
mod describe;
mod devices;
mod down;
mod endings;
mod errors;
mod exec;
mod foreground;
mod foreign;
mod forward;
mod full_disk;
mod generate;
mod get;
mod hooks;
mod hostile;
mod identity;
mod images;
mod ingress;
mod inherited;
mod late;
mod leaving;
mod lifecycle;
mod logs;
mod manifests;
mod names;
mod network;
mod opposites;
mod play;
mod pods;
mod probes;
mod propagation;
mod registry;
mod rolling;
mod rollouts;
mod runtimes;
mod scripts;
mod security;
mod services;
mod sidecars;
mod soak;
mod storage;
mod supervisor;
mod top;
mod trees;
mod undo;
mod update;
mod users;
mod versions;
mod volumes;
