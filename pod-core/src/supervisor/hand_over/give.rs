//! The part of the old program in a hand-over.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::MemfdFlags;

use super::TABLE;
use super::table::{ConnectionEntry, JobEntry, JobKind, PodEntry, RunEntry, Table};
use crate::runtime::sealed_exe;
use crate::sandbox::SandboxInfo;
use crate::sandbox::worker::Worker;
use crate::supervisor::ipc::connection::Connection;
use crate::supervisor::ipc::protocol::Reply;
use crate::supervisor::pod::{Job, Pod, Run};
use crate::supervisor::{SUPERVISE, Supervisor};
use crate::version;

/// The program that is to continue in this process.
pub(in crate::supervisor) struct Successor {
    /// The connection of the client that asked.
    pub token: u64,
    /// The program's path, for processes that it starts later.
    pub program: PathBuf,
    /// The program's executable.
    pub executable: OwnedFd,
    /// The program's environment.
    pub environment: Vec<(String, String)>,
}

impl Supervisor {
    /// Hands this supervisor over. Returns only if that fails; this program then continues as before.
    #[inline(never)]
    pub(in crate::supervisor) fn hand_over(&mut self, successor: &Successor) {
        // What they have opened stays in this program.
        self.cancel_probes();
        self.release_all();
        let table = self.table(successor.token);
        let handed = table.descriptors();
        let error = match become_successor(successor, &table, &self.arguments(successor)) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        keep_over_exec(&handed, false);
        tracing::error!(%error, "cannot hand over to {}", successor.program.display());
        let message = format!("it cannot hand over to {}: {error}", successor.program.display());
        self.reply(successor.token, &Reply::Failed { message });
    }

    fn arguments(&self, successor: &Successor) -> [Vec<u8>; 5] {
        let Self { layout, id, .. } = self;
        [
            successor.program.as_os_str().as_bytes().to_owned(),
            SUPERVISE.as_bytes().to_owned(),
            layout.root.as_os_str().as_bytes().to_owned(),
            layout.runroot.as_os_str().as_bytes().to_owned(),
            id.key().into_bytes(),
        ]
    }

    fn table(&self, asker: u64) -> Table {
        // Every field is named, here and below, so that a new field is either handed over or listed as one that follows
        // from others.
        let Self {
            layout: _,
            exe: _,
            id: _,
            record,
            pods,
            gone,
            connections,
            // Watchers speak our format, which the successor does not: they connect again when this end is closed.
            watchers: _,
            execs,
            debugs,
            unclaimed,
            // The successor's controller looks at all pods again, and no client watches it yet.
            pending: _,
            control_again: _,
            // It brings Services up to date again.
            publishing: _,
            status_changed: _,
            has_worked: _,
            reported_status: _,
            events: _,
            signals: _,
            timer: _,
            armed: _,
            listener,
            leaving,
            successor: _,
            lock,
        } = self;
        let starts_exec = |token: u64| {
            let mut jobs = pods.values().flat_map(|pod| pod.jobs.values());
            jobs.any(|job| matches!(job, Job::Exec { connection, .. } if *connection == token))
        };
        let runs_exec = |token: u64| execs.values().any(|exec| *exec == token) || starts_exec(token);
        let is_newer = |client: &Connection| client.format.is_none_or(|format| format > version::format());
        let stay = connections.iter().filter(|(token, client)| is_newer(client) || runs_exec(**token));
        Table {
            lock: lock.as_raw_fd(),
            listener: listener.as_raw_fd(),
            record: record.clone(),
            pods: pods.iter().map(|(uid, pod)| (uid.clone(), pod_entry(pod))).collect(),
            gone: gone.clone(),
            connections: stay.map(|(token, client)| connection_entry(*token, client, asker)).collect(),
            execs: execs.clone(),
            debugs: debugs.clone(),
            unclaimed: unclaimed.clone(),
            leaving: *leaving,
        }
    }
}

fn connection_entry(token: u64, client: &Connection, asker: u64) -> ConnectionEntry {
    let (received, outgoing) = client.buffers();
    ConnectionEntry {
        token,
        socket: client.fd().as_raw_fd(),
        received,
        outgoing,
        descriptors: client.descriptors.iter().map(AsRawFd::as_raw_fd).collect(),
        format: client.format,
        asked: token == asker,
    }
}

fn pod_entry(pod: &Pod) -> PodEntry {
    let Pod {
        plan,
        spec: _,
        state,
        // The status follows from the state.
        status: _,
        // These three fields follow from the record.
        wanted: _,
        removing: _,
        recorded_end: _,
        sandbox,
        runs,
        remains,
        jobs,
        remove_sandbox,
        purge,
        end_reported,
        killed_workers,
        unwritten,
        // The successor starts new probes. It handles hooks as after the death of a supervisor.
        probing: _,
        checks: _,
        // It measures the volumes of the pod again.
        measuring: _,
        // It follows from the state.
        reach: _,
        // Its signals were sent before.
        held: _,
    } = pod;
    PodEntry {
        plan: (**plan).clone(),
        state: state.clone(),
        sandbox: sandbox.as_ref().map(SandboxInfo::without_descriptor),
        infra: sandbox.as_ref().and_then(|it| it.pidfd.as_ref()).map(|(_, fd)| fd.as_raw_fd()),
        runs: runs.iter().map(|(name, run)| (name.clone(), run_entry(run))).collect(),
        remains: remains.clone(),
        jobs: jobs.values().map(job_entry).collect(),
        remove_sandbox: *remove_sandbox,
        purge: *purge,
        end_reported: *end_reported,
        killed_workers: *killed_workers,
        unwritten: *unwritten,
    }
}

fn run_entry(run: &Run) -> RunEntry {
    let Run {
        attempt,
        bundle: _,
        process,
        terminal,
        stdin,
        stdin_closed,
        // Clients that are attached connect again when this end is closed.
        attached: _,
        killed,
        pidfd,
        outputs,
        log,
    } = run;
    RunEntry {
        attempt: *attempt,
        process: *process,
        terminal: *terminal,
        stdin: *stdin,
        stdin_closed: *stdin_closed,
        killed: *killed,
        pidfd: pidfd.as_ref().map(|(_, fd)| fd.as_raw_fd()),
        outputs: outputs.iter().map(|(stream, _, fd)| (*stream, fd.as_raw_fd())).collect(),
        lost: log.as_ref().map(|log| log.lost().clone()),
    }
}

fn job_entry(job: &Job) -> JobEntry {
    fn entry<T>(kind: JobKind, worker: &Worker<T>) -> JobEntry {
        let (pipe, received) = worker.progress();
        JobEntry { kind, pid: worker.pid.as_raw(), pipe, received: received.to_owned() }
    }
    match job {
        Job::CreateSandbox(worker) => entry(JobKind::CreateSandbox, worker),
        Job::RemoveSandbox(worker) => entry(JobKind::RemoveSandbox, worker),
        Job::Start { container, attempt, worker } => {
            entry(JobKind::Start { container: container.clone(), attempt: *attempt }, worker)
        }
        Job::Delete(worker) => entry(JobKind::Delete, worker),
        Job::Exec { connection, container, worker } => {
            entry(JobKind::Exec { connection: *connection, container: container.clone() }, worker)
        }
        Job::Purge(worker) => entry(JobKind::Purge, worker),
        Job::Measure(worker) => entry(JobKind::Measure, worker),
    }
}

fn become_successor(
    successor: &Successor,
    table: &Table,
    arguments: &[Vec<u8>],
) -> io::Result<std::convert::Infallible> {
    // The memory file must stay open over execve(2), so it is not close-on-exec.
    let mut memory = File::from(rustix::fs::memfd_create("kube-hand-over", MemfdFlags::empty())?);
    memory.write_all(&serde_json::to_vec(table)?)?;
    let number = memory.as_raw_fd().to_string();
    let path = successor.program.as_os_str().as_bytes();
    let marks = [(TABLE, number.as_bytes()), (sealed_exe::PROGRAM, path)];
    let given = successor.environment.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let environment = given.chain(marks).map(|(name, value)| [name.as_bytes(), b"=", value].concat());
    let c_strings = |texts: Vec<Vec<u8>>| texts.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let environment = c_strings(environment.collect())?;
    let arguments = c_strings(arguments.to_vec())?;
    keep_over_exec(&table.descriptors(), true);
    base::fail_point!(HandOver, "hand-over-ready");
    sealed_exe::execute_at(&successor.executable, &arguments, &environment)
}

/// Sets whether descriptors stay open over execve(2).
pub(super) fn keep_over_exec(descriptors: &[RawFd], keep: bool) {
    for fd in descriptors {
        let flags = if keep { 0 } else { libc::FD_CLOEXEC };
        // SAFETY: sets a flag of a descriptor of ours; no memory is involved.
        unsafe { libc::fcntl(*fd, libc::F_SETFD, flags) };
    }
}
