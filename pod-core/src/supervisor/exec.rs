//! Runs commands in running containers.

use std::os::fd::{AsFd, OwnedFd};

use super::Supervisor;
use super::ipc::connection;
use super::ipc::protocol::Reply;
use super::pod::Job;
use crate::runtime::{self, Exec, Stdio};
use crate::sandbox::{self, Failure, Step, console, container, worker};

/// The terminal that a command asks for.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// True if the command gets a terminal.
    pub tty: bool,
    /// The terminal's rows and columns.
    pub size: Option<(u16, u16)>,
}

impl Supervisor {
    /// Runs a command for a client. With a terminal, the worker itself sends the pty's master to the client; without
    /// one, the client's three descriptors become those of the command.
    pub(super) fn exec(
        &mut self,
        token: u64,
        uid: &str,
        name: &str,
        args: &[String],
        terminal: Terminal,
        descriptors: &[OwnedFd],
    ) -> Result<(), Failure> {
        let Terminal { tty, size } = terminal;
        let missing = |what: String| Failure::new(Step::Lookup, what);
        let pod = self.pods.get(uid).ok_or_else(|| missing("the pod is gone".to_owned()))?;
        let run = pod.runs.get(name).filter(|run| run.process.is_some());
        let run = run.ok_or_else(|| missing(format!("container {name} is not running")))?;
        let client = self.connections.get(&token).ok_or_else(|| missing("the client is gone".to_owned()))?;
        let id = container::id(uid, name, run.attempt);
        let job = || -> Result<i32, Failure> {
            let null = worker::dev_null().map_err(Failure::at(Step::Files))?;
            let oci = runtime::open(pod.plan.runtime.as_deref(), &sandbox::runtime_state(&self.layout))
                .map_err(Failure::at(Step::Runtime))?;
            let fd = |n: usize| descriptors.get(n).map_or(null.as_fd(), AsFd::as_fd);
            let stdio = Stdio { stdin: fd(0), stdout: fd(1), stderr: fd(2) };
            let scratch = tty
                .then(|| tempfile::Builder::new().prefix("exec").tempdir_in(&run.bundle))
                .transpose()
                .map_err(Failure::at(Step::Files))?;
            let terminal = scratch
                .as_ref()
                .map(|scratch| runtime::console::ConsoleSocket::bind(&scratch.path().join("console")))
                .transpose();
            let terminal = terminal.map_err(Failure::at(Step::Terminal))?;
            // As in containerd, a command with a terminal has the variable TERM.
            let env = if tty { vec![("TERM".to_owned(), "xterm".to_owned())] } else { Vec::new() };
            let exec = Exec {
                id: &id,
                bundle: &run.bundle,
                args,
                env: &env,
                tty,
                size,
                stdio,
                console_socket: terminal.as_ref().map(|t| t.path()),
                group: None,
            };
            base::fail_point!(Supervisor, "exec-begins");
            let pid = oci.exec(&exec).map_err(|e| Failure::new(Step::Runtime, e.of_container()))?;
            base::fail_point!(Supervisor, "exec-runs");
            let master = terminal.map(|t| t.receive(console::TIMEOUT)).transpose();
            let master = master.map_err(Failure::at(Step::Terminal))?;
            let masters: Vec<_> = master.iter().map(AsFd::as_fd).collect();
            // This line is the first on the connection, so the socket has room for it.
            connection::send_with_descriptors(client.fd(), &Reply::ExecStarted { pid }, &masters)
                .map_err(Failure::at(Step::Reply))?;
            Ok(pid)
        };
        let worker = worker::spawn(job).map_err(Failure::when(Step::Fork, "cannot fork"))?;
        self.add_worker(uid, Job::Exec { connection: token, container: None, worker });
        Ok(())
    }

    /// Handles the report of a command's worker: the pid of its process, or why it could not be started.
    pub(super) fn on_exec_started(&mut self, connection: u64, result: Result<i32, Failure>) {
        match result {
            Ok(pid) => match self.unclaimed.remove(&pid) {
                Some(code) => self.reply(connection, &Reply::ExecExited { code }),
                None => {
                    self.execs.insert(pid, connection);
                }
            },
            Err(failure) => self.reply(connection, &Reply::Failed { message: failure.message }),
        }
    }
}
