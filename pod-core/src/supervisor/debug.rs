//! Runs debug containers in running pods.

use std::os::fd::{AsFd, OwnedFd};

use super::Supervisor;
use super::ipc::connection;
use super::ipc::protocol::Reply;
use super::pod::Job;
use crate::kind::EventType;
use crate::log::{Occurrence, events};
use crate::runtime::{Stdio, cgroup};
use crate::sandbox::debug::{self, Debug, DebugContainer, DebugEnd};
use crate::sandbox::{Failure, Step, container, worker};

impl Supervisor {
    /// Starts a debug container for a client, whose three descriptors become those of the container; with a terminal, the
    /// worker sends the pty's master to the client.
    pub(super) fn debug(
        &mut self,
        token: u64,
        uid: &str,
        debug: &Debug,
        size: Option<(u16, u16)>,
        descriptors: &[OwnedFd],
    ) -> Result<(), Failure> {
        let missing = |what: String| Failure::new(Step::Lookup, what);
        let pod = self.pods.get(uid).ok_or_else(|| missing("the pod is gone".to_owned()))?;
        let client = self.connections.get(&token).ok_or_else(|| missing("the client is gone".to_owned()))?;
        let sandbox = pod.sandbox.as_ref().filter(|_| !pod.remove_sandbox);
        let sandbox = sandbox.ok_or_else(|| missing("the pod does not run".to_owned()))?;
        let is_used = pod.spec.containers.iter().any(|one| one.name == debug.name)
            || container::bundle(&self.layout, uid, &debug.name, 0).exists();
        if is_used {
            return Err(missing(format!("the pod has a container {} already", debug.name)));
        }
        let target = match &debug.target {
            None => None,
            Some(name) => {
                let process = pod.runs.get(name).and_then(|run| run.process);
                let process = process.ok_or_else(|| missing(format!("container {name} is not running")))?;
                Some(process.pid)
            }
        };
        let job = || -> Result<i32, Failure> {
            let null = worker::dev_null().map_err(Failure::at(Step::Files))?;
            let fd = |n: usize| descriptors.get(n).map_or(null.as_fd(), AsFd::as_fd);
            let stdio = Stdio { stdin: fd(0), stdout: fd(1), stderr: fd(2) };
            let started = debug::start(&self.layout, &pod.plan, sandbox, debug, target, &stdio);
            let (process, master) = started.map_err(|e| Failure::new(Step::Runtime, e.message))?;
            if let (Some(master), Some((rows, columns))) = (&master, size) {
                // A terminal of another size works too.
                let _ = crate::runtime::console::set_size(master, rows, columns);
            }
            let masters: Vec<_> = master.iter().map(AsFd::as_fd).collect();
            // This line is the first on the connection, so the socket has room for it.
            connection::send_with_descriptors(
                client.fd(),
                &Reply::ExecStarted { pid: process.pid },
                &masters,
            )
            .map_err(Failure::at(Step::Reply))?;
            Ok(process.pid)
        };
        // Recorded before it is created, so that whoever looks at the pod finds it.
        let recorded = DebugContainer { debug: debug.clone(), started_at: None, ended: None };
        DebugContainer::change(&self.layout, uid, |all| {
            all.retain(|one| one.debug.name != debug.name);
            all.push(recorded);
        })
        .map_err(Failure::at(Step::Files))?;
        base::fail_point!(Supervisor, "debug-recorded");
        let worker = worker::spawn(job).map_err(Failure::when(Step::Fork, "cannot fork"))?;
        let container = Some(debug.name.clone());
        self.add_worker(uid, Job::Exec { connection: token, container, worker });
        Ok(())
    }

    /// Remembers the process of a debug container that has been started. If it could not be started, what was created is
    /// removed.
    pub(super) fn on_debug_started(&mut self, uid: &str, container: String, pid: Result<i32, &str>) {
        let now = jiff::Timestamp::now();
        match pid {
            Ok(pid) => {
                for (reason, message) in [
                    ("Created", format!("Created container: {container}")),
                    ("Started", format!("Started container {container}")),
                ] {
                    self.emit_of_debug(uid, &container, EventType::Normal, reason, &message);
                }
                self.change_debug(uid, &container, |one| one.started_at = Some(now));
                match self.unclaimed.get(&pid).copied() {
                    // It has ended already; the client gets the exit code from there.
                    Some(code) => self.debug_ended(uid, &container, Some(code)),
                    None => drop(self.debugs.insert(pid, (uid.to_owned(), container))),
                }
            }
            Err(message) => {
                let message = format!("Error: {message}");
                self.emit_of_debug(uid, &container, EventType::Warning, "Failed", &message);
                let forgotten = DebugContainer::change(&self.layout, uid, |all| {
                    all.retain(|one| one.debug.name != container);
                });
                forgotten.unwrap_or_else(
                    |error| tracing::warn!(pod = uid, container, %error, "a debug container stays recorded"),
                );
                self.schedule_removal(uid, &container, 0);
            }
        }
    }

    /// Handles the end of a child that may be the process of a debug container. Returns whether it was.
    pub(super) fn on_debug_ended(&mut self, pid: i32, code: i32) -> bool {
        let Some((uid, container)) = self.debugs.remove(&pid) else { return false };
        self.debug_ended(&uid, &container, Some(code));
        true
    }

    fn debug_ended(&mut self, uid: &str, container: &str, exit_code: Option<i32>) {
        let end = DebugEnd { exit_code, finished_at: jiff::Timestamp::now() };
        self.change_debug(uid, container, |one| one.ended = Some(end));
        self.schedule_removal(uid, container, 0);
    }

    /// Records the end of debug containers that ended without a supervisor. What still runs goes with the pod.
    pub(super) fn adopt_debugs(&self, uid: &str) {
        let cgroup = cgroup::pod_path(uid);
        for one in DebugContainer::list(&self.layout, uid).iter().filter(|one| one.ended.is_none()) {
            let name = &one.debug.name;
            let runs =
                !cgroup::processes(&cgroup::container_path(&cgroup, &container::id(uid, name, 0))).is_empty();
            if !runs {
                let end = DebugEnd { exit_code: None, finished_at: jiff::Timestamp::now() };
                self.change_debug(uid, name, |one| one.ended = Some(end));
            }
        }
    }

    fn change_debug(&self, uid: &str, container: &str, change: impl FnOnce(&mut DebugContainer)) {
        let changed = DebugContainer::change(&self.layout, uid, |all| {
            if let Some(one) = all.iter_mut().find(|one| one.debug.name == container) {
                change(one);
            }
        });
        if let Err(error) = changed {
            tracing::warn!(pod = uid, container, %error, "the state of a debug container cannot be recorded");
        }
    }

    fn emit_of_debug(&self, uid: &str, container: &str, kind: EventType, reason: &str, message: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        let once = Occurrence::once(jiff::Timestamp::now());
        let told = events::append(&self.layout, &pod.plan, Some(container), kind, reason, message, once);
        if let Err(error) = told {
            tracing::error!("{error}");
        }
    }
}
