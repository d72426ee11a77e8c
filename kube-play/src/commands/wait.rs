//! `kube wait`: wait until pods are ready, complete or deleted.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use k8s_openapi::api::core::v1::Pod;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::lifecycle::pod_row;
use pod_core::observe::changes::Changes;
use pod_core::observe::query::{self, Query};
use pod_core::observe::readiness::{self, PodCheck, Verdict};
use pod_core::observe::{PodView, workload};
use pod_core::store::WorkloadId;

use crate::cli::context::Context;
use crate::commands::inspect::replicas;
use crate::input::time::{describe, parse_duration};
use crate::output;
use crate::output::exit::Failure;

// Arguments of `kube wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Wait until a pod is Ready
  kube wait web

  # Wait until all pods of a Deployment are Ready, for at most a minute
  kube wait deployment/api --timeout 1m

  # Wait until a pod has ended
  kube wait batch --for=complete --timeout 1h

  # Wait until a pod is removed
  kube wait web --for=deleted")]
pub struct Args {
    /// Pods: NAME, pod/NAME, or deployment/NAME for all of its pods
    #[arg(value_name = "POD", required_unless_present_any = ["all", "selector"])]
    pub pods: Vec<String>,
    /// Wait for every pod of the namespace
    #[arg(long, conflicts_with_all = ["pods", "selector"])]
    pub all: bool,
    /// Wait for pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "pods")]
    pub selector: Option<String>,
    /// The state to wait for
    #[arg(long = "for", value_name = "STATE", value_enum, default_value = "ready", ignore_case = true)]
    pub state: State,
    /// Stop waiting after this time (30s, 2m, plain seconds); 0 checks once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    pub timeout: Duration,
}

/// `--for`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    // The pod's condition Ready is True
    #[value(alias = "condition=ready")]
    Ready,
    // The pod has ended, successfully or not
    #[value(alias = "condition=complete")]
    Complete,
    // The pod is removed
    #[value(alias = "delete")]
    Deleted,
}

/// Runs `kube wait`.
///
/// # Errors
/// No such pod (4); the timeout is over (5); a pod can no longer reach the state (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let deadline = Instant::now().checked_add(args.timeout);
    let changes = Changes::new(&context.layout)?;
    let mut waiting = targets(context, args)?;
    if waiting.is_empty() {
        return Err(Failure::not_found("no pods to wait for").hint("`kube ps -A` lists the pods").into());
    }
    loop {
        let mut still = Vec::new();
        for target in waiting {
            match look(context, &target, args.state)? {
                Progress::Met => output::print(&format!("{target} condition met\n"))?,
                Progress::Never(why) => {
                    return Err(Failure::failed(format!(
                        "{target} cannot become {}: {why}",
                        word(args.state)
                    ))
                    .hint(format!("`kube events --for {target}` shows what happened"))
                    .into());
                }
                Progress::NotYet(now) => still.push((target, now)),
            }
        }
        if still.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if !changes.wait(deadline)? {
            let what: Vec<String> = still
                .iter()
                .map(|(target, now)| format!("{target} to be {} ({now})", word(args.state)))
                .collect();
            let after = describe(args.timeout);
            let failure =
                Failure::timed_out(format!("timed out after {after} waiting for {}", what.join(", ")));
            return Err(match still.first() {
                Some((target, _)) => {
                    failure.hint(format!("`kube events --for {target}` shows what happened"))
                }
                None => failure,
            }
            .into());
        }
        waiting = still.into_iter().map(|(target, _)| target).collect();
    }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Complete => "complete",
        State::Deleted => "deleted",
    }
}

/// Returns the objects to wait for. A name of no object is an error, except for `--for=deleted`.
fn targets(context: &Context, args: &Args) -> anyhow::Result<Vec<ObjectRef>> {
    let all = Query::in_namespace(&context.namespace);
    if args.all || args.selector.is_some() {
        let query = Query { selector: args.selector.as_deref(), ..all };
        let pods = query.pods(&context.layout)?;
        let pod = |name: &str| ObjectRef::new(Kind::Pod, &context.namespace, name);
        return Ok(pods.iter().map(|view| pod(view.plan.name())).collect());
    }
    if args.state != State::Deleted {
        Query { names: &args.pods, ..all }.pods(&context.layout)?;
    }
    let parse = |name: &String| Ok(query::parse_workload(name, &context.namespace)?);
    args.pods.iter().map(parse).collect()
}

/// Whether a target has reached the state.
enum Progress {
    Met,
    NotYet(String),
    Never(String),
}

fn look(context: &Context, target: &ObjectRef, state: State) -> anyhow::Result<Progress> {
    let id = WorkloadId::new(target.kind, &context.namespace, &target.name);
    let names = [target.to_string()];
    let found =
        Query { names: &names, ..Query::in_namespace(&context.namespace) }.existing_pods(&context.layout)?;
    if state == State::Deleted {
        let recorded = workload(&context.layout, &id)?.is_some() && target.kind == Kind::Deployment;
        return Ok(if found.is_empty() && !recorded {
            Progress::Met
        } else {
            Progress::NotYet(
                found.first().map_or("it exists".to_owned(), |pod| describe_pod(&pod.object(&[]))),
            )
        });
    }
    // A pod that is being removed does not count for its Deployment.
    let leaves = |pod: &PodView| pod.terminating || pod.state.is_stopping();
    let pods: Vec<&PodView> = found.iter().filter(|pod| target.kind == Kind::Pod || !leaves(pod)).collect();
    let wanted = match target.kind {
        Kind::Deployment => match workload(&context.layout, &id)? {
            Some(record) => replicas(&record.spec.object),
            None => return Ok(Progress::Never("it is gone".to_owned())),
        },
        _ => 1,
    };
    if (pods.len() as u64) < wanted {
        return Ok(match target.kind {
            Kind::Deployment => Progress::NotYet(format!("{} of {wanted} pods exist", pods.len())),
            _ => Progress::Never("it is gone".to_owned()),
        });
    }
    let check: PodCheck = match state {
        State::Ready => readiness::ready,
        State::Complete | State::Deleted => readiness::complete,
    };
    Ok(match readiness::unmet(pods, check) {
        None => Progress::Met,
        Some((_, Verdict::Failed(why))) => Progress::Never(why),
        Some((pod, _)) => Progress::NotYet(describe_pod(&pod.object(&[]))),
    })
}

/// Describes a pod for a message: its STATUS and READY.
fn describe_pod(pod: &Pod) -> String {
    let row = pod_row(pod, jiff::Timestamp::now());
    format!("{}, {} ready", row.status, row.ready)
}
