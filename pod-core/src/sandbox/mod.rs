//! Making and removing sandboxes and containers: what a supervisor's workers do.
//!
//! [`create`] makes a pod's sandbox, and in parallel the containers that start first ([`prepared`]);
//! [`container`] makes, starts and deletes one run of a container. [`worker`] forks the processes that do it,
//! [`process`] tells processes apart, [`output`] and [`console`] are a container's stdio. Read `create` first.

pub(crate) mod console;
pub(crate) mod container;
mod create;
pub(crate) mod output;
mod prepared;
pub(crate) mod process;
pub(crate) mod worker;

pub(crate) use create::{SandboxInfo, create, purge, remove, runtime_state};
pub use create::{network_warnings, networks, ports as published_ports, remove_leftovers, remove_sandbox};
