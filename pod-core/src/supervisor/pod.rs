//! One pod in its supervisor: the state of the state machine, and the kernel objects that belong to the pod.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use serde::{Deserialize, Serialize};

use super::attach::Attachment;
use super::checks::Checks;
use super::held::Held;
use super::measuring::Measuring;
use super::probes::Probing;
use crate::controller::{self, pod_status};
use crate::lifecycle::{Goal, PodSpec, PodState};
use crate::log::{Stream, Writer};
use crate::plan::{ContainerError, PodPlan};
use crate::probe::Network;
use crate::record::PodRecord;
use crate::sandbox::container::Started;
use crate::sandbox::process::Process;
use crate::sandbox::worker::Worker;
use crate::sandbox::{Failure, SandboxInfo};
use crate::service::Reach;
use crate::workload::PodStatus;

/// A pod of the supervisor's workload.
pub struct Pod {
    /// The pod's plan.
    pub plan: Arc<PodPlan>,
    /// The plan in the form that the state machine takes.
    pub spec: PodSpec,
    /// The pod's state.
    pub state: PodState,
    /// What the controller knows about the pod.
    pub status: PodStatus,
    /// True if the pod should run.
    pub wanted: bool,
    /// True if the pod is to be removed once it has stopped.
    pub removing: bool,
    /// The pod's sandbox, once it has been created.
    pub sandbox: Option<SandboxInfo>,
    /// The runs of containers whose process runs or whose output is being read.
    pub runs: HashMap<String, Run>,
    /// The runs that have ended and whose resources in the kernel and on disk are not removed yet: container and
    /// attempt.
    pub remains: Vec<(String, u32)>,
    /// The workers that have not ended, by token.
    pub jobs: HashMap<u64, Job>,
    /// True if the removal of the sandbox is requested and waits for other workers.
    pub remove_sandbox: bool,
    /// The progress of the removal of the pod's files.
    pub purge: Purge,
    /// True if the end of the pod (no process of the pod runs any more) has been sent to watching clients.
    pub end_reported: bool,
    /// True if the end of the pod has been written into the record.
    pub recorded_end: bool,
    /// The number of workers that were killed, one after another, while they removed the pod's sandbox or files.
    pub killed_workers: u32,
    /// Set if the pod's state could not be written, for example because the disk is full: the time of the next attempt,
    /// in milliseconds since boot.
    pub unwritten: Option<u64>,
    /// Its probes.
    pub probing: Probing,
    /// Its probes and hooks that run now.
    pub checks: Checks,
    /// When its volumes are measured.
    pub measuring: Measuring,
    /// Where it can be reached, as Services were told.
    pub reach: Option<Reach>,
    /// The stop signals that wait until it has left its Services.
    pub held: Held,
}

/// The progress of the removal of a pod's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purge {
    /// The removal is not requested.
    No,
    /// A worker removes the files.
    Running,
    /// Nothing of the pod is left.
    Done,
}

/// One run of a container.
pub struct Run {
    /// The number of the run, from 0.
    pub attempt: u32,
    /// The run's bundle.
    pub bundle: PathBuf,
    /// The container's process, once it is known.
    pub process: Option<Process>,
    /// The process that holds the container's terminal.
    pub terminal: Option<Process>,
    /// What holds its stdin open, if it has `stdinOnce: true`.
    pub stdin: Option<Process>,
    /// Whether its stdin has been closed, because the first session that had it is over.
    pub stdin_closed: bool,
    /// The clients that are attached to it.
    pub attached: Vec<Attachment>,
    /// True once the supervisor has sent SIGKILL to the process.
    pub killed: bool,
    /// The pidfd of a process that is not a child of the supervisor, and its token.
    pub pidfd: Option<(u64, OwnedFd)>,
    /// The reading ends of the container's outputs, with their tokens.
    pub outputs: Vec<(Stream, u64, OwnedFd)>,
    /// The container's log.
    pub log: Option<Writer>,
}

/// A worker and its task.
pub enum Job {
    /// Creates the sandbox.
    CreateSandbox(Worker<Result<SandboxInfo, Failure>>),
    /// Removes the sandbox; returns problems with what could not be removed.
    RemoveSandbox(Worker<Vec<String>>),
    /// Starts a container.
    Start {
        /// The container's name.
        container: String,
        /// The number of the run.
        attempt: u32,
        /// The worker.
        worker: Worker<Result<Started, ContainerError>>,
    },
    /// Removes the resources of a run that has ended; returns problems with what could not be removed.
    Delete(Worker<Vec<String>>),
    /// Starts a command in a container, or a debug container; returns the pid of its process.
    Exec {
        /// The connection of the client that asked.
        connection: u64,
        /// The name of a debug container.
        container: Option<String>,
        /// The worker.
        worker: Worker<Result<i32, Failure>>,
    },
    /// Deletes all files of a removed pod; returns problems with what could not be deleted.
    Purge(Worker<Vec<String>>),
    /// Measures the pod's volumes; returns why the pod has to end, if one exceeds its limit.
    Measure(Worker<Option<String>>),
}

impl Job {
    /// Returns the pipe of the worker, to poll.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::CreateSandbox(worker) => worker.fd(),
            Self::RemoveSandbox(worker) | Self::Delete(worker) | Self::Purge(worker) => worker.fd(),
            Self::Start { worker, .. } => worker.fd(),
            Self::Exec { worker, .. } => worker.fd(),
            Self::Measure(worker) => worker.fd(),
        }
    }
}

impl Run {
    /// Creates a run without a known process, whose output is not read.
    pub fn new(attempt: u32, bundle: PathBuf) -> Self {
        Self {
            attempt,
            bundle,
            process: None,
            terminal: None,
            stdin: None,
            stdin_closed: false,
            attached: Vec::new(),
            killed: false,
            pidfd: None,
            outputs: Vec::new(),
            log: None,
        }
    }
}

impl Pod {
    /// Creates a pod without any resources in the kernel.
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
            probing: Probing::default(),
            checks: Checks::default(),
            measuring: Measuring::new(&recorded.plan),
            reach: None,
            held: Held::default(),
        }
    }

    /// Returns a container of its manifest.
    pub fn container(&self, name: &str) -> Option<&Container> {
        let spec = self.plan.pod.spec.as_ref()?;
        spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
    }

    /// Returns its network, for probes and hooks.
    pub fn network(&self) -> Network {
        let namespace = self.sandbox.as_ref().and_then(|sandbox| sandbox.sandbox.netns.clone());
        Network { namespace, ips: self.state.ips.clone() }
    }

    /// Updates [`Pod::status`] from the state. Returns whether the status has changed.
    pub fn observe(&mut self) -> bool {
        let observed = controller::observed(&self.status, &self.spec, &self.state);
        let changed = self.status != observed;
        self.status = observed;
        changed
    }

    /// Returns whether a worker may have created a process that the supervisor does not know yet.
    pub fn awaits_child(&self) -> bool {
        self.jobs
            .values()
            .any(|job| matches!(job, Job::CreateSandbox(_) | Job::Start { .. } | Job::Exec { .. }))
            || self.checks.awaits_child()
    }

    /// Returns whether nothing will happen to this pod unless a client asks for it.
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
