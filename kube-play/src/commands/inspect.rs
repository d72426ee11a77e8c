//! `kube inspect`: show an object in full.

use std::process::ExitCode;

use pod_core::kind::Kind;
use pod_core::observe::objects::{self, Reader};
use pod_core::observe::usage;
use serde_json::Value;

use crate::cli::context::Context;
use crate::input::targets;
use crate::output::{self, ObjectFormat};

// Arguments of `kube inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints Kubernetes' own objects: a pod's spec with its defaults, and its status, as `kubectl get -o json` would. The \
annotation kube-play/usage has the processor time and the memory of running containers.

Examples:
  # A pod
  kube inspect web

  # The address of a pod
  kube inspect web | jq -r .status.podIP

  # Objects of other kinds, as YAML
  kube inspect deployment/api configmap/settings -o yaml")]
pub struct Args {
    /// Objects: POD or KIND/NAME; the kinds are those of `kube get`
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
    let reader = Reader::new(&context.layout);
    let mut found = Vec::new();
    for name in &args.objects {
        let named = match name.contains('/') {
            true => name.clone(),
            false => format!("{}/{name}", Kind::Pod),
        };
        for target in targets::parse(&[named])? {
            let all = reader.list(target.kind)?;
            for id in target.objects(&context.namespace)? {
                match all.iter().find(|object| object.id == id) {
                    Some(object) => {
                        let mut object = object.to_json()?;
                        if target.kind == Kind::Pod {
                            usage::annotate(&mut object);
                        }
                        found.push(object);
                    }
                    None => return Err(objects::not_found(&context.layout, &id, &all).into()),
                }
            }
        }
    }
    let single = found.len() == 1;
    let object = match found.pop() {
        Some(one) if single => one,
        last => output::list(found.into_iter().chain(last).collect()),
    };
    output::print_object(&object, args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns spec.replicas, whose default is 1.
pub fn replicas(deployment: &Value) -> u64 {
    deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1)
}
