//! Creates, changes and removes workloads: compares a plan with what is recorded, carries out the difference, and
//! undoes it if a part fails.
//!
//! Front ends call this module. The decision about what changes is pure (`diff`); only the rest has side effects.

mod conflicts;
mod diff;
mod down;
mod images;
mod ingresses;
mod last_lines;
mod objects;
mod patch;
mod ports;
mod preflight;
mod services;
mod storage;
mod undo;
mod watch;
mod workloads;

pub use down::down;
pub use patch::{Patched, apply_patch, rollout_status};
pub use workloads::{play, play_all};

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::controller::Status;
use crate::kind::ObjectRef;
use crate::observe::{self, PodView};
use crate::store::Instance;
use crate::store::WorkloadId;

/// The state of pods that `play` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// Every container has started (what `play` does anyway).
    Started,
    /// Every pod is Ready.
    Ready,
    /// Every pod has ended.
    Complete,
}

/// Options of `play`.
#[derive(Debug, Clone)]
pub struct PlayOptions {
    /// Replace unchanged pods too.
    pub replace: bool,
    /// False: record the workloads, but start none.
    pub start: bool,
    /// Remove workloads that an earlier play of the same files created and that the files no longer contain.
    pub prune: bool,
    /// Report what would be done, and do nothing.
    pub dry_run: bool,
    /// The state to wait for.
    pub wait: WaitFor,
    /// How long to wait; `None` waits for ever.
    pub timeout: Option<Duration>,
}

/// What happened to an object, in kubectl's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `created`
    Created,
    /// `configured`
    Configured,
    /// `unchanged`
    Unchanged,
    /// `deleted`
    Deleted,
    /// `started`: the workload was recorded and not running.
    Started,
}

impl Change {
    /// The word that kubectl prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Started => "started",
        }
    }
}

/// Receives reports about what `play` and `down` do, while they do it.
pub trait Report {
    /// Reports that everything is checked, and that from here on a play creates and changes what exists.
    fn starts_changing(&mut self) {}
    /// A descriptor that interrupts a wait for pods whenever it is readable.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Called when that descriptor is readable. `Break` ends the wait with [`Error::Interrupted`].
    fn woken(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    /// Reports a change, such as `pod/web created`. `object` is kubectl's `kind[.group]/name`.
    fn changed(&mut self, object: &str, change: Change);
    /// Reports a workload that needs no change, with its pods, some of which may not be running.
    fn unchanged(&mut self, object: &str, pods: &[PodView]) {
        let _ = pods;
        self.changed(object, Change::Unchanged);
    }
    /// Reports a warning, which is to be printed at once, and only once.
    fn warning(&mut self, message: &str);
    /// Reports that a wait for these pods takes long.
    fn waiting(&mut self, pods: &[PodView]);
    /// Reports that the rollout of a Deployment is about to begin. It goes on even if the command ends.
    fn begins(&mut self, workload: &WorkloadId) {
        let _ = workload;
    }
    /// Reports the progress of the rollout of a Deployment.
    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        let _ = (workload, status);
    }
    /// Reports a hint to print at the end, such as one about pods that the file no longer contains.
    fn hint(&mut self, message: &str);
    /// Reports the last lines in the log of a container that failed. `object` is the container's pod.
    fn last_lines(&mut self, object: &str, container: &str, lines: &[String]);
    /// Reports that a pull begins. Its progress is reported through the returned value.
    fn pull(&mut self, image: &str) -> std::sync::Arc<dyn crate::image::Progress>;
}

/// A workload or object to take down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `KIND/NAME`.
    Workload(WorkloadId),
    /// An object that is no workload, such as a ConfigMap.
    Object(ObjectRef),
}

/// Options of `down`.
#[derive(Debug, Clone, Default)]
pub struct DownOptions {
    /// `--time`: overrides grace periods.
    pub grace_seconds: Option<u64>,
    /// `--force`: kill at once, and remove what cannot be stopped.
    pub force: bool,
    /// `--wait`: return after all resources are removed, also those of earlier downs. A claim is removed only then.
    pub wait: bool,
}

/// The errors of `play` and `down`. A front end adds exit codes and hints.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A named object does not exist: exit code 4.
    #[error("{what} not found")]
    NotFound {
        /// `pod/web`, ...
        what: String,
    },
    /// A wait exceeded its timeout: exit code 5.
    #[error("timed out after {} s waiting for {what}", after.as_secs_f64())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The timeout.
        after: Duration,
    },
    /// The front end has ended a wait ([`Report::woken`]). What was begun continues; a play is not undone.
    #[error("interrupted")]
    Interrupted,
    /// An error of a supervisor, or of the connection to one.
    #[error(transparent)]
    Supervisor(#[from] crate::supervisor::Error),
    /// An error of an image.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// An image is stored here, but its imagePullPolicy is Always, and the registry does not confirm the image.
    #[error("{source}; an image of that name is here, but imagePullPolicy is Always")]
    OnlyHere {
        /// The image's name as the manifest gives it.
        image: String,
        /// The answer of the registry.
        source: crate::image::Error,
    },
    /// An error of a network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// Services or Ingresses cannot be brought up to date.
    #[error(transparent)]
    Traffic(#[from] crate::traffic::Error),
    /// A host port of a pod cannot be published.
    #[error("{object}: {source}")]
    HostPort {
        /// `pod/web`
        object: String,
        /// The reason.
        #[source]
        source: network::Error,
    },
    /// A play failed before its end. Its changes are undone, and the former state is restored.
    #[error("{0}")]
    Undone(#[source] Box<Error>),
    /// A pod that was waited for failed, or can no longer reach the state that was waited for.
    #[error("{object}: {message}")]
    PodFailed {
        /// `pod/web`
        object: String,
        /// The reason.
        message: String,
    },
    /// A container of a pod ran and failed. Nothing is undone: that is a result which the user may look at.
    #[error("{object}: {message}{}", if *others == 0 { String::new() } else { format!(" (and {others} more pods)") })]
    ContainerFailed {
        /// `pod/web`
        object: String,
        /// The reason.
        message: String,
        /// How many more pods failed in this way.
        others: usize,
    },
    /// A manifest asks for something that is impossible in the present state: exit code 3.
    #[error("{0}")]
    Invalid(Box<crate::manifest::Diagnostic>),
    /// A rollout has made no progress for progressDeadlineSeconds. The rollout is not undone.
    #[error("{workload}: its rollout makes no progress: {pod}: {message}")]
    Stalled {
        /// `deployment.apps/api`
        workload: WorkloadId,
        /// The pod that prevents progress: `pod/api-6d4f9-x7k2p`.
        pod: String,
        /// The reason.
        message: String,
    },
    /// A Deployment cannot be changed in the requested way.
    #[error("{object}: {source}")]
    Unchangeable {
        /// `deployment.apps/api`
        object: String,
        /// The reason.
        source: crate::workload::patch::Error,
    },
    /// An object cannot be created or removed.
    #[error("{object}: {message}")]
    Failed {
        /// `pod/web`
        object: String,
        /// The reason.
        message: String,
    },
}

impl From<observe::Error> for Error {
    fn from(error: observe::Error) -> Self {
        match error {
            observe::Error::Store(error) => Self::Store(error),
            observe::Error::Supervisor(error) => Self::Supervisor(error),
            observe::Error::Interrupted => Self::Interrupted,
            observe::Error::TimedOut { what, after } => Self::TimedOut { what, after },
            observe::Error::PodFailed { object, message } => Self::PodFailed { object, message },
        }
    }
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}
