//! `kube debug`: run a container of another image in the namespaces of a pod.

use std::process::ExitCode;

use clap::ValueHint;
use pod_core::controller::random_identity;
use pod_core::image::{ImageName, ImageStore};
use pod_core::observe::{container, query};
use pod_core::sandbox::Debug;
use pod_core::supervisor::ipc::client::Client;
use pod_core::supervisor::ipc::protocol::Request;

use crate::cli::context::Context;
use crate::commands::exec::Session;
use crate::input::container::ContainerOptions;
use crate::output::exit::Failure;
use crate::output::terminal;

// Arguments of `kube debug`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For images without a shell. The container shares the pod's network, hostname and IPC; with --target also the processes of \
a container, whose files are then below /proc/1/root. It has no volumes and no limits, is not started again, and goes with \
the pod. Exits with its exit code.

Examples:
  # A shell in the network of a pod
  kube debug -it web --image busybox -- sh

  # Look at the processes and files of the container main
  kube debug -it web --image busybox --target main -- sh

  # One command
  kube debug web --image alpine/curl -- curl -s localhost:8080/healthz")]
#[command(mut_arg("container", |arg| arg.help("The name of the new container [default: debugger-XXXXX]")))]
pub struct Args {
    /// Pod: NAME, pod/NAME, or deployment/NAME or service/NAME for one of its pods
    #[arg(value_name = "POD")]
    pub pod: String,
    /// Command and its arguments [default: those of the image]
    #[arg(value_name = "CMD", last = true, value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<String>,
    /// The image of the container
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// Share the processes of this container of the pod
    #[arg(long, value_name = "CONTAINER")]
    pub target: Option<String>,
    /// The container, stdin and the terminal
    #[command(flatten)]
    pub options: ContainerOptions,
}

/// Runs `kube debug`.
///
/// # Errors
/// No such pod or container (4), the image's name or the container's is not valid (2), or the container cannot be started
/// (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let image = ImageName::parse(&args.image)
        .map_err(|error| Failure::usage(format!("--image {:?}: {error}", args.image)))?;
    let pod = query::pod(&context.layout, &args.pod, &context.namespace)?;
    if let Some(target) = &args.target {
        container::choose(&pod, Some(target))?;
    }
    let name = name(args)?;
    if !args.options.quiet {
        if args.options.container.is_none() {
            terminal::note(&format!("container {name} (choose its name with -c)"));
        }
        if ImageStore::open(&context.layout.images())?.find(&image)?.is_none() {
            terminal::note(&format!("pulling {}", args.image));
        }
    }
    let debug = Debug {
        name,
        image: args.image.clone(),
        command: args.command.clone(),
        target: args.target.clone(),
        tty: false,
        stdin: args.options.stdin,
    };
    let mut session = Session {
        client: Client::connect_or_spawn(&context.layout, &context.exe, &pod.workload)?,
        request: Request::Debug { uid: pod.plan.uid.clone(), debug, size: None },
    };
    Ok(crate::code(session.run(&args.options)?))
}

/// Returns the name of the new container, which has to be a DNS label as those of other containers.
fn name(args: &Args) -> Result<String, Failure> {
    let Some(name) = &args.options.container else {
        return Ok(format!("debugger-{}", random_identity().suffix));
    };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = !name.is_empty()
        && name.len() <= 63
        && name.chars().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label {
        return Ok(name.clone());
    }
    Err(Failure::usage(format!("{name:?} is not the name of a container"))
        .hint("lower case letters, digits and '-', at most 63 of them"))
}
