//! Runs debug containers in running pods.

use std::os::fd::{AsFd, OwnedFd};

use super::Supervisor;
use super::ipc::connection;
use super::ipc::protocol::Reply;
use super::pod::Job;
use crate::runtime::Stdio;
use crate::sandbox::debug::{self, Debug};
use crate::sandbox::{Failure, Step, worker};

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
            || crate::sandbox::container::bundle(&self.layout, uid, &debug.name, 0).exists();
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
        let worker = worker::spawn(job).map_err(Failure::when(Step::Fork, "cannot fork"))?;
        let container = Some(debug.name.clone());
        self.add_worker(uid, Job::Exec { connection: token, container, worker });
        Ok(())
    }

    /// Remembers the process of a debug container that has been started. `None`: it could not be started, and what was
    /// created is removed.
    pub(super) fn on_debug_started(&mut self, uid: &str, container: String, pid: Option<i32>) {
        match pid.filter(|pid| !self.unclaimed.contains_key(pid)) {
            Some(pid) => {
                self.debugs.insert(pid, (uid.to_owned(), container));
            }
            None => self.schedule_removal(uid, &container, 0),
        }
    }

    /// Handles the end of a child that may be the process of a debug container. Returns whether it was.
    pub(super) fn on_debug_ended(&mut self, pid: i32) -> bool {
        let Some((uid, container)) = self.debugs.remove(&pid) else { return false };
        self.schedule_removal(&uid, &container, 0);
        true
    }
}
