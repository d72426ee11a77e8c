//! Commands in running containers.

use std::os::fd::{AsFd, OwnedFd};

use super::Supervisor;
use super::ipc::connection;
use super::ipc::protocol::Reply;
use super::pod::Job;
use crate::runtime::{self, Exec, Stdio};
use crate::sandbox::{self, console, container, worker};

/// The terminal of a command.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// It has one.
    pub tty: bool,
    /// Rows and columns.
    pub size: Option<(u16, u16)>,
}

impl Supervisor {
    /// Runs a command for a client. With a terminal the client gets the pty's master from the worker itself;
    /// without one its own three descriptors become the command's.
    pub(super) fn exec(
        &mut self,
        token: u64,
        uid: &str,
        name: &str,
        args: &[String],
        terminal: Terminal,
        descriptors: &[OwnedFd],
    ) -> Result<(), String> {
        let Terminal { tty, size } = terminal;
        let pod = self.pods.get(uid).ok_or("the pod is gone")?;
        let run = pod.runs.get(name).filter(|run| run.process.is_some());
        let run = run.ok_or_else(|| format!("container {name} is not running"))?;
        let client = self.connections.get(&token).ok_or("the client is gone")?;
        let id = container::id(uid, name, run.attempt);
        let job = || -> Result<i32, String> {
            let null = worker::dev_null().map_err(|e| e.to_string())?;
            let oci = runtime::open(pod.plan.runtime.as_deref(), &sandbox::runtime_state(&self.layout))
                .map_err(|e| e.to_string())?;
            let fd = |n: usize| descriptors.get(n).map_or(null.as_fd(), AsFd::as_fd);
            let stdio = Stdio { stdin: fd(0), stdout: fd(1), stderr: fd(2) };
            let scratch = tty
                .then(|| tempfile::Builder::new().prefix("exec").tempdir_in(&run.bundle))
                .transpose()
                .map_err(|e| e.to_string())?;
            let terminal = scratch
                .as_ref()
                .map(|scratch| runtime::console::ConsoleSocket::bind(&scratch.path().join("console")))
                .transpose();
            let terminal = terminal.map_err(|e| e.to_string())?;
            // As containerd has it: a terminal has a name.
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
            };
            base::fail_point!(Supervisor, "exec-begins");
            let pid = oci.exec(&exec).map_err(|e| e.of_container())?;
            base::fail_point!(Supervisor, "exec-runs");
            let master =
                terminal.map(|t| t.receive(console::TIMEOUT)).transpose().map_err(|e| e.to_string())?;
            let masters: Vec<_> = master.iter().map(AsFd::as_fd).collect();
            // One line, the first on this connection: there is room for it.
            connection::send_with_descriptors(client.fd(), &Reply::ExecStarted { pid }, &masters)
                .map_err(|e| e.to_string())?;
            Ok(pid)
        };
        let worker = worker::spawn(job).map_err(|e| format!("cannot fork: {e}"))?;
        self.add_worker(uid, Job::Exec { connection: token, worker });
        Ok(())
    }

    /// A command's worker has told its pid, or why there is none.
    pub(super) fn on_exec_started(&mut self, connection: u64, result: Result<i32, String>) {
        match result {
            Ok(pid) => match self.unclaimed.remove(&pid) {
                Some(code) => self.reply(connection, &Reply::ExecExited { code }),
                None => {
                    self.execs.insert(pid, connection);
                }
            },
            Err(message) => self.reply(connection, &Reply::Failed { message }),
        }
    }
}
