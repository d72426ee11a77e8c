//! `kube inspect`: show an object in full.

use std::process::ExitCode;

use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::workload;
use pod_core::plan::node;
use pod_core::store::{Objects, WorkloadId};
use pod_core::volume::claims::{self, Claim};
use serde_json::{Value, json};

use crate::commands::volume;
use crate::context::Context;
use crate::output::{self, ObjectFormat};
use crate::pods;
use crate::select::{self, Choice};

/// Arguments of `kube inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints Kubernetes' own objects: a pod's spec with its defaults, and its status, as `kubectl get -o json` would.

Examples:
  # A pod
  kube inspect web

  # Its address
  kube inspect web | jq -r .status.podIP

  # Other kinds, as YAML
  kube inspect deployment/api configmap/settings -o yaml")]
pub struct Args {
    /// Objects: POD or KIND/NAME (pod, deployment, configmap, secret, pvc)
    #[arg(value_name = "POD|KIND/NAME", required = true)]
    pub objects: Vec<String>,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "json")]
    pub output: ObjectFormat,
}

/// Runs `kube inspect`.
///
/// # Errors
/// What is named is not there (4).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let mut found = Vec::new();
    for name in &args.objects {
        let resource = select::object_ref(&context.namespace, name)?;
        found.push(match resource.kind {
            Kind::Pod => pod(context, name)?,
            Kind::Deployment => deployment(context, &resource)?,
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
    let view = select::pod_of(context, name)?;
    Ok(serde_json::to_value(pods::object(&view, &node::ips()))?)
}

/// The Deployment as it was applied, with what Kubernetes adds, and its status.
fn deployment(context: &Context, resource: &ObjectRef) -> anyhow::Result<Value> {
    let id = WorkloadId::new(resource.kind, &context.namespace, &resource.name);
    let Some(record) = workload(&context.layout, &id)? else {
        return Err(select::missing(context, resource)?.into());
    };
    let names = [resource.to_string()];
    let choice = Choice { names: &names, ..Choice::default() };
    // A pod on its way out does not count.
    let mut pods = select::pods_of(context, &choice)?;
    pods.retain(|pod| !pod.terminating);
    let pods: Vec<_> = pods.iter().map(|pod| pods::object(pod, &[])).collect();
    let ready = pods.iter().filter(|pod| pods::has_condition(pod, "Ready")).count();
    let mut object = record.spec.object.clone();
    let wanted = replicas(&object);
    if let Value::Object(top) = &mut object {
        let metadata = top.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            metadata.insert("namespace".to_owned(), json!(id.namespace));
            metadata.insert("uid".to_owned(), json!(record.uid));
            metadata.insert("creationTimestamp".to_owned(), json!(record.created));
        }
        let unavailable = wanted.saturating_sub(ready as u64);
        let available = ready as u64 >= wanted;
        top.insert(
            "status".to_owned(),
            json!({
                "replicas": pods.len(),
                "readyReplicas": ready,
                "availableReplicas": ready,
                "unavailableReplicas": unavailable,
                "conditions": [{
                    "type": "Available",
                    "status": if available { "True" } else { "False" },
                    "reason": if available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
                }],
            }),
        );
    }
    Ok(object)
}

/// spec.replicas, which is 1 unless it says otherwise.
pub fn replicas(deployment: &Value) -> u64 {
    deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}

fn stored(context: &Context, resource: &ObjectRef) -> anyhow::Result<Value> {
    let played = Objects::get(&context.layout, resource)?;
    if resource.kind == Kind::PersistentVolumeClaim {
        let mut claims = claims::list(&context.layout)?.into_iter();
        let is_meant = |claim: &Claim| claim.namespace == context.namespace && claim.name == resource.name;
        if let Some(claim) = claims.find(is_meant) {
            return Ok(volume::object(&claim, played));
        }
    }
    let Some(mut object) = played else { return Err(select::missing(context, resource)?.into()) };
    if let Value::Object(top) = &mut object {
        top.insert("apiVersion".to_owned(), json!(resource.kind.api_version()));
        top.insert("kind".to_owned(), json!(resource.kind));
    }
    Ok(object)
}
