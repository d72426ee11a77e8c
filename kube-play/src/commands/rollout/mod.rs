//! `kube rollout`: watch, undo, restart, pause and resume rollouts of Deployments.
//!
//! Each subcommand has its own file. Subcommands that change a Deployment patch its recorded spec ([`change`]) and
//! return at once; the Deployment's supervisor does the rest.

mod history;
mod pause;
mod restart;
mod resume;
mod status;
mod undo;

use std::process::ExitCode;

use clap::Subcommand;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::query;
use pod_core::play::{self, Patched};
use pod_core::record::WorkloadRecord;
use pod_core::store::WorkloadId;
use pod_core::workload::{Spec, patch};

use crate::cli::context::Context;
use crate::output;
use crate::output::exit::Failure;
use crate::output::report::Lines;

// Arguments of `kube rollout`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A Deployment is rolled out when the template of its pods changes: by `kube play` of a changed
manifest, or by these commands. Pods are replaced as its spec.strategy says.

Examples:
  # Wait until a rollout is complete
  kube rollout status deployment/api

  # Return to the previous revision
  kube rollout undo deployment/api

  # Replace every pod, a few at a time
  kube rollout restart deployment/api")]
pub struct Args {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

// Subcommands of `kube rollout`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wait until the rollout of Deployments is complete
    Status(status::Args),
    /// List the revisions of Deployments
    History(history::Args),
    /// Return to an earlier revision
    Undo(undo::Args),
    /// Replace every pod, a few at a time
    Restart(restart::Args),
    /// Stop rolling out: a changed template is not applied until the rollout is resumed
    Pause(pause::Args),
    /// Continue a paused rollout
    Resume(resume::Args),
}

/// Runs `kube rollout`.
///
/// # Errors
/// A named Deployment does not exist (4), or cannot be changed in this way (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Status(args) => status::run(context, args),
        Command::History(args) => history::run(context, args),
        Command::Undo(args) => undo::run(context, args),
        Command::Restart(args) => restart::run(context, args),
        Command::Pause(args) => pause::run(context, args),
        Command::Resume(args) => resume::run(context, args),
    }
}

// The Deployments of a command: `deployment/NAME`, or a bare name, because no other kind has rollouts.
#[derive(Debug, clap::Args)]
pub struct Names {
    /// Deployments: deployment/NAME or NAME
    #[arg(value_name = "DEPLOYMENT", required = true)]
    pub deployments: Vec<String>,
}

/// Parses the name of a Deployment.
///
/// # Errors
/// `name` is not a valid name, or names another kind (2).
pub fn deployment(context: &Context, name: &str) -> anyhow::Result<ObjectRef> {
    let named = if name.contains('/') { name.to_owned() } else { format!("{}/{name}", Kind::Deployment) };
    let resource = ObjectRef::parse(&named, &context.namespace)?;
    match resource.kind {
        Kind::Deployment => Ok(resource),
        Kind::Pod => {
            Err(Failure::usage(format!("{resource} is a single pod, without replicas and revisions"))
                .hint("name a deployment; `kube play --replace FILE` replaces a pod")
                .into())
        }
        _ => Err(query::not_a_workload(resource).into()),
    }
}

/// Returns the record of a Deployment.
///
/// # Errors
/// The Deployment does not exist (4).
pub fn recorded(context: &Context, resource: &ObjectRef) -> anyhow::Result<WorkloadRecord> {
    let id = WorkloadId::new(resource.kind, &context.namespace, &resource.name);
    match pod_core::observe::workload(&context.layout, &id)? {
        Some(record) => Ok(record),
        None => Err(query::not_found(&context.layout, resource).into()),
    }
}

/// Changes the spec of a Deployment.
///
/// # Errors
/// The Deployment does not exist (4); it cannot be changed in this way, or its new pods cannot be run (1).
pub fn change(
    context: &Context,
    resource: &ObjectRef,
    patch: &dyn Fn(&WorkloadRecord) -> Result<Spec, patch::Error>,
) -> anyhow::Result<Patched> {
    let id = recorded(context, resource)?.id;
    let mut lines = Lines::new(false, false);
    let patched = play::apply_patch(&context.instance(), &id, patch, &mut lines)?;
    lines.finish();
    Ok(patched)
}

/// Changes each of several Deployments, and prints a line about each.
///
/// # Errors
/// The error of the last Deployment that could not be changed; errors of the others are printed.
pub fn change_each(
    context: &Context,
    names: &Names,
    done: &str,
    patch: &dyn Fn(&WorkloadRecord) -> Result<Spec, patch::Error>,
) -> anyhow::Result<ExitCode> {
    context.repair()?;
    crate::output::exit::each(&names.deployments, |name| {
        let resource = deployment(context, name)?;
        change(context, &resource, patch)?;
        output::print(&format!("{resource} {done}\n"))
    })
}
