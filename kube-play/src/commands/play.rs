//! `kube play`: run manifests.

mod attach;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, ValueEnum, ValueHint};
use pod_core::plan::networks::{NetworkError, parse_network};
use pod_core::plan::ports::parse_publish;
use pod_core::plan::{PlanOptions, PortMapping, PullPolicy};
use pod_core::play::{self, PlayOptions, WaitFor};
use pod_core::runtime::cgroup::Warm;

use crate::cli::context::Context;
use crate::input::load::{self, Loaded};
use crate::input::time::parse_duration;
use crate::output::exit::Failure;
use crate::output::report::Lines;
use crate::session::interrupt;

/// The ports of one `--publish`.
type Published = Vec<PortMapping>;

// Arguments of `kube play`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Returns when every container has started. Playing a changed file again replaces only what has changed; the rest keeps \
running. If something cannot be made, the changes of this call are undone. A container that ran and failed is a result: \
its pod stays, with its logs.

Examples:
  # Run a manifest
  kube play web.yaml

  # Several files, a folder, stdin, a URL
  kube play db.yaml web.yaml
  kube play manifests/
  sed s/TAG/1.4/ web.yaml | kube play -
  kube play https://example.com/web.yaml

  # Wait until every pod is Ready, for two minutes at most
  kube play web.yaml --wait --timeout 2m

  # Run a batch job and exit with its exit code
  kube play job.yaml --wait=complete

  # Publish port 80 of the pod as port 8080 of this machine
  kube play web.yaml -p 8080:80

  # Print what would change
  kube play web.yaml --dry-run

  # Run in the foreground: print all logs; Ctrl-C takes everything down, twice kills at once
  kube play web.yaml --attach

  # After a reboot, start everything that should run
  kube play --all")]
pub struct Args {
    /// Manifests: files, folders (their *.yaml, *.yml, *.json), `-` for stdin, http(s) URLs
    #[arg(value_name = "FILE|DIR|-|URL", required_unless_present_any = ["all", "filename"])]
    #[arg(value_hint = ValueHint::AnyPath)]
    pub files: Vec<String>,
    /// The same as FILE, for users of kubectl apply
    #[arg(short, long, value_name = "FILE", hide = true, value_hint = ValueHint::AnyPath)]
    pub filename: Vec<String>,
    /// Start every recorded workload that should run but does not
    #[arg(long, conflicts_with_all = ["files", "filename", "replace", "start", "publish", "publish_all", "network"])]
    #[arg(conflicts_with_all = ["configmap", "strict", "pull", "runtime", "prune"])]
    pub all: bool,
    /// Print the logs of all containers until all pods have ended; Ctrl-C takes them down
    #[arg(long, conflicts_with_all = ["all", "start", "wait", "timeout", "dry_run"])]
    pub attach: bool,
    /// Recreate pods even when nothing has changed
    #[arg(long)]
    pub replace: bool,
    /// Wait until every pod is ready, or complete (then exit with the containers' exit code)
    #[arg(long, value_name = "FOR", value_enum, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "ready")]
    pub wait: Option<Wait>,
    /// Stop waiting after this time (30s, 2m, plain seconds); pods keep running
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// With --start=false, record everything but start nothing
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub start: bool,
    /// Publish a port of the pod, or a range: [[IP:]HOST:]CONTAINER[/tcp|udp|sctp]
    #[arg(short, long, value_name = "PORT", value_parser = parse_publish)]
    pub publish: Vec<Published>,
    /// Publish every containerPort under its own number
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Join a network: NAME[:ip=ADDRESS,mac=ADDRESS], host or none
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub network: Vec<String>,
    /// Also read the ConfigMaps in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub configmap: Vec<PathBuf>,
    /// Print what would change, without changing anything
    #[arg(long)]
    pub dry_run: bool,
    /// Treat warnings about the manifest as errors
    #[arg(long)]
    pub strict: bool,
    /// When to pull images, instead of imagePullPolicy
    #[arg(long, value_name = "WHEN", value_enum, ignore_case = true)]
    pub pull: Option<Pull>,
    /// Run containers with this OCI runtime: crun, runc, or a path [default: built in]
    #[arg(long, value_name = "RUNTIME", value_hint = ValueHint::CommandName)]
    pub runtime: Option<String>,
    /// Remove workloads from an earlier play of the same files that the files no longer contain
    #[arg(long)]
    pub prune: bool,
    /// Print errors and warnings only
    #[arg(short, long)]
    pub quiet: bool,
}

/// `--wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    // Every pod is Ready
    Ready,
    // Every pod has ended
    Complete,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    // Ask the registry every time
    Always,
    // Only images that are not stored here
    #[value(alias = "ifnotpresent", alias = "if-not-present")]
    Missing,
    // Never: an image that is not stored here is an error
    Never,
}

/// Runs `kube play`.
///
/// # Errors
/// A manifest is not valid (3), something cannot be created (1), or a wait took too long (5).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    // Runs in parallel with everything that comes before the creation of containers.
    let _warm = (!args.dry_run && args.start).then(Warm::begin);
    let options = options(args);
    let mut report = Lines::new(args.quiet, args.dry_run);
    if !args.dry_run && !rustix::process::geteuid().is_root() {
        return Err(Failure::failed("pods cannot be run without root yet")
            .hint("run it with sudo; `kube check` and `kube play --dry-run` need no root")
            .into());
    }
    if !args.attach {
        interrupt::report_on_interrupt();
    }
    let loaded = match args.all {
        true => None,
        false => {
            let names: Vec<String> = args.files.iter().chain(&args.filename).cloned().collect();
            let request =
                load::Request { names: &names, configmaps: &args.configmap, strict: args.strict, acts: true };
            Some(load::load(context, &request, &plan_options(args))?)
        }
    };
    if !args.dry_run {
        context.repair_and_print_problems()?;
    }
    let loaded = match loaded {
        Some(loaded) if args.attach => return attach::run(context, loaded, &options, report),
        loaded => loaded,
    };
    let code = match loaded {
        Some(Loaded { documents, plan }) => {
            play::play(&context.instance(), &documents, plan, &options, &mut report)
        }
        None => play::play_all(&context.instance(), &options, &mut report),
    };
    report.finish();
    Ok(crate::code(code?))
}

/// A wrong `--network` is wrong use (2). It is reported before any file is read.
fn network(text: &str) -> Result<String, NetworkError> {
    parse_network(text).map(|_| text.to_owned())
}

fn plan_options(args: &Args) -> PlanOptions {
    PlanOptions {
        publish: args.publish.concat(),
        publish_all: args.publish_all,
        networks: args.network.clone(),
        runtime: args.runtime.clone(),
        pull: args.pull.map(|pull| match pull {
            Pull::Always => PullPolicy::Always,
            Pull::Missing => PullPolicy::IfNotPresent,
            Pull::Never => PullPolicy::Never,
        }),
        ..PlanOptions::default()
    }
}

fn options(args: &Args) -> PlayOptions {
    PlayOptions {
        replace: args.replace,
        start: args.start,
        prune: args.prune,
        dry_run: args.dry_run,
        wait: match args.wait {
            None => WaitFor::Started,
            Some(Wait::Ready) => WaitFor::Ready,
            Some(Wait::Complete) => WaitFor::Complete,
        },
        timeout: args.timeout,
    }
}
