//! The process of a container, and where its streams lead.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::error;
use crate::kind::WaitingReason;
use crate::log::Stream;
use crate::plan::{ContainerError, ContainerPlan, PodPlan};
use crate::runtime::console::ConsoleSocket;
use crate::runtime::selinux::{self, Labels};
use crate::runtime::{self, Create, Sandbox, Stdio};
use crate::sandbox::info::runtime_state;
use crate::sandbox::process::Process;
use crate::sandbox::{console, output, worker};
use crate::store::Layout;

/// Where the streams of a container lead.
pub enum Streams<'a> {
    /// Into FIFOs, from which the supervisor writes the log.
    Log,
    /// To a client: to its descriptors, or to a terminal.
    Client {
        /// The descriptors of the client.
        stdio: &'a Stdio<'a>,
        /// Receives the master of the terminal, if the container has one.
        master: &'a mut Option<OwnedFd>,
    },
}

/// The processes of a container that was created.
pub(super) struct Processes {
    pub process: Process,
    pub terminal: Option<Process>,
    pub stdin: Option<Process>,
}

/// A container whose bundle is complete.
pub(super) struct Bundled<'a> {
    pub layout: &'a Layout,
    pub pod: &'a PodPlan,
    pub plan: &'a ContainerPlan,
    pub sandbox: &'a Sandbox,
    pub labels: Option<&'a Labels>,
    pub bundle: &'a Path,
    pub id: &'a str,
    pub stdin_once: bool,
}

impl Bundled<'_> {
    /// Creates the process, which waits to be started.
    pub fn create(&self, streams: Streams<'_>) -> Result<Processes, ContainerError> {
        match streams {
            Streams::Log => self.create_logged(),
            Streams::Client { stdio, master } => {
                let terminal = self.bind_console()?;
                let process = self.run(stdio, terminal.as_ref())?;
                *master = terminal.map(|terminal| self.receive(&terminal)).transpose()?;
                Ok(Processes { process: find(process)?, terminal: None, stdin: None })
            }
        }
    }

    fn create_logged(&self) -> Result<Processes, ContainerError> {
        let create = error(WaitingReason::CreateContainerError);
        let Self { plan, sandbox, bundle, .. } = self;
        let open = |stream| {
            output::open_writer(bundle, stream, sandbox.host_id(plan.uid), sandbox.host_id(plan.gid))
                .map_err(|e| create(&format!("open output: {e}")))
        };
        let (stdout, stderr) = (open(Stream::Stdout)?, open(Stream::Stderr)?);
        let mut stdin_holder = None;
        let stdin = if plan.stdin && !plan.tty {
            let opened = if self.stdin_once {
                console::open_stdin_once(bundle).map(|(stdin, holder)| (stdin, Some(holder)))
            } else {
                console::open_stdin(bundle).map(|stdin| (stdin, None))
            };
            let (stdin, holder) = opened.map_err(|e| create(&format!("open stdin: {e}")))?;
            stdin_holder = holder;
            // The FIFO is owned by the container's user, like those of the output, so that the container can open
            // /dev/stdin.
            let user = Some(rustix::fs::Uid::from_raw(sandbox.host_id(plan.uid)));
            rustix::fs::fchown(&stdin, user, None).map_err(|e| create(&format!("open stdin: {e}")))?;
            self.label(&stdin)?;
            stdin
        } else {
            worker::dev_null().map_err(|e| create(&e))?
        };
        self.label(&stdout)?;
        self.label(&stderr)?;
        let terminal = self.bind_console()?;
        let stdio = Stdio { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
        let pid = self.run(&stdio, terminal.as_ref())?;
        let terminal = match terminal {
            None => None,
            Some(terminal) => {
                let master = self.receive(&terminal)?;
                let stdin = plan.stdin.then(|| console::open_stdin(bundle)).transpose();
                let stdin = stdin.map_err(|e| create(&format!("open stdin: {e}")))?;
                let holder = console::hold(master, stdout, stdin);
                Some(holder.map_err(|e| create(&format!("cannot fork: {e}")))?)
            }
        };
        Ok(Processes { process: find(pid)?, terminal, stdin: stdin_holder })
    }

    /// Gives a stream that leads to us the SELinux label of the container's files.
    fn label(&self, stream: &OwnedFd) -> Result<(), ContainerError> {
        let create = error(WaitingReason::CreateContainerError);
        let Some(labels) = self.labels else { return Ok(()) };
        selinux::label_descriptor(stream, &labels.file)
            .map_err(|e| create(&format!("label a stream: {}", std::io::Error::from(e))))
    }

    fn bind_console(&self) -> Result<Option<ConsoleSocket>, ContainerError> {
        let create = error(WaitingReason::CreateContainerError);
        let socket = self.plan.tty.then(|| ConsoleSocket::bind(&self.bundle.join("console")));
        socket.transpose().map_err(|e| create(&e))
    }

    /// Receives the master of the container's terminal, which then belongs to the container's user.
    fn receive(&self, terminal: &ConsoleSocket) -> Result<OwnedFd, ContainerError> {
        let create = error(WaitingReason::CreateContainerError);
        let master = terminal.receive(console::TIMEOUT).map_err(|e| create(&e))?;
        let label = self.labels.map(|labels| labels.file.as_str());
        runtime::console::set_owner(&master, self.sandbox.host_id(self.plan.uid), label)
            .map_err(|e| create(&e))?;
        Ok(master)
    }

    /// Has the runtime create the container. Returns the pid of its process.
    fn run(&self, stdio: &Stdio<'_>, terminal: Option<&ConsoleSocket>) -> Result<i32, ContainerError> {
        let create = error(WaitingReason::CreateContainerError);
        let Self { layout, pod, bundle, id, .. } = *self;
        let oci = runtime::open(pod.runtime.as_deref(), &runtime_state(layout)).map_err(|e| create(&e))?;
        let stdio = Stdio { stdin: stdio.stdin, stdout: stdio.stdout, stderr: stdio.stderr };
        oci.create(&Create { id, bundle, stdio, console_socket: terminal.map(ConsoleSocket::path) })
            .map_err(|e| create(&e.of_container()))
    }
}

fn find(pid: i32) -> Result<Process, ContainerError> {
    let run = error(WaitingReason::RunContainerError);
    Process::of(pid).ok_or_else(|| run(&"the container ended before it was started"))
}
