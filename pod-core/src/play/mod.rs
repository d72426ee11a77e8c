//! Plan against what is recorded: make, change and remove workloads; undo what failed.
//!
//! What every front end calls. Deciding what changes is pure (`diff`); doing it is not.

mod conflicts;
mod diff;
mod down;
mod images;
mod last_lines;
mod objects;
mod patch;
mod ports;
mod preflight;
mod undo;
mod watch;
mod workloads;

pub use down::down;
pub use patch::{Patched, apply_patch, rollout_status};
pub use workloads::{play, play_all};

use std::time::Duration;

use crate::controller::Status;
use crate::kind::ObjectRef;
use crate::observe::{self, PodView};
use crate::store::WorkloadId;
use crate::supervisor::Host;

/// How long `play` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// Every container has started (what `play` does anyway).
    Started,
    /// Every pod is Ready.
    Ready,
    /// Every pod has ended.
    Complete,
}

/// Flags of `play`.
#[derive(Debug, Clone)]
pub struct PlayOptions {
    /// Make unchanged pods anew too.
    pub replace: bool,
    /// False: record, make nothing run.
    pub start: bool,
    /// Remove workloads that an earlier play of the same files made and that are gone from them.
    pub prune: bool,
    /// Say what would be done.
    pub dry_run: bool,
    /// What to wait for.
    pub wait: WaitFor,
    /// How long; `None` is for ever.
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
    /// `started`: stood recorded, was not running.
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

/// Told what `play` and `down` do, as it happens.
pub trait Report {
    /// `pod/web created`. `object` is kubectl's `kind[.group]/name`.
    fn changed(&mut self, object: &str, change: Change);
    /// A workload that is as it should be, with its pods: not all of them need to run.
    fn unchanged(&mut self, object: &str, pods: &[PodView]) {
        let _ = pods;
        self.changed(object, Change::Unchanged);
    }
    /// A warning: printed at once, once.
    fn warning(&mut self, message: &str);
    /// It takes long: these pods are waited for.
    fn waiting(&mut self, pods: &[PodView]);
    /// How far the rollout of a Deployment is.
    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        let _ = (workload, status);
    }
    /// A hint at the end: pods gone from the file, ...
    fn hint(&mut self, message: &str);
    /// The last lines of the log of a container that failed, before they are gone with `object`, its pod.
    fn last_lines(&mut self, object: &str, container: &str, lines: &[String]);
    /// A pull begins; told about through the returned value.
    fn pull(&mut self, image: &str) -> std::sync::Arc<dyn crate::image::Progress>;
}

/// What to take down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `KIND/NAME`.
    Workload(WorkloadId),
    /// A ConfigMap, Secret or claim.
    Object(ObjectRef),
}

/// Flags of `down`.
#[derive(Debug, Clone, Default)]
pub struct DownOptions {
    /// `--time`: overrides grace periods.
    pub grace_seconds: Option<u64>,
    /// `--force`: kill at once, and remove what cannot be stopped.
    pub force: bool,
    /// `--wait`: return once everything is given back, of earlier downs too. Claims are removed only then.
    pub wait: bool,
}

/// What can go wrong. Its owner adds what is needed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our files.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// There is no such thing: exit code 4.
    #[error("{what} not found")]
    NotFound {
        /// `pod/web`, ...
        what: String,
    },
    /// Waited too long: exit code 5.
    #[error("timed out after {} s waiting for {what}", after.as_secs_f64())]
    TimedOut {
        /// What for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// A supervisor, or what stands between it and us.
    #[error(transparent)]
    Supervisor(#[from] crate::supervisor::Error),
    /// An image.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// An image is here, but imagePullPolicy: Always was given, and the registry does not confirm it.
    #[error("{source}; an image of that name is here, but imagePullPolicy is Always")]
    OnlyHere {
        /// Its name, as the manifest has it.
        image: String,
        /// What came of asking the registry.
        source: crate::image::Error,
    },
    /// A network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A host port that a pod wants cannot be published.
    #[error("{object}: {source}")]
    HostPort {
        /// `pod/web`
        object: String,
        /// Why.
        #[source]
        source: network::Error,
    },
    /// A play failed in the middle; what it had made is undone, and what stood before stands.
    #[error("{0}")]
    Undone(#[source] Box<Error>),
    /// A pod that was waited for failed, or will not become what was waited for.
    #[error("{object}: {message}")]
    PodFailed {
        /// `pod/web`
        object: String,
        /// Why.
        message: String,
    },
    /// A manifest asks for what can never be, as things stand: exit code 3.
    #[error("{0}")]
    Invalid(Box<crate::manifest::Diagnostic>),
    /// A rollout has made no progress for progressDeadlineSeconds. Nothing is undone.
    #[error("{workload}: its rollout makes no progress: {pod}: {message}")]
    Stalled {
        /// `deployment.apps/api`
        workload: WorkloadId,
        /// The pod that holds it up: `pod/api-6d4f9-x7k2p`.
        pod: String,
        /// Why.
        message: String,
    },
    /// A Deployment cannot be changed as it is asked for.
    #[error("{object}: {source}")]
    Unchangeable {
        /// `deployment.apps/api`
        object: String,
        /// Why.
        source: crate::workload::patch::Error,
    },
    /// An object cannot be made, or not be removed.
    #[error("{object}: {message}")]
    Failed {
        /// `pod/web`
        object: String,
        /// Why.
        message: String,
    },
}

impl From<observe::Error> for Error {
    fn from(error: observe::Error) -> Self {
        match error {
            observe::Error::Store(error) => Self::Store(error),
            observe::Error::Supervisor(error) => Self::Supervisor(error),
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
