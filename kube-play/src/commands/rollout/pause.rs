//! `kube rollout pause`: pauses the rollout of Deployments.

use std::process::ExitCode;

use pod_core::workload::patch;

use super::{Names, change_each};
use crate::cli::context::Context;

// Arguments of `kube rollout pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  # Change a template twice and roll it out once
  kube rollout pause deployment/api")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
}

/// Runs `kube rollout pause`.
///
/// # Errors
/// A Deployment does not exist (4), or is paused already (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    change_each(context, &args.names, "paused", &|record| patch::pause(&record.spec))
}
