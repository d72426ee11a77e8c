//! `kube rollout resume`: resumes the rollout of Deployments.

use std::process::ExitCode;

use pod_core::workload::patch;

use super::{Names, change_each};
use crate::cli::context::Context;

// Arguments of `kube rollout resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  # Continue a paused rollout
  kube rollout resume deployment/api")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
}

/// Runs `kube rollout resume`.
///
/// # Errors
/// A Deployment does not exist (4), or is not paused (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    change_each(context, &args.names, "resumed", &|record| patch::resume(&record.spec))
}
