//! `kube scale`: sets how many pods Deployments have.

use std::process::ExitCode;

use pod_core::workload::patch;

use super::rollout::{Names, change, deployment};
use crate::cli::context::Context;
use crate::output;
use crate::output::exit;

// Arguments of `kube scale`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The number holds until the manifest is played again; then the manifest's number applies.

Examples:
  # Three pods
  kube scale deployment/api --replicas 3

  # No pods, but keep the Deployment
  kube scale deployment/api --replicas 0

  # Only if there are two now
  kube scale deployment/api --replicas 3 --current-replicas 2")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
    /// The number of pods
    #[arg(long, value_name = "N")]
    pub replicas: u32,
    /// Fail unless the present number is this
    #[arg(long, value_name = "N")]
    pub current_replicas: Option<u32>,
}

/// Runs `kube scale`.
///
/// # Errors
/// A Deployment does not exist (4), or cannot have this many pods (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    exit::each(&args.names.deployments, |name| {
        let resource = deployment(context, name)?;
        change(context, &resource, &|record| {
            patch::scale(&record.spec, args.replicas, args.current_replicas)
        })?;
        output::print(&format!("{resource} scaled\n"))
    })
}
