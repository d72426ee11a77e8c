//! `kube rollout restart`: replaces every pod of Deployments, a few at a time.

use std::process::ExitCode;

use jiff::Timestamp;
use pod_core::workload::patch;

use super::{Names, change_each};
use crate::cli::context::Context;

// Arguments of `kube rollout restart`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Adds an annotation with the time to the template, so that every pod is replaced as in any other rollout.

Example:
  # Make pods read a changed ConfigMap
  kube rollout restart deployment/api
  kube rollout status deployment/api")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
}

/// Runs `kube rollout restart`.
///
/// # Errors
/// A Deployment does not exist (4), or is paused (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    change_each(context, &args.names, "restarted", &|record| patch::restart(&record.spec, Timestamp::now()))
}
