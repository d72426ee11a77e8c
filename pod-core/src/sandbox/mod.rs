//! Making and removing sandboxes and containers: what a supervisor's workers do.
//!
//! [`create`] creates a pod's sandbox, and in parallel the containers that start first ([`prepared`]); [`remove`]
//! removes it with all that is left of the pod. [`container`] creates, starts and deletes one run of a container. [`worker`] forks the processes that do it,
//! [`process`] tells processes apart, [`output`] and [`console`] are a container's stdio. Read `create` first.

pub(crate) mod console;
pub(crate) mod container;
mod create;
mod info;
pub(crate) mod output;
mod prepared;
pub(crate) mod process;
mod remove;
pub(crate) mod worker;

pub(crate) use create::create;
pub(crate) use info::{SandboxInfo, runtime_state};
pub use info::{network_warnings, networks, ports as published_ports};
pub(crate) use remove::{purge, remove, remove_sandbox};
pub(crate) use worker::{Failure, Step};
