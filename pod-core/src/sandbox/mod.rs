//! Creates and removes sandboxes and containers. A supervisor's workers run this code.
//!
//! [`create`] creates a pod's sandbox, and in parallel the containers that start first ([`prepared`]). [`remove`]
//! removes the sandbox with everything that is left of the pod. [`container`] creates, starts and deletes one run of a
//! container, [`debug`] starts containers of other images for `kube debug`. [`worker`] forks the processes that do all this, [`process`] identifies processes, [`output`] and
//! [`console`] are a container's stdio, [`termination_message`] is what it says when it ends, [`user_ids`] says which ids
//! the users of a pod have. Read `create` first.

pub(crate) mod console;
pub(crate) mod container;
mod create;
pub(crate) mod debug;
mod info;
pub(crate) mod output;
mod prepared;
pub(crate) mod process;
mod remove;
pub(crate) mod termination_message;
mod user_ids;
pub(crate) mod worker;

pub(crate) use create::create;
pub use debug::Debug;
pub(crate) use info::{SandboxInfo, runtime_state};
pub use info::{network_warnings, networks, ports as published_ports};
pub(crate) use remove::{purge, remove, remove_sandbox};
pub(crate) use worker::{Failure, Step};
