//! `kube attach`: see the output of a running container as it comes, and write to its stdin.

use std::io::{IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use pod_core::log;
use pod_core::observe::{PodView, query};
use pod_core::supervisor::ipc::client::Client;
use pod_core::supervisor::ipc::protocol::{Reply, Request};

use crate::cli::context::Context;
use crate::input::container::{self, ContainerOptions};
use crate::output::exit::Failure;
use crate::output::{Closed, terminal};
use crate::session::relay::{self, Relay, Woken};
use crate::session::tty::{self, RawMode, Signals};

// Arguments of `kube attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Shows what the container writes from now on; `kube logs` shows what it wrote before. Exits with the exit code of the \
container when it ends. Ctrl-C, or Ctrl-P Ctrl-Q on a terminal of the container, detaches and leaves it running.

Examples:
  # Watch the output
  kube attach web

  # Use a container with `stdin: true` and `tty: true`
  kube attach shell -it

  # Send a file to a container with `stdin: true` and `stdinOnce: true`
  kube attach importer -i <data.sql")]
#[command(mut_arg("stdin", |arg| arg.help("Pass stdin to the container, which needs `stdin: true`")))]
#[command(mut_arg("tty", |arg| arg.help("Use the terminal of the container, which needs `tty: true`")))]
pub struct Args {
    /// Pod: NAME, pod/NAME, or deployment/NAME or service/NAME for one of its pods
    #[arg(value_name = "POD")]
    pub pod: String,
    /// The container, stdin and the terminal
    #[command(flatten)]
    pub options: ContainerOptions,
}

/// Runs `kube attach`.
///
/// # Errors
/// No such pod or container (4); the container does not run (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let pod = query::pod(&context.layout, &args.pod, &context.namespace)?;
    let options = &args.options;
    let name = container::choose(&pod, options.container.as_deref(), options.quiet)?;
    let of = spec(&pod, &name);
    let has = |field: Option<bool>| field == Some(true);
    let stdin = options.stdin && of.is_some_and(|of| has(of.stdin));
    let tty = of.is_some_and(|of| has(of.tty));
    if !options.quiet {
        if options.stdin && !stdin {
            terminal::warning(&format!("container {name} has no `stdin: true`: -i is ignored"));
        }
        if options.tty && !tty {
            terminal::warning(&format!("container {name} has no `tty: true`: -t is ignored"));
        }
    }
    // A container with a terminal gets each key as it is typed.
    let raw = stdin && tty && std::io::stdin().is_terminal();
    if raw && !options.quiet {
        terminal::note("Ctrl-P Ctrl-Q detaches. If you don't see a command prompt, try pressing enter.");
    }
    let mut session = Session { context, pod: &pod, container: name, stdin, tty };
    // The order matters: the signals stay blocked from before the terminal is raw until it no longer is.
    let signals = Signals::take()?;
    let mode = if raw { Some(RawMode::enter()?) } else { None };
    let code = session.follow(&signals, raw);
    drop(mode);
    Ok(crate::code(code?))
}

fn spec<'a>(pod: &'a PodView, name: &str) -> Option<&'a Container> {
    let spec = pod.plan.pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}

/// A session with a container.
struct Session<'a> {
    context: &'a Context,
    pod: &'a PodView,
    container: String,
    stdin: bool,
    tty: bool,
}

/// How often in a row a supervisor may end while we connect to it, and how long to wait before the next attempt.
const MOST_LOST: u32 = 50;
const RECONNECT: Duration = Duration::from_millis(20);

/// The answer to a request to be attached.
enum Attached {
    /// The output comes from now on.
    To {
        /// The container's stdin, if it was asked for and is open.
        input: Option<OwnedFd>,
    },
    /// It is not possible, for this reason.
    Refused(String),
    /// The supervisor has ended.
    Lost,
}

/// How a connection to a supervisor ended.
enum End {
    /// With this exit code of the session.
    Code(i32),
    /// The supervisor has ended or was replaced; the container may still run.
    Lost,
}

impl Session<'_> {
    /// Follows the container until it ends or the user detaches. Returns the exit code.
    fn follow(&mut self, signals: &Signals, raw: bool) -> anyhow::Result<i32> {
        let mut is_first = true;
        let mut lost = 0;
        loop {
            let mut client = match self.connect() {
                Err(_) if !is_first => return Ok(0),
                connected => connected?,
            };
            let input = match self.attach(&mut client) {
                Ok(Attached::To { input }) => input,
                // It has ended while there was no supervisor.
                Ok(Attached::Refused(_)) if !is_first => return Ok(0),
                Ok(Attached::Refused(message)) => return Err(Failure::failed(message).into()),
                // The supervisor was being killed or replaced while we connected.
                Ok(Attached::Lost) | Err(_) if lost < MOST_LOST => {
                    lost += 1;
                    std::thread::sleep(RECONNECT);
                    continue;
                }
                Ok(Attached::Lost) => {
                    return Err(Failure::failed("the supervisor of the pod does not stay").into());
                }
                Err(error) => return Err(error),
            };
            lost = 0;
            if is_first && self.stdin && input.is_none() {
                terminal::warning("the stdin of the container is closed: an earlier session has used it");
            }
            is_first = false;
            if let End::Code(code) = self.carry(&mut client, input, signals, raw)? {
                return Ok(code);
            }
        }
    }

    fn connect(&self) -> anyhow::Result<Client> {
        let Context { layout, exe, .. } = self.context;
        Ok(Client::connect_or_spawn(layout, exe, &self.pod.workload)?)
    }

    /// Asks for the output of the container.
    fn attach(&self, client: &mut Client) -> anyhow::Result<Attached> {
        let (uid, container) = (self.pod.plan.uid.clone(), self.container.clone());
        client.send(&Request::Attach { uid, container, stdin: self.stdin }, &[])?;
        loop {
            match client.next(None)? {
                Some(Reply::Attached { stdin }) => {
                    self.resize(client);
                    return Ok(Attached::To { input: if stdin { client.take_descriptor() } else { None } });
                }
                Some(Reply::Failed { message }) => return Ok(Attached::Refused(message)),
                Some(_) => {}
                None => return Ok(Attached::Lost),
            }
        }
    }

    /// Gives the container's terminal the size of ours.
    fn resize(&self, client: &mut Client) {
        if let Some(size) = tty::size().filter(|_| self.tty) {
            let (uid, container) = (self.pod.plan.uid.clone(), self.container.clone());
            // If the supervisor has ended, its successor is told when we are attached again.
            let _ = client.send(&Request::Resize { uid, container, size }, &[]);
        }
    }

    /// Moves bytes until the container or the session ends.
    fn carry(
        &self,
        client: &mut Client,
        input: Option<OwnedFd>,
        signals: &Signals,
        raw: bool,
    ) -> anyhow::Result<End> {
        if let Some(input) = &input {
            relay::do_not_block(input)?;
        }
        let mut relay = Relay::new(input, Vec::new());
        relay.detaches = raw;
        let mut writes = relay.input.is_some();
        loop {
            while let Some(reply) = client.next(Some(Duration::from_millis(1)))? {
                match reply {
                    Reply::Output { stream, bytes } => print(stream, &bytes)?,
                    Reply::ContainerEnded { code } => return Ok(End::Code(code.unwrap_or(137))),
                    Reply::Failed { message } => return Err(Failure::failed(message).into()),
                    _ => {}
                }
            }
            if client.is_closed() {
                return Ok(End::Lost);
            }
            loop {
                let woken = relay.turn(&[client.fd(), signals.as_fd()], None)?;
                if relay.has_detached {
                    return Ok(End::Code(0));
                }
                match woken {
                    Woken::By(0) => break,
                    Woken::By(_) => {
                        while let Some(request) = signals.next() {
                            match request {
                                tty::Request::Resize => self.resize(client),
                                tty::Request::End(signal) => return Ok(End::Code(128 + signal)),
                            }
                        }
                    }
                    _ => {}
                }
                // The session goes on for the output. With `stdinOnce` the container has to see the end of its stdin.
                if writes && relay.input.is_none() {
                    writes = false;
                    // If the supervisor has ended, its successor is told so.
                    let _ = client.send(&Request::CloseStdin, &[]);
                }
            }
        }
    }
}

/// Prints output of the container.
fn print(stream: log::Stream, text: &str) -> anyhow::Result<()> {
    let bytes: Vec<u8> = text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let written = match stream {
        log::Stream::Stdout => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&bytes).and_then(|()| stdout.flush())
        }
        log::Stream::Stderr => std::io::stderr().lock().write_all(&bytes),
    };
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(error.into()),
    }
}
