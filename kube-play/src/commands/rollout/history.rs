//! `kube rollout history`: lists the revisions of Deployments.

use std::process::ExitCode;

use jiff::Timestamp;
use pod_core::kind::Kind;
use pod_core::lifecycle::human_duration;
use pod_core::manifest::to_yaml;
use pod_core::observe::rollout::{metadata, pod_statuses};
use pod_core::record::WorkloadRecord;
use pod_core::workload::{Revision, patch, view};
use serde_json::Value;

use super::{Names, deployment, recorded};
use crate::cli::context::Context;
use crate::output::exit::Failure;
use crate::output::{self, Listing, Shape, Table};

// Arguments of `kube rollout history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A revision is a template that pods were created from. Former revisions are kept up to
spec.revisionHistoryLimit (10 unless it is given). CHANGE-CAUSE is the annotation
kubernetes.io/change-cause of the Deployment at that time.

Examples:
  # All revisions
  kube rollout history deployment/api

  # The template of a revision
  kube rollout history deployment/api --revision 2

  # As ReplicaSets
  kube rollout history deployment/api -o yaml")]
pub struct Args {
    /// The Deployments.
    #[command(flatten)]
    pub names: Names,
    /// Show the template of this revision
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
    /// The output format.
    #[command(flatten)]
    pub listing: Listing,
}

/// Runs `kube rollout history`.
///
/// # Errors
/// A Deployment or the revision does not exist (4).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let mut records = Vec::new();
    for name in &args.names.deployments {
        let resource = deployment(context, name)?;
        let record = recorded(context, &resource)?;
        if let Some(number) = args.revision {
            patch::find(&record.state, number).map_err(|error| {
                Failure::not_found(format!("{resource}: {error}"))
                    .hint(format!("`kube rollout history {resource}` lists its revisions"))
            })?;
        }
        records.push(record);
    }
    match args.listing.shape() {
        Shape::Table => {
            for (index, record) in records.iter().enumerate() {
                if index > 0 {
                    output::print("\n")?;
                }
                match args.revision {
                    None => table(record, args.listing)?,
                    Some(number) => template(record, number)?,
                }
            }
        }
        Shape::Names => {
            let shown = records.iter().flat_map(|record| revisions(record, args.revision));
            output::print_lines(shown.map(|revision| format!("{}/{}", Kind::ReplicaSet, revision.name())))?;
        }
        Shape::Objects(format) => {
            let now = Timestamp::now();
            let sets = records.iter().flat_map(|record| {
                let sets = view::replica_sets(
                    metadata(record),
                    &record.spec,
                    &record.state,
                    &pod_statuses(&context.layout, record),
                    now,
                );
                let names: Vec<String> =
                    revisions(record, args.revision).map(|revision| revision.name().to_owned()).collect();
                sets.into_iter().filter(move |set| {
                    let name = set.pointer("/metadata/name").and_then(Value::as_str);
                    names.iter().any(|wanted| name == Some(wanted.as_str()))
                })
            });
            output::print_list(sets, format)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn revisions(record: &WorkloadRecord, number: Option<u64>) -> impl Iterator<Item = &Revision> {
    let is_meant = move |revision: &&Revision| number.is_none_or(|number| revision.number == number);
    record.state.revisions.iter().filter(is_meant)
}

fn table(record: &WorkloadRecord, listing: Listing) -> anyhow::Result<()> {
    let mut headers = vec!["REVISION", "CHANGE-CAUSE"];
    if listing.is_wide() {
        headers.extend(["REPLICASET", "REPLICAS", "AGE", "IMAGES"]);
    }
    let mut table = Table::new(headers);
    let now = Timestamp::now();
    for revision in &record.state.revisions {
        let mut row = vec![revision.number.to_string(), revision.change_cause.clone().unwrap_or_default()];
        if listing.is_wide() {
            let spec = revision.template.pod.spec.as_ref();
            let images = spec.into_iter().flat_map(|spec| &spec.containers);
            let images: Vec<&str> = images.filter_map(|container| container.image.as_deref()).collect();
            row.extend([
                revision.name().to_owned(),
                revision.replicas.to_string(),
                human_duration(now.duration_since(revision.created).as_secs()),
                images.join(","),
            ]);
        }
        table.row(row);
    }
    output::print(&format!("{}\n", record.id))?;
    table.print(!listing.no_headers)
}

/// Prints the template of a revision as YAML.
fn template(record: &WorkloadRecord, number: u64) -> anyhow::Result<()> {
    output::print(&format!("{} with revision #{number}\n", record.id))?;
    let template = revisions(record, Some(number)).map(|revision| revision.object.clone());
    output::print(&to_yaml(&template.collect::<Vec<_>>()))
}
