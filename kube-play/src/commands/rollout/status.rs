//! `kube rollout status`: waits until the rollout of Deployments is complete.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pod_core::controller::Status;
use pod_core::image::Progress;
use pod_core::observe::PodView;
use pod_core::observe::rollout::{AwaitedWorkload, Goal, status};
use pod_core::play::{Change, Report, rollout_status};
use pod_core::store::WorkloadId;

use super::{Names, deployment, recorded};
use crate::cli::context::Context;
use crate::input::time::parse_duration;
use crate::output;
use crate::output::exit::{self, Failure};
use crate::output::terminal;

// Arguments of `kube rollout status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 the rollout is complete (or, with --watch=false, under way); 1 it makes no progress
within spec.progressDeadlineSeconds, a pod cannot start, or it is paused; 4 no such Deployment;
5 the timeout is over.

Examples:
  # Wait until a rollout is complete
  kube rollout status deployment/api --timeout 2m

  # Print the present progress
  kube rollout status deployment/api --watch=false")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
    /// Wait until the rollout is complete
    #[arg(short, long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub watch: bool,
    /// Stop waiting after this time (30s, 2m, plain seconds); 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub timeout: Duration,
    /// Fail if this is not the current revision
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub revision: u64,
}

/// Runs `kube rollout status`.
///
/// # Errors
/// A Deployment does not exist (4); its rollout cannot be completed (1); the timeout is over (5).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let deadline = Instant::now().checked_add(args.timeout).filter(|_| !args.timeout.is_zero());
    exit::each(&args.names.deployments, |name| {
        let resource = deployment(context, name)?;
        let record = recorded(context, &resource)?;
        let current = record.state.revisions.last().map_or(0, |revision| revision.number);
        if args.revision != 0 && args.revision != current {
            let wanted = args.revision;
            let message = format!("{resource}: revision {wanted} is not the current one, which is {current}");
            return Err(Failure::failed(message).into());
        }
        let mut lines = Lines::default();
        let now = status(&context.layout, &record);
        if args.watch && !now.paused {
            let generation = record.spec.generation;
            let awaited = AwaitedWorkload { id: record.id.clone(), generation, goal: Goal::RolledOut };
            rollout_status(&context.instance(), &awaited, deadline, &mut lines)?;
        }
        let record = recorded(context, &resource)?;
        let now = status(&context.layout, &record);
        lines.print(&record.id, &now);
        if now.complete {
            return Ok(());
        }
        if now.has_stalled() {
            return Err(Failure::failed(format!("{resource} exceeded its progress deadline"))
                .hint(format!("`kube events --for {resource}` shows what happened"))
                .into());
        }
        if now.paused && args.watch {
            return Err(Failure::failed(format!("{resource} is paused"))
                .hint(format!("`kube rollout resume {resource}` continues its rollout"))
                .into());
        }
        Ok(())
    })
}

/// Describes the progress of a rollout in kubectl's words.
/// Source: `DeploymentStatusViewer` of k8s.io/kubectl/pkg/polymorphichelpers.
fn line(name: &str, status: &Status) -> String {
    let waiting = format!("Waiting for deployment {name:?} rollout to finish:");
    let Status { wanted, replicas, updated, available, .. } = status;
    if updated < wanted {
        format!("{waiting} {updated} out of {wanted} new replicas have been updated...")
    } else if replicas > updated {
        format!("{waiting} {} old replicas are pending termination...", replicas - updated)
    } else if !status.complete {
        format!("{waiting} {available} of {updated} updated replicas are available...")
    } else {
        format!("deployment {name:?} successfully rolled out")
    }
}

/// Prints the progress of rollouts whenever it changes.
#[derive(Default)]
struct Lines {
    printed: BTreeMap<WorkloadId, String>,
}

impl Lines {
    fn print(&mut self, workload: &WorkloadId, status: &Status) {
        let line = line(&workload.name, status);
        if self.printed.get(workload) != Some(&line) {
            // An error is ignored: the wait continues for its exit code, also if the reader has closed stdout.
            let _ = output::print(&format!("{line}\n"));
            self.printed.insert(workload.clone(), line);
        }
    }
}

impl Report for Lines {
    fn changed(&mut self, _object: &str, _change: Change) {}
    fn unchanged(&mut self, _object: &str, _pods: &[PodView]) {}
    fn warning(&mut self, message: &str) {
        terminal::warning(message);
    }
    fn waiting(&mut self, _pods: &[PodView]) {}
    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        self.print(workload, status);
    }
    fn hint(&mut self, message: &str) {
        terminal::hint(message);
    }
    fn last_lines(&mut self, _object: &str, _container: &str, _lines: &[String]) {}
    fn pull(&mut self, image: &str) -> Arc<dyn Progress> {
        crate::output::progress::of_pull(image, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_described_in_the_words_of_kubectl() {
        let of = |replicas, updated, available, complete| {
            line("api", &Status { wanted: 3, replicas, updated, available, complete, ..Status::default() })
        };
        insta::assert_snapshot!(
            [of(3, 0, 0, false), of(4, 1, 0, false), of(4, 3, 2, false), of(3, 3, 2, false), of(3, 3, 3, true)]
                .join("\n"),
            @r#"
        Waiting for deployment "api" rollout to finish: 0 out of 3 new replicas have been updated...
        Waiting for deployment "api" rollout to finish: 1 out of 3 new replicas have been updated...
        Waiting for deployment "api" rollout to finish: 1 old replicas are pending termination...
        Waiting for deployment "api" rollout to finish: 2 of 3 updated replicas are available...
        deployment "api" successfully rolled out
        "#
        );
    }
}
