//! `kube exec`: run a command in a container.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueHint;
use pod_core::supervisor::ipc::client::Client;
use pod_core::supervisor::ipc::protocol::{Reply, Request};

use crate::cli::context::Context;
use crate::input::{container, select};
use crate::output::exit::Failure;
use crate::output::terminal;
use crate::session::relay::{self, Relay, Stream, Woken};
use crate::session::tty::{self, RawMode, Signals};

// Arguments of `kube exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits as the command did.

Examples:
  # A shell
  kube exec -it web -- sh

  # A command, its output into a file here
  kube exec db -- pg_dump app >app.sql

  # Feed it from here, in one container of several
  kube exec -i web -c importer -- tar x -C /data <data.tar")]
pub struct Args {
    /// Pod: NAME, pod/NAME, or deployment/NAME for its first pod
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<String>,
    /// The container [default: the only one, or the first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass stdin to the command
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Print only what the command prints
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs `kube exec`.
///
/// # Errors
/// No such pod or container (4); it does not run (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let pod = select::pod_of(context, &args.pod)?;
    let container = container::choose(&pod, args.container.as_deref(), args.quiet)?;
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
    let code =
        if wants_terminal(args) { session.on_terminal(args.stdin)? } else { session.on_pipes(args.stdin)? };
    Ok(crate::code(code))
}

/// `-t`, if there is a terminal to speak of.
fn wants_terminal(args: &Args) -> bool {
    if args.tty && args.stdin && !std::io::stdin().is_terminal() {
        if !args.quiet {
            terminal::warning("stdin is no terminal: going on without -t");
        }
        return false;
    }
    args.tty
}

/// One command in a container.
struct Session {
    client: Client,
    request: Request,
}

impl Session {
    /// Without a terminal: three pipes. Never our own descriptors: what runs in a container must not get hold
    /// of the terminal or the files of who called us.
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

    /// With a terminal of its own, which is ours as far as it can tell.
    fn on_terminal(&mut self, stdin: bool) -> anyhow::Result<i32> {
        if let Request::Exec { tty, size, .. } = &mut self.request {
            *tty = true;
            *size = tty::size();
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
        // In this order: the signals are blocked before the terminal is raw, and until it is no more.
        let signals = Signals::take()?;
        let raw = if stdin { Some(RawMode::enter()?) } else { None };
        let code = self.carry(Relay::new(input, vec![(master, Stream::Out)]), Some((&signals, &size)));
        drop(raw);
        code
    }

    /// Carries bytes until the command has ended; its exit code.
    fn carry(&mut self, mut relay: Relay, terminal: Option<(&Signals, &OwnedFd)>) -> anyhow::Result<i32> {
        loop {
            // What has been received is not waited for again.
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

/// The command does not run: 127 where there is none of that name, 126 where it may not run, as shells have it.
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
    Failure::failed("the pod's supervisor is gone; what became of the command is not known").into()
}
