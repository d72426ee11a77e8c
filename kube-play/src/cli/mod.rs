//! The command line: global options, commands, and the one place where errors are printed.

pub mod arguments;
pub mod context;
mod foreign;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};

use crate::cli::context::Context;
use crate::commands;
use crate::output::exit;

/// Run Kubernetes YAML on this machine, with no cluster and no daemon
#[derive(Debug, Parser)]
#[command(
    name = "kube",
    version,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Examples:
  # Run a manifest, wait until it is Ready, look at it, stop it
  kube play web.yaml --wait
  kube ps
  kube logs web -f
  kube down web.yaml

Exit codes:
  0 done, 1 failed, 2 wrong use, 3 invalid manifest, 4 not found, 5 timed out;
  `exec`, `attach`, `debug`, `play --attach` and `play --wait=complete` pass the container's own
  exit code on."
)]
pub struct Cli {
    /// The options that all commands share.
    #[command(flatten)]
    pub global: Global,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command accepts.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Directory of images, volumes and workloads [default: /var/lib/kube-play]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(env = "KUBE_PLAY_ROOT", hide_env_values = true)]
    pub root: Option<PathBuf>,
    /// Directory of sockets and status, until a reboot [default: /run/kube-play]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(env = "KUBE_PLAY_RUNROOT", hide_env_values = true)]
    pub runroot: Option<PathBuf>,
    /// Namespace of named objects, and of manifests that give none [default: default]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Print log messages of this level and more severe ones
    #[arg(long, global = true, value_name = "LEVEL", value_enum, default_value = "warn")]
    pub log_level: LogLevel,
}

/// `--log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    // No messages.
    Off,
    // Failures.
    Error,
    // Suspicious states.
    Warn,
    // Actions.
    Info,
    // Details of actions.
    Debug,
    // Everything.
    Trace,
}

/// All commands, in the order of `kube --help`.
//
// `defer`: only the arguments of the command that runs are defined, because defining all of them would take every start
// of the program 0.2 ms. A doc comment of a deferred command's `Args` would replace the text below in its help; those
// structs have ordinary comments for that reason.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Run manifests
    Play(commands::play::Args),
    /// Stop and remove what was played
    #[command(visible_alias = "delete")]
    Down(commands::down::Args),
    /// List pods
    Ps(commands::ps::Args),
    /// List objects of any kind
    Get(commands::get::Args),
    /// Print a container's logs
    Logs(commands::logs::Args),
    /// Run a command in a container
    Exec(commands::exec::Args),
    /// See what a container writes, and write to its stdin
    Attach(commands::attach::Args),
    /// Run a container of another image in the namespaces of a pod
    Debug(commands::debug::Args),
    /// Copy files into a container and out of it
    Cp(commands::cp::Args),
    /// Forward ports of this machine to a pod
    PortForward(commands::port_forward::Args),
    /// Show an object in full, as Kubernetes would
    Inspect(commands::inspect::Args),
    /// Show an object in words, with its events
    Describe(commands::describe::Args),
    /// Show the processors and the memory that pods use
    Top(commands::top::Args),
    /// List what happened to pods
    Events(commands::events::Args),
    /// Wait until pods are ready, complete or deleted
    Wait(commands::wait::Args),
    /// Watch, undo, restart, pause and resume rollouts of Deployments
    Rollout(commands::rollout::Args),
    /// Set how many pods a Deployment has
    Scale(commands::scale::Args),
    /// Write running workloads as manifests
    Generate(commands::generate::Args),
    /// Validate manifests without running them
    Check(commands::check::Args),
    /// Manage images
    Image(commands::image::Args),
    /// Manage volumes (persistent volume claims)
    Volume(commands::volume::Args),
    /// Manage networks
    Network(commands::network::Args),
    /// Check this host: what works, what is missing, how to fix it
    Info(commands::info::Args),
    /// Print versions
    Version(commands::version::Args),
    /// Print a completion script for a shell
    Completion(commands::completion::Args),
    /// Write the manual pages
    Man(commands::man::Args),
}

/// Parses the command line, runs the command and prints its error.
// Inlined into the main function of the process, its frame would be part of the stack of every supervisor.
#[inline(never)]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match arguments::parse(arguments.clone()) {
        Ok(cli) => cli,
        Err(mut error) => {
            foreign::explain(&mut error, &arguments);
            // The text that clap prints is all there was to do, so a closed stdout needs no message.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE });
        }
    };
    start_log(cli.global.log_level);
    match run(&cli) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let context = Context::new(&cli.global)?;
    // Commands that use no directory tree do not need a usable one.
    let needs_trees = !matches!(
        cli.command,
        Command::Check(_) | Command::Version(_) | Command::Completion(_) | Command::Man(_)
    );
    if needs_trees {
        pod_core::store::format::refuse_newer(&context.layout)?;
        context.layout.close_to_others()?;
    }
    match &cli.command {
        Command::Play(args) => commands::play::run(&context, args),
        Command::Down(args) => commands::down::run(&context, args),
        Command::Ps(args) => commands::ps::run(&context, args),
        Command::Get(args) => commands::get::run(&context, args),
        Command::Logs(args) => commands::logs::run(&context, args),
        Command::Exec(args) => commands::exec::run(&context, args),
        Command::Attach(args) => commands::attach::run(&context, args),
        Command::Debug(args) => commands::debug::run(&context, args),
        Command::Cp(args) => commands::cp::run(&context, args),
        Command::PortForward(args) => commands::port_forward::run(&context, args),
        Command::Inspect(args) => commands::inspect::run(&context, args),
        Command::Describe(args) => commands::describe::run(&context, args),
        Command::Top(args) => commands::top::run(&context, args),
        Command::Events(args) => commands::events::run(&context, args),
        Command::Wait(args) => commands::wait::run(&context, args),
        Command::Rollout(args) => commands::rollout::run(&context, args),
        Command::Scale(args) => commands::scale::run(&context, args),
        Command::Generate(args) => commands::generate::run(&context, args),
        Command::Check(args) => commands::check::run(&context, args),
        Command::Image(args) => commands::image::run(&context, args),
        Command::Volume(args) => commands::volume::run(&context, args),
        Command::Network(args) => commands::network::run(&context, args),
        Command::Info(args) => commands::info::run(&context, args),
        Command::Version(args) => commands::version::run(&context, args),
        Command::Completion(args) => commands::completion::run(Cli::command(), args),
        Command::Man(args) => commands::man::run(Cli::command(), args),
    }
}

/// Sends log messages to stderr.
pub fn start_log(level: LogLevel) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match level {
        LogLevel::Off => return,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    // These libraries warn about features that the host lacks. `kube` reports those itself, once.
    let quiet = level.min(LevelFilter::ERROR);
    let targets = tracing_subscriber::filter::Targets::new()
        .with_default(level)
        .with_targets([("libcgroups", quiet), ("libcontainer", quiet)]);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(targets).init();
}

#[cfg(test)]
mod tests;
