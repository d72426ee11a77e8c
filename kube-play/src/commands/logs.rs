//! `kube logs`: print a container's logs.

use std::io::{BufWriter, ErrorKind, IsTerminal as _, Stdout, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base::escape::harmless_but_colours;
use pod_core::lifecycle::RunState;
use pod_core::log::{self, Line, Options, Run, Source};
use pod_core::observe::query::{self, Query};
use pod_core::observe::{self, PodView, container};

use crate::cli::context::Context;
use crate::input::container::choose;
use crate::input::time::parse_duration;
use crate::output::Closed;
use crate::output::exit::Failure;

// Arguments of `kube logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # The log of a pod's only container
  kube logs web

  # Follow a log across restarts, starting with the last 20 lines
  kube logs web -f --tail 20

  # One container of several; all containers, with the container's name on each line
  kube logs web -c proxy
  kube logs web --all-containers --prefix

  # Every pod of a Deployment, several pods, all pods with a label: lines as they arrive, each with the pod's name
  kube logs -f deployment/api --all-pods
  kube logs -f web db
  kube logs -l app=web --since 1h

  # The log of the run before the last restart
  kube logs web -p

  # The last ten minutes, with times
  kube logs deployment/api --since 10m --timestamps")]
pub struct Args {
    /// Pods: NAME, pod/NAME, or deployment/NAME or service/NAME for one of its pods
    #[arg(value_name = "POD", required_unless_present = "selector")]
    pub pods: Vec<String>,
    /// Print the logs of every pod with these labels (app=web,tier!=db)
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Print the logs of every pod of a deployment
    #[arg(long)]
    pub all_pods: bool,
    /// The container [default: the only one, or the first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Print the logs of every container, init containers first
    #[arg(long, conflicts_with = "container")]
    pub all_containers: bool,
    /// Keep printing new lines until the pod has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Print the log of the run before the last restart
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
    /// Print only this many of the last lines; -1 prints all
    #[arg(long, value_name = "LINES", default_value_t = -1, allow_negative_numbers = true, hide_default_value = true)]
    pub tail: i64,
    /// Print only lines newer than this (30s, 5m, 2h)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Print only lines written at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    pub since_time: Option<jiff::Timestamp>,
    /// Print the time before every line
    #[arg(long)]
    pub timestamps: bool,
    /// Print pod and container before every line [default: with more than one pod]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub prefix: Option<bool>,
}

/// Runs `kube logs`.
///
/// # Errors
/// No such pod or container (4); the container has no earlier run, or has not run yet (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let pods = chosen(context, args)?;
    let mut sources = Vec::new();
    let mut containers = Vec::new();
    for pod in &pods {
        let names = match args.all_containers {
            true => container::names(pod),
            false => vec![choose(pod, args.container.as_deref(), pods.len() > 1)?],
        };
        for name in names {
            if pods.len() == 1 && !args.follow && !args.all_containers {
                has_run(pod, &name, args.previous)?;
            }
            sources.push(Source {
                name: format!("pod/{}/{name}", pod.plan.name()),
                dir: context.layout.container_logs(&pod.plan.uid, &name),
                run: which_run(pod, &name, args),
            });
            containers.push((pod, name));
        }
    }
    let options = Options { tail: tail(args.tail)?, since: since(args) };
    let mut printer = Printer::new(args, pods.len() > 1);
    let mut emit = |source: &Source, line: &Line<'_>| printer.print(&source.name, line);
    if args.follow {
        let folder =
            |pod: &PodView| [context.layout.pod_run(&pod.plan.uid), context.layout.workload(&pod.workload)];
        let folders: Vec<PathBuf> = pods.iter().flat_map(folder).collect();
        let watch: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let mut ended = || containers.iter().all(|(pod, name)| log_is_complete(context, pod, name));
        log::follow(&sources, &options, &watch, &mut ended, &mut emit)?;
    } else {
        log::read(&sources, &options, &mut emit)?;
    }
    printer.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the pods that the arguments name, without duplicates.
fn chosen(context: &Context, args: &Args) -> anyhow::Result<Vec<PodView>> {
    if args.all_pods || args.selector.is_some() {
        let (names, selector) = (&args.pods, args.selector.as_deref());
        let query = Query { names, selector, ..Query::in_namespace(&context.namespace) };
        let found = query.pods(&context.layout)?;
        return match found.is_empty() {
            true => Err(Failure::not_found("no such pods").hint("`kube ps` lists the pods").into()),
            false => Ok(found),
        };
    }
    let mut found: Vec<PodView> = Vec::new();
    for name in &args.pods {
        let pod = query::pod(&context.layout, name, &context.namespace)?;
        if !found.iter().any(|other| other.plan.uid == pod.plan.uid) {
            found.push(pod);
        }
    }
    Ok(found)
}

/// Returns the run whose log kubectl would show. A follower starts with the latest run and continues with later ones.
fn which_run(pod: &PodView, name: &str, args: &Args) -> Run {
    let container = pod.state.container(name).filter(|_| !args.follow);
    let none = if args.previous { Run::Previous } else { Run::Latest };
    container.and_then(|container| container.log_attempt(args.previous)).map_or(none, Run::Attempt)
}

fn tail(lines: i64) -> anyhow::Result<Option<u64>> {
    match u64::try_from(lines) {
        Ok(lines) => Ok(Some(lines)),
        Err(_) if lines == -1 => Ok(None),
        Err(_) => Err(Failure::usage(format!("--tail {lines}: a number of lines, or -1 for all")).into()),
    }
}

fn since(args: &Args) -> Option<jiff::Timestamp> {
    let age = args.since.and_then(|age| jiff::SignedDuration::try_from(age).ok());
    // A time before the earliest timestamp means the whole log.
    args.since_time.or_else(|| jiff::Timestamp::now().checked_sub(age?).ok())
}

/// Returns an error, in kubectl's words, if there is no run to show the log of.
fn has_run(pod: &PodView, name: &str, previous: bool) -> anyhow::Result<()> {
    let Some(container) = pod.state.containers.iter().find(|container| container.name == name) else {
        return Ok(());
    };
    let pod_name = pod.plan.name();
    if previous && container.log_attempt(true).is_none() {
        return Err(Failure::failed(format!("container {name} of pod/{pod_name} has no previous run")).into());
    }
    if container.runs == 0 {
        let reason = match &container.state {
            RunState::Waiting(waiting) | RunState::Starting { waiting: Some(waiting) } => {
                match &waiting.message {
                    Some(message) => format!("{}: {message}", waiting.reason),
                    None => waiting.reason.to_string(),
                }
            }
            _ => return Ok(()),
        };
        return Err(Failure::failed(format!(
            "container {name} of pod/{pod_name} is waiting to start: {reason}"
        ))
        .hint(format!("`kube events --for pod/{pod_name}` shows what happened"))
        .into());
    }
    Ok(())
}

/// Returns whether the container will write nothing more.
fn log_is_complete(context: &Context, pod: &PodView, name: &str) -> bool {
    // If the state cannot be read now, it is read again at the next change.
    let Ok(pods) = observe::pods_of(&context.layout, &pod.workload) else { return false };
    let Some(now) = pods.iter().find(|other| other.plan.uid == pod.plan.uid) else { return true };
    now.state.is_terminal() || now.will_not_run_again(name)
}

/// Writes lines of logs to stdout.
struct Printer {
    out: BufWriter<Stdout>,
    /// True if stdout is a terminal: characters that could drive it are made visible.
    terminal: bool,
    follow: bool,
    timestamps: bool,
    prefix: bool,
    /// True if the last text had no line end: the next line then begins with one.
    open: bool,
    /// The error that stopped printing.
    error: Option<std::io::Error>,
}

impl Printer {
    fn new(args: &Args, several_pods: bool) -> Self {
        let stdout = std::io::stdout();
        Self {
            terminal: stdout.is_terminal(),
            out: BufWriter::new(stdout),
            follow: args.follow,
            timestamps: args.timestamps,
            prefix: args.prefix.unwrap_or(several_pods),
            open: false,
            error: None,
        }
    }

    fn print(&mut self, name: &str, line: &Line<'_>) -> ControlFlow<()> {
        match self.write(name, line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn write(&mut self, name: &str, line: &Line<'_>) -> std::io::Result<()> {
        if line.begins {
            if self.open {
                self.out.write_all(b"\n")?;
            }
            if self.prefix {
                write!(self.out, "[{name}] ")?;
            }
            if self.timestamps {
                write!(self.out, "{} ", line.time)?;
            }
        }
        if self.terminal {
            self.out.write_all(harmless_but_colours(line.content, line.ends).as_bytes())?;
        } else {
            self.out.write_all(line.content)?;
        }
        if line.ends {
            self.out.write_all(b"\n")?;
        }
        self.open = !line.ends;
        // A follower sees each line as it arrives.
        if self.follow { self.out.flush() } else { Ok(()) }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        match self.error.take().map_or_else(|| self.out.flush(), Err) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                // The rest of the buffer is discarded, because stdout is closed.
                drop(self.out.into_parts());
                Err(Closed.into())
            }
            Err(error) => Err(error).context("write to stdout"),
        }
    }
}
