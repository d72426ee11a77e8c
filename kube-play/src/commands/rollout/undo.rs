//! `kube rollout undo`: returns Deployments to an earlier revision.

use std::process::ExitCode;

use pod_core::workload::patch;

use super::{Names, change, deployment, recorded};
use crate::cli::context::Context;
use crate::output;
use crate::output::exit;

// Arguments of `kube rollout undo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Return to the previous revision
  kube rollout undo deployment/api

  # Return to a revision of `kube rollout history deployment/api`
  kube rollout undo deployment/api --to-revision 3")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
    /// The revision to return to; 0 is the one before the current one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub to_revision: u64,
}

/// Runs `kube rollout undo`.
///
/// # Errors
/// A Deployment does not exist (4), is paused, or has no such revision (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let to = Some(args.to_revision).filter(|number| *number != 0);
    exit::each(&args.names.deployments, |name| {
        let resource = deployment(context, name)?;
        let patched = change(context, &resource, &|record| patch::undo(&record.spec, &record.state, to))?;
        if patched.changed {
            return output::print(&format!("{resource} rolled back\n"));
        }
        let revision = recorded(context, &resource)?.state.revisions.last().map_or(0, |last| last.number);
        output::print(&format!(
            "{resource} skipped rollback (current template already matches revision {revision})\n"
        ))
    })
}
