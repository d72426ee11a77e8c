//! One pod as its supervisor holds it: the state machine's state, and the kernel objects that belong to it.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::controller::{self, pod_status};
use crate::lifecycle::{Goal, PodSpec, PodState};
use crate::log::{Stream, Writer};
use crate::plan::{ContainerError, PodPlan};
use crate::record::PodRecord;
use crate::sandbox::container::Started;
use crate::sandbox::process::Process;
use crate::sandbox::worker::Worker;
use crate::sandbox::{Failure, SandboxInfo};
use crate::workload::PodStatus;

/// A pod of this workload.
pub struct Pod {
    /// What it is made of.
    pub plan: PodPlan,
    /// The same, for the state machine.
    pub spec: PodSpec,
    /// Its state.
    pub state: PodState,
    /// What the controller knows of it.
    pub status: PodStatus,
    /// It should run.
    pub wanted: bool,
    /// It is to be removed once it has stopped.
    pub removing: bool,
    /// The pod's sandbox, once it has been created.
    pub sandbox: Option<SandboxInfo>,
    /// Containers whose process runs or whose output is being read.
    pub runs: HashMap<String, Run>,
    /// Runs that have ended and of which something is left in the kernel and on disk.
    pub remains: Vec<(String, u32)>,
    /// Workers under way, by token.
    pub jobs: HashMap<u64, Job>,
    /// Whether the removal of the sandbox is requested and waits for other workers.
    pub remove_sandbox: bool,
    /// How far the removal of the pod's files is.
    pub purge: Purge,
    /// Whether the end of the pod (no process of it runs any more) has been sent to watching clients.
    pub end_reported: bool,
    /// Whether the end of the pod has been written into the record.
    pub recorded_end: bool,
    /// Workers that were killed, one after another, while they removed its sandbox or its files.
    pub killed_workers: u32,
    /// Its state could not be written, the disk may be full: when it is tried again, in milliseconds since boot.
    pub unwritten: Option<u64>,
}

/// How far the removal of a pod's files is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purge {
    /// Not asked for.
    No,
    /// A worker is at it.
    Running,
    /// Nothing of the pod is left.
    Done,
}

/// One run of a container.
pub struct Run {
    /// Which run, from 0.
    pub attempt: u32,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its process, once it is known.
    pub process: Option<Process>,
    /// The process that holds its terminal.
    pub terminal: Option<Process>,
    /// True once we have sent it SIGKILL.
    pub killed: bool,
    /// For a process that is not our child, and its token.
    pub pidfd: Option<(u64, OwnedFd)>,
    /// Reading ends of its output, with their tokens.
    pub outputs: Vec<(Stream, u64, OwnedFd)>,
    /// Its log.
    pub log: Option<Writer>,
}

/// A worker and what it is for.
pub enum Job {
    /// CreateSandbox.
    CreateSandbox(Worker<Result<SandboxInfo, Failure>>),
    /// RemoveSandbox; gives what could not be removed.
    RemoveSandbox(Worker<Vec<String>>),
    /// StartContainer.
    Start {
        /// Container.
        container: String,
        /// Run.
        attempt: u32,
        /// The worker.
        worker: Worker<Result<Started, ContainerError>>,
    },
    /// What is left of a run that ended is removed; gives what could not be.
    Delete(Worker<Vec<String>>),
    /// A command in a container; gives its pid.
    Exec {
        /// Who asked.
        connection: u64,
        /// The worker.
        worker: Worker<Result<i32, Failure>>,
    },
    /// All files of a removed pod are deleted; gives what could not be.
    Purge(Worker<Vec<String>>),
}

impl Job {
    /// The pipe of its worker, to wait for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::CreateSandbox(worker) => worker.fd(),
            Self::RemoveSandbox(worker) | Self::Delete(worker) | Self::Purge(worker) => worker.fd(),
            Self::Start { worker, .. } => worker.fd(),
            Self::Exec { worker, .. } => worker.fd(),
        }
    }
}

/// Nothing of a pod runs any more, by its state.
pub fn has_ended(plan: &PodPlan, state: &PodState) -> bool {
    let shares = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        spec.share_process_namespace == Some(true) || spec.host_pid == Some(true)
    };
    // There, what a container started may outlive it, until the sandbox goes.
    match plan.pod.spec.as_ref().is_some_and(shares) {
        true => state.is_gone(),
        false => state.has_ended(),
    }
}

impl Run {
    /// A run of which nothing is known yet, and whose output is not read.
    pub fn new(attempt: u32, bundle: PathBuf) -> Self {
        let (process, terminal, pidfd) = (None, None, None);
        Self { attempt, bundle, process, terminal, killed: false, pidfd, outputs: Vec::new(), log: None }
    }
}

impl Pod {
    /// A pod with nothing of it in the kernel.
    pub fn new(recorded: &PodRecord, spec: PodSpec, state: PodState) -> Self {
        Self {
            plan: recorded.plan.clone(),
            status: pod_status(recorded, &spec, Some(&state)),
            spec,
            state,
            wanted: false,
            removing: false,
            sandbox: None,
            runs: HashMap::new(),
            remains: Vec::new(),
            jobs: HashMap::new(),
            remove_sandbox: false,
            purge: Purge::No,
            end_reported: false,
            recorded_end: false,
            killed_workers: 0,
            unwritten: None,
        }
    }

    /// Brings [`Pod::status`] up to date with the state; true if it has changed.
    pub fn observe(&mut self) -> bool {
        let observed = controller::observed(&self.status, &self.spec, &self.state);
        let changed = self.status != observed;
        self.status = observed;
        changed
    }

    /// A worker may have made a process that we do not know yet.
    pub fn awaits_child(&self) -> bool {
        self.jobs
            .values()
            .any(|job| matches!(job, Job::CreateSandbox(_) | Job::Start { .. } | Job::Exec { .. }))
    }

    /// Nothing will happen to this pod unless somebody asks.
    pub fn is_idle(&self, leaving: bool) -> bool {
        if !self.jobs.is_empty() || !self.runs.is_empty() {
            return false;
        }
        if self.removing {
            return self.purge == Purge::Done;
        }
        let at_rest = self.state.is_gone() || self.state.goal == Goal::Idle;
        at_rest && (!self.wanted || leaving || self.state.is_terminal())
    }
}
