//! `kube exec`: run a command in a container.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueHint;
use pod_core::observe::query;
use pod_core::supervisor::ipc::client::Client;
use pod_core::supervisor::ipc::protocol::{Reply, Request};

use crate::cli::context::Context;
use crate::input::container::{self, ContainerOptions};
use crate::output::exit::Failure;
use crate::session::relay::{self, Relay, Stream, Woken};
use crate::session::tty::{self, RawMode, Signals};

// Arguments of `kube exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with the exit code of the command.

Examples:
  # A shell
  kube exec -it web -- sh

  # Save the output of a command in a local file
  kube exec db -- pg_dump app >app.sql

  # Send a local file to a command in a named container
  kube exec -i web -c importer -- tar x -C /data <data.tar")]
pub struct Args {
    /// Pod: NAME, pod/NAME, or deployment/NAME or service/NAME for one of its pods
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<String>,
    /// The container, stdin and the terminal
    #[command(flatten)]
    pub options: ContainerOptions,
}

/// Runs `kube exec`.
///
/// # Errors
/// No such pod or container (4); the container does not run (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let pod = query::pod(&context.layout, &args.pod, &context.namespace)?;
    let options = &args.options;
    let container = container::choose(&pod, options.container.as_deref(), options.quiet)?;
    let mut session = Session {
        client: Client::connect_or_spawn(&context.layout, &context.exe, &pod.workload)?,
        request: Request::Exec {
            uid: pod.plan.uid.clone(),
            container,
            args: args.command.clone(),
            tty: false,
            size: None,
        },
    };
    Ok(crate::code(session.run(options)?))
}

/// A command that runs in a container, or a debug container.
pub struct Session {
    /// The connection to the pod's supervisor.
    pub client: Client,
    /// [`Request::Exec`] or [`Request::Debug`].
    pub request: Request,
}

impl Session {
    /// Runs the command, on a terminal if the options ask for one.
    ///
    /// # Errors
    /// As [`Session::on_pipes`].
    pub fn run(&mut self, options: &ContainerOptions) -> anyhow::Result<i32> {
        if options.wants_terminal() { self.on_terminal(options.stdin) } else { self.on_pipes(options.stdin) }
    }

    /// Runs the command on three pipes, without a terminal. Our own descriptors are never passed on, because a process
    /// in a container must not get the terminal or the files of the user who called us.
    ///
    /// # Errors
    /// The command cannot be started (126, 127), or its end is not known.
    fn on_pipes(&mut self, stdin: bool) -> anyhow::Result<i32> {
        let (input_theirs, input) = relay::pipe_to_command()?;
        let (output_theirs, output) = relay::pipe_from_command()?;
        let (error_theirs, error) = relay::pipe_from_command()?;
        let input = stdin.then_some(input);
        self.client
            .send(&self.request, &[input_theirs.as_fd(), output_theirs.as_fd(), error_theirs.as_fd()])?;
        drop((input_theirs, output_theirs, error_theirs));
        let outputs = vec![(output, Stream::Out), (error, Stream::Err)];
        self.carry(Relay::new(input, outputs), None)
    }

    /// Runs the command on a new terminal that behaves as ours does.
    ///
    /// # Errors
    /// As [`Session::on_pipes`].
    fn on_terminal(&mut self, stdin: bool) -> anyhow::Result<i32> {
        match &mut self.request {
            Request::Exec { tty, size, .. } => (*tty, *size) = (true, tty::size()),
            Request::Debug { debug, size, .. } => (debug.tty, *size) = (true, tty::size()),
            _ => {}
        }
        self.client.send(&self.request, &[])?;
        match self.client.next(None)? {
            Some(Reply::ExecStarted { .. }) => {}
            Some(Reply::Failed { message }) => return Err(refused(message)),
            Some(Reply::ExecExited { code }) => return Ok(code),
            _ => return Err(gone()),
        }
        let master = self.client.take_descriptor().context("the supervisor sent no terminal")?;
        tty::copy_size(master.as_fd());
        relay::do_not_block(&master)?;
        let input = if stdin { Some(master.try_clone()?) } else { None };
        let size = master.try_clone()?;
        // The order matters: the signals stay blocked from before the terminal is raw until it no longer is.
        let signals = Signals::take()?;
        let raw = if stdin { Some(RawMode::enter()?) } else { None };
        let code = self.carry(Relay::new(input, vec![(master, Stream::Out)]), Some((&signals, &size)));
        drop(raw);
        code
    }

    /// Moves bytes until the command has ended, and returns its exit code.
    fn carry(&mut self, mut relay: Relay, terminal: Option<(&Signals, &OwnedFd)>) -> anyhow::Result<i32> {
        loop {
            // Replies that have arrived already would not wake the poll below.
            while let Some(reply) = self.client.next(Some(Duration::from_millis(1)))? {
                match reply {
                    Reply::ExecExited { code } => {
                        relay.finish()?;
                        return Ok(code);
                    }
                    Reply::Failed { message } => return Err(refused(message)),
                    _ => {}
                }
            }
            if self.client.is_closed() {
                relay.finish()?;
                return Err(gone());
            }
            loop {
                let woken = match terminal {
                    Some((signals, _)) => relay.turn(&[self.client.fd(), signals.as_fd()], None)?,
                    None => relay.turn(&[self.client.fd()], None)?,
                };
                match (woken, terminal) {
                    (Woken::By(0), _) => break,
                    (Woken::By(_), Some((signals, size))) => {
                        while let Some(request) = signals.next() {
                            match request {
                                tty::Request::Resize => tty::copy_size(size.as_fd()),
                                tty::Request::End(signal) => return Ok(128 + signal),
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Returns the error of a command that cannot be started. Its exit code is that of a shell: 127 if the command is not
/// found, 126 if it may not be executed.
fn refused(message: String) -> anyhow::Error {
    let code = if message.ends_with("not found in $PATH") || message.ends_with("no such file or directory") {
        127
    } else if message.ends_with("permission denied") || message.ends_with("exec format error") {
        126
    } else {
        crate::output::exit::FAILED
    };
    Failure { code, ..Failure::failed(message) }.into()
}

fn gone() -> anyhow::Error {
    Failure::failed("the pod's supervisor has ended; the result of the command is not known").into()
}
