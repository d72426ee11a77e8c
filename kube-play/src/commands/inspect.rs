//! `kube inspect`: show an object in full.

use std::process::ExitCode;

use jiff::Timestamp;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::rollout::pod_statuses;
use pod_core::observe::{query, workloads};
use pod_core::plan::node;
use pod_core::service;
use pod_core::store::Objects;
use pod_core::volume::claims::{self, Claim};
use pod_core::volume::persistent;
use pod_core::workload::{Revision, view};
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::commands::{rollout, volume};
use crate::output::exit::Failure;
use crate::output::{self, ObjectFormat};

// Arguments of `kube inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints Kubernetes' own objects: a pod's spec with its defaults, and its status, as `kubectl get -o json` would.

Examples:
  # A pod
  kube inspect web

  # The address of a pod
  kube inspect web | jq -r .status.podIP

  # Objects of other kinds, as YAML
  kube inspect deployment/api configmap/settings -o yaml")]
pub struct Args {
    /// Objects: POD or KIND/NAME (pod, deployment, replicaset, service, configmap, secret, pvc, pv)
    #[arg(value_name = "POD|KIND/NAME", required = true)]
    pub objects: Vec<String>,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "json")]
    pub output: ObjectFormat,
}

/// Runs `kube inspect`.
///
/// # Errors
/// A named object does not exist (4).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let mut found = Vec::new();
    for name in &args.objects {
        let resource = ObjectRef::parse(name, &context.namespace)?;
        found.push(match resource.kind {
            Kind::Pod => pod(context, name)?,
            Kind::Deployment => deployment(context, &resource)?,
            Kind::ReplicaSet => replica_set(context, &resource)?,
            _ => stored(context, &resource)?,
        });
    }
    let single = found.len() == 1;
    let object = match found.pop() {
        Some(one) if single => one,
        last => output::list(found.into_iter().chain(last).collect()),
    };
    output::print_object(&object, args.output)?;
    Ok(ExitCode::SUCCESS)
}

fn pod(context: &Context, name: &str) -> anyhow::Result<Value> {
    let view = query::pod(&context.layout, name, &context.namespace)?;
    Ok(serde_json::to_value(view.object(&node::ips()))?)
}

/// Returns a Deployment as it was played, with what Kubernetes adds, and its status.
fn deployment(context: &Context, resource: &ObjectRef) -> anyhow::Result<Value> {
    let record = rollout::recorded(context, resource)?;
    let pods = pod_statuses(&context.layout, &record);
    Ok(view::deployment(rollout::metadata(&record), &record.spec, &record.state, &pods, Timestamp::now()))
}

/// Returns the ReplicaSet of a revision of a Deployment.
fn replica_set(context: &Context, resource: &ObjectRef) -> anyhow::Result<Value> {
    for record in workloads(&context.layout)? {
        let is_named = |revision: &Revision| revision.name() == resource.name;
        if record.id.namespace != context.namespace || !record.state.revisions.iter().any(is_named) {
            continue;
        }
        let pods = pod_statuses(&context.layout, &record);
        let metadata = rollout::metadata(&record);
        let sets = view::replica_sets(metadata, &record.spec, &record.state, &pods, Timestamp::now());
        let is_meant =
            |set: &Value| set.pointer("/metadata/name").and_then(Value::as_str) == Some(&resource.name);
        if let Some(set) = sets.into_iter().find(is_meant) {
            return Ok(set);
        }
    }
    let message = format!("{resource} not found in namespace {}", context.namespace);
    Err(Failure::not_found(message)
        .hint("`kube rollout history deployment/NAME -o name` lists those of a Deployment")
        .into())
}

/// Returns spec.replicas, whose default is 1.
pub fn replicas(deployment: &Value) -> u64 {
    deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

fn stored(context: &Context, resource: &ObjectRef) -> anyhow::Result<Value> {
    let played = Objects::get(&context.layout, resource)?;
    if resource.kind == Kind::Service
        && let Some(view) = service::views(&context.layout)?.into_iter().find(|view| {
            let metadata = &view.service.metadata;
            metadata.namespace.as_deref() == Some(&context.namespace)
                && metadata.name.as_deref() == Some(&resource.name)
        })
    {
        return Ok(serde_json::to_value(view.service)?);
    }
    if resource.kind == Kind::PersistentVolumeClaim {
        let mut claims = claims::list(&context.layout)?.into_iter();
        let is_meant = |claim: &Claim| claim.namespace == context.namespace && claim.name == resource.name;
        if let Some(claim) = claims.find(is_meant) {
            return Ok(volume::object(&claim, played));
        }
    }
    if resource.kind == Kind::PersistentVolume {
        let mut volumes = persistent::list(&context.layout)?.into_iter();
        if let (Some(found), Some(played)) = (volumes.find(|it| it.name == resource.name), played.clone()) {
            return Ok(volume::persistent_object(&found, played));
        }
    }
    let Some(mut object) = played else { return Err(query::not_found(&context.layout, resource).into()) };
    if let Value::Object(top) = &mut object {
        top.insert("apiVersion".to_owned(), json!(resource.kind.api_version()));
        top.insert("kind".to_owned(), json!(resource.kind));
    }
    Ok(object)
}
