//! The part of the new program in a hand-over.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use base::file::FileLock;

use super::TABLE;
use super::give::keep_over_exec;
use super::table::{ConnectionEntry, JobEntry, JobKind, PodEntry, RunEntry, Table};
use crate::lifecycle::{Action, PodSpec};
use crate::log;
use crate::record::{Desired, PodRecord};
use crate::sandbox::container;
use crate::sandbox::worker::Worker;
use crate::service::Reach;
use crate::store::{Layout, WorkloadId};
use crate::supervisor::event_loop::Source;
use crate::supervisor::ipc::connection::Connection;
use crate::supervisor::ipc::protocol::Hello;
use crate::supervisor::pod::{Job, Pod, Run};
use crate::supervisor::{Error, Supervisor};
use crate::workload;

/// What the former program in this process has handed over.
pub(in crate::supervisor) struct Handed {
    table: Table,
    memory: RawFd,
}

impl Handed {
    /// Reads what was handed over. Returns `None` in a supervisor that was started in the ordinary way.
    ///
    /// # Errors
    /// The table cannot be read. The process has to end then, as in a crash.
    pub(in crate::supervisor) fn read() -> io::Result<Option<Self>> {
        let Some(number) = std::env::var_os(TABLE) else { return Ok(None) };
        let memory = number.to_str().and_then(|number| number.parse::<RawFd>().ok());
        let memory = memory.ok_or_else(|| io::Error::other(format!("{TABLE} names no descriptor")))?;
        // SAFETY: the former program created this descriptor for us; nothing else in this process owns it. It stays
        // open for the case that this program executes itself once more.
        let mut file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(memory) });
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok(Some(Self { table: serde_json::from_slice(&text)?, memory }))
    }

    /// Returns every descriptor that was handed over.
    pub(in crate::supervisor) fn descriptors(&self) -> Vec<RawFd> {
        let mut all = self.table.descriptors();
        all.push(self.memory);
        all
    }

    /// Creates a supervisor that continues where the former program stopped.
    ///
    /// # Errors
    /// The kernel refuses something that a supervisor needs.
    pub(in crate::supervisor) fn take(self, layout: Layout, id: WorkloadId) -> Result<Supervisor, Error> {
        let Self { mut table, memory } = self;
        keep_over_exec(&table.descriptors(), false);
        drop(owned(memory));
        // SAFETY: this process has one thread, so no other thread reads the environment meanwhile.
        unsafe { std::env::remove_var(TABLE) };
        base::fail_point!(HandOver, "hand-over-begun");
        let lock = FileLock::from(owned(table.lock));
        let mut supervisor = Supervisor::new(layout, id, table.record, lock, owned(table.listener).into())?;
        supervisor.gone = table.gone;
        supervisor.unclaimed = table.unclaimed;
        supervisor.leaving = table.leaving;
        let mut tokens = HashMap::new();
        let mut askers = Vec::new();
        for entry in table.connections {
            let (old, asked) = (entry.token, entry.asked);
            if let Some(token) = supervisor.take_connection(entry) {
                tokens.insert(old, token);
                askers.extend(asked.then_some(token));
            }
        }
        supervisor.debugs = table.debugs;
        // Drops the commands whose clients have disconnected.
        table.execs.retain(|_, token| tokens.contains_key(token));
        supervisor.execs =
            table.execs.into_iter().filter_map(|(pid, token)| Some((pid, *tokens.get(&token)?))).collect();
        for (uid, entry) in table.pods {
            supervisor.take_pod(&uid, entry, &tokens);
        }
        supervisor.publish();
        supervisor.follow_record();
        supervisor.pending = Some(workload::Event::Applied);
        supervisor.raise_record();
        for token in askers {
            supervisor.send(token, &Hello::new());
        }
        // Children may have ended without a report to the former program, or their reports were lost.
        supervisor.reap();
        base::fail_point!(HandOver, "hand-over-done");
        Ok(supervisor)
    }
}

/// Takes ownership of a descriptor of the table.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the former program left this descriptor open for us, and the table names each once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

impl Supervisor {
    fn take_connection(&mut self, entry: ConnectionEntry) -> Option<u64> {
        let ConnectionEntry { socket, received, outgoing, descriptors, format, .. } = entry;
        let descriptors = descriptors.into_iter().map(owned).collect();
        let stream = UnixStream::from(owned(socket));
        let connection = Connection::restored(stream, received, outgoing, descriptors, format);
        let token = self.events.add(connection.fd(), Source::Connection).ok()?;
        let _ = self.events.want_write(connection.fd(), token, connection.has_outgoing());
        self.connections.insert(token, connection);
        Some(token)
    }

    fn take_pod(&mut self, uid: &str, entry: PodEntry, tokens: &HashMap<u64, u64>) {
        let spec = PodSpec::from_pod(&entry.plan.pod);
        let recorded = self.record.pods.iter().find(|pod| pod.plan.uid == uid).cloned();
        let recorded = recorded.unwrap_or_else(|| PodRecord::new(entry.plan, Desired::Stopped));
        let mut pod = Pod::new(&recorded, spec, entry.state);
        pod.reach = Reach::of(&pod.state);
        pod.sandbox = entry.sandbox;
        pod.remains = entry.remains;
        pod.remove_sandbox = entry.remove_sandbox;
        pod.purge = entry.purge;
        pod.end_reported = entry.end_reported;
        pod.killed_workers = entry.killed_workers;
        pod.unwritten = entry.unwritten;
        if let (Some(sandbox), Some(fd)) = (pod.sandbox.as_mut(), entry.infra.map(owned)) {
            let source = Source::AdoptedProcess { uid: uid.to_owned(), container: None };
            match self.events.add(fd.as_fd(), source) {
                Ok(token) => sandbox.pidfd = Some((token, fd)),
                Err(e) => tracing::error!("cannot wait for an infra container: {e}"),
            }
        }
        let mut hooks = pod.state.pending_actions();
        hooks.retain(|action| matches!(action, Action::RunHook { .. }));
        for (name, entry) in entry.runs {
            let run = self.take_run(uid, &name, entry);
            pod.runs.insert(name, run);
        }
        self.pods.insert(uid.to_owned(), pod);
        for entry in entry.jobs {
            self.add_worker(uid, job(entry, tokens));
        }
        self.follow_checks(uid);
        self.follow_usage(uid);
        for action in hooks {
            self.redo(uid, action);
        }
    }

    fn take_run(&mut self, uid: &str, name: &str, entry: RunEntry) -> Run {
        let bundle = container::bundle(&self.layout, uid, name, entry.attempt);
        let mut run = Run::new(entry.attempt, bundle);
        run.process = entry.process;
        run.terminal = entry.terminal;
        (run.stdin, run.stdin_closed) = (entry.stdin, entry.stdin_closed);
        run.killed = entry.killed;
        if let Some(lost) = entry.lost {
            let logs = self.layout.container_logs(uid, name);
            match log::Writer::open(&logs, run.attempt, log::Limits::default(), &run.bundle) {
                Ok(mut log) => {
                    log.add_lost(lost);
                    run.log = Some(log);
                }
                Err(e) => tracing::error!("{e}"),
            }
        }
        for (stream, fd) in entry.outputs {
            let fd = owned(fd);
            let source = Source::Output { uid: uid.to_owned(), container: name.to_owned() };
            match self.events.add(fd.as_fd(), source) {
                Ok(token) => run.outputs.push((stream, token, fd)),
                Err(e) => tracing::error!("cannot wait for output: {e}"),
            }
        }
        if let Some(fd) = entry.pidfd.map(owned) {
            let source = Source::AdoptedProcess { uid: uid.to_owned(), container: Some(name.to_owned()) };
            match self.events.add(fd.as_fd(), source) {
                Ok(token) => run.pidfd = Some((token, fd)),
                Err(e) => tracing::error!("cannot wait for a container: {e}"),
            }
        }
        run
    }
}

/// Recreates a worker that the former program started.
fn job(entry: JobEntry, tokens: &HashMap<u64, u64>) -> Job {
    fn worker<T>(pid: i32, pipe: OwnedFd, received: Vec<u8>) -> Worker<T> {
        Worker::restored(nix::unistd::Pid::from_raw(pid), pipe, received)
    }
    let JobEntry { kind, pid, pipe, received } = entry;
    let pipe = owned(pipe);
    match kind {
        JobKind::CreateSandbox => Job::CreateSandbox(worker(pid, pipe, received)),
        JobKind::RemoveSandbox => Job::RemoveSandbox(worker(pid, pipe, received)),
        JobKind::Start { container, attempt } => {
            Job::Start { container, attempt, worker: worker(pid, pipe, received) }
        }
        JobKind::Delete => Job::Delete(worker(pid, pipe, received)),
        JobKind::Exec { connection, container } => {
            // The client has disconnected: this token belongs to no connection.
            let connection = tokens.get(&connection).copied().unwrap_or(u64::MAX);
            Job::Exec { connection, container, worker: worker(pid, pipe, received) }
        }
        JobKind::Purge => Job::Purge(worker(pid, pipe, received)),
        JobKind::Measure => Job::Measure(worker(pid, pipe, received)),
    }
}
