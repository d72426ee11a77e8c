//! The state of a supervisor that is in no file, in the form in which it is handed to the next program in the same
//! process.
//!
//! The next program may be newer, so a new field needs a default, and no field may change its meaning. Descriptors are
//! given by their numbers, because execve(2) keeps them.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

use crate::lifecycle::PodState;
use crate::log::{Lost, Stream};
use crate::plan::PodPlan;
use crate::record::WorkloadRecord;
use crate::sandbox::SandboxInfo;
use crate::sandbox::process::Process;
use crate::supervisor::pod::Purge;

/// The state of a supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    pub lock: RawFd,
    pub listener: RawFd,
    pub record: WorkloadRecord,
    pub pods: BTreeMap<String, PodEntry>,
    pub gone: Vec<String>,
    pub connections: Vec<ConnectionEntry>,
    /// The commands of `exec`: their pids, with the token of the connection that asked.
    pub execs: HashMap<i32, u64>,
    /// The processes of debug containers: their pids, with the uid of the pod and the name of the container.
    #[serde(default)]
    pub debugs: HashMap<i32, (String, String)>,
    pub unclaimed: HashMap<i32, i32>,
    pub leaving: bool,
}

/// The state of a pod.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodEntry {
    pub plan: PodPlan,
    pub state: PodState,
    pub sandbox: Option<SandboxInfo>,
    /// The pidfd of an infra container that is not a child of this process.
    pub infra: Option<RawFd>,
    pub runs: BTreeMap<String, RunEntry>,
    pub remains: Vec<(String, u32)>,
    pub jobs: Vec<JobEntry>,
    pub remove_sandbox: bool,
    pub purge: Purge,
    #[serde(rename = "told_end")]
    pub end_reported: bool,
    pub killed_workers: u32,
    pub unwritten: Option<u64>,
}

/// The state of a run of a container.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunEntry {
    pub attempt: u32,
    pub process: Option<Process>,
    pub terminal: Option<Process>,
    #[serde(default)]
    pub stdin: Option<Process>,
    #[serde(default)]
    pub stdin_closed: bool,
    pub killed: bool,
    /// The pidfd of a process that is not a child of this process.
    pub pidfd: Option<RawFd>,
    pub outputs: Vec<(Stream, RawFd)>,
    /// How much output is missing from the run's log; `None` if the run has no log.
    pub lost: Option<Lost>,
}

/// A worker that has not ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobEntry {
    pub kind: JobKind,
    pub pid: i32,
    /// The pipe of the worker's result. `received` is the part of the result that has been read.
    pub pipe: RawFd,
    pub received: Vec<u8>,
}

/// The task of a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum JobKind {
    CreateSandbox,
    RemoveSandbox,
    Start {
        container: String,
        attempt: u32,
    },
    Delete,
    Exec {
        connection: u64,
        /// The name of a debug container.
        #[serde(default)]
        container: Option<String>,
    },
    Purge,
    Measure,
}

/// A client that stays connected.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConnectionEntry {
    pub token: u64,
    pub socket: RawFd,
    pub received: Vec<u8>,
    pub outgoing: Vec<u8>,
    pub descriptors: Vec<RawFd>,
    pub format: Option<u32>,
    /// True if this client asked for the hand-over and waits for our Hello.
    pub asked: bool,
}

impl Table {
    /// Returns every descriptor that is handed over.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let of_pod = |pod: &PodEntry| {
            let jobs = pod.jobs.iter().map(|job| job.pipe);
            let runs = pod.runs.values();
            let runs = runs.flat_map(|run| run.outputs.iter().map(|(_, fd)| *fd).chain(run.pidfd));
            jobs.chain(runs).chain(pod.infra).collect::<Vec<_>>()
        };
        let of_client = |client: &ConnectionEntry| {
            client.descriptors.iter().copied().chain([client.socket]).collect::<Vec<_>>()
        };
        let clients = self.connections.iter().flat_map(of_client);
        [self.lock, self.listener]
            .into_iter()
            .chain(self.pods.values().flat_map(of_pod))
            .chain(clients)
            .collect()
    }
}
