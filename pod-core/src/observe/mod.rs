//! Pods and workloads as a front end sees them, and waiting for them.
//!
//! [`view`] reads what is recorded on disk and [`query`] finds what a user names in it; [`readiness`] is the one place
//! that decides whether a pod meets the condition of a wait, and whether it still can; [`wait`] follows supervisors
//! until it does, and [`changes`] notices that files have changed.

pub mod attached;
mod awaited;
pub mod changes;
pub mod container;
mod debug;
pub mod host_features;
pub mod nearest;
pub mod objects;
pub mod pod;
pub mod query;
pub mod readiness;
pub mod rollout;
pub mod selector;
pub mod usage;
pub mod view;
pub mod wait;
pub mod watcher;

use std::time::Duration;

pub use awaited::Awaited;
pub use pod::PodView;
pub use view::{pods, pods_of, without_pods, workload, workloads};
pub use wait::await_removals;

/// An error of reading pods or waiting for them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the instance.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A supervisor, or the connection to it.
    #[error(transparent)]
    Supervisor(#[from] crate::supervisor::Error),
    /// The time limit has passed.
    #[error("timed out after {} s waiting for {what}", after.as_secs_f64())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The limit.
        after: Duration,
    },
    /// The front end has ended the wait, for example because of Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// A pod that was waited for failed, or will not become what was waited for.
    #[error("{object}: {message}")]
    PodFailed {
        /// `pod/web`
        object: String,
        /// Why.
        message: String,
    },
}

#[cfg(test)]
mod tests;
