//! Running pods -> manifests. Pure: what is recorded and some facts in, documents and warnings out.
//!
//! A played object comes back as it was given, with what `play` resolved written into it; then it is turned into
//! the kind that is asked for, and what it uses is put beside it.

mod container;
mod judge;
mod kind;
mod metadata;
mod objects;
mod order;
mod ports;
mod recorded;
mod service;
mod warnings;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

pub use judge::{Fault, Finding, judge};

use crate::kind::{Kind, ObjectRef};
use crate::record::WorkloadRecord;

/// What to write down.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The workload as recorded.
    pub record: &'a WorkloadRecord,
    /// The uid of one of its pods, where that pod is meant and not the whole.
    pub pod: Option<&'a str>,
    /// The one container that is meant.
    pub container: Option<&'a str>,
}

/// The kinds that a workload can be written as.
pub const KINDS: [Kind; 5] = [Kind::Pod, Kind::Deployment, Kind::DaemonSet, Kind::Job, Kind::StatefulSet];

/// How to write it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// One of [`KINDS`], where another kind than the one that was played is wanted.
    pub kind: Option<Kind>,
    /// Of a Deployment or StatefulSet.
    pub replicas: Option<u32>,
    /// A Service for every workload that names ports.
    pub service: bool,
    /// Secrets with their values.
    pub include_secrets: bool,
}

/// What has to be known of the machine.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Recorded objects, of those that [`references`] names.
    pub objects: BTreeMap<ObjectRef, Value>,
    /// Images as manifests name them, and the same with the digest that runs, where that is to be written.
    pub pins: BTreeMap<String, String>,
    /// Where hostPaths with `..` in them lead to.
    pub real_paths: BTreeMap<PathBuf, PathBuf>,
    /// Home folders of users.
    pub homes: Vec<PathBuf>,
}

/// Manifests.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// In an order that can be applied: settings, claims, workloads, services.
    pub documents: Vec<Value>,
    /// What works on this machine alone, or was changed, and what to do about it.
    pub warnings: Vec<String>,
}

/// Why nothing can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A record that is no Kubernetes object.
    #[error("the record of {workload} is damaged")]
    Damaged {
        /// `pod/web`
        workload: String,
    },
    /// There is no container of that name.
    #[error("{workload} has no container {container}")]
    NoContainer {
        /// `pod/web`
        workload: String,
        /// What was asked for.
        container: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// `--replicas` for a kind that has none.
    #[error("{} has no replicas", kind.with_article())]
    NoReplicas {
        /// The kind that was asked for.
        kind: Kind,
    },
    /// A kind that no workload can be written as.
    #[error("a workload cannot be written as {}", kind.with_article())]
    NotGenerated {
        /// The kind that was asked for.
        kind: Kind,
    },
    /// Two that would have one name.
    #[error("two of these would both be {what}")]
    Twice {
        /// `Pod web`
        what: String,
    },
}

/// Every ConfigMap, Secret and claim that the subjects use: what [`Facts::objects`] should hold.
///
/// # Errors
/// A record is damaged.
pub fn references(subjects: &[Subject<'_>]) -> Result<Vec<ObjectRef>, Error> {
    let facts = Facts::default();
    let mut found = Vec::new();
    for subject in subjects {
        let workload = source(subject, &facts)?;
        for reference in objects::references(&workload) {
            let key = ObjectRef::new(reference.kind, &subject.record.id.namespace, &reference.name);
            if !found.contains(&key) {
                found.push(key);
            }
        }
    }
    Ok(found)
}

/// Writes workloads and what they use.
///
/// # Errors
/// What is asked for does not go with what is there.
pub fn generate(subjects: &[Subject<'_>], options: &Options, facts: &Facts) -> Result<Generated, Error> {
    if let Some(kind) = options.kind.filter(|kind| !KINDS.contains(kind)) {
        return Err(Error::NotGenerated { kind });
    }
    let mut warned = Vec::new();
    let mut configs = Vec::new();
    let mut claims = Vec::new();
    let mut workloads: Vec<Value> = Vec::new();
    let mut services: Vec<Value> = Vec::new();
    for subject in subjects {
        let mut workload = source(subject, facts)?;
        let kind = options.kind.unwrap_or(match workload.is_deployment() && subject.pod.is_none() {
            true if subject.container.is_none() => Kind::Deployment,
            _ => Kind::Pod,
        });
        for used in objects::documents(&mut workload, options, facts) {
            let list =
                if kind_of(&used) == Some(Kind::PersistentVolumeClaim) { &mut claims } else { &mut configs };
            if !list.contains(&used) {
                list.push(used);
            }
        }
        kind::own_labels(&mut workload, kind);
        let service = if options.service { service::document(&mut workload, kind) } else { None };
        warnings::of(&mut workload, kind, options, facts);
        let mut document = kind::document(&mut workload, kind, options)?;
        order::object(&mut document);
        keep(&mut workloads, document)?;
        if let Some(mut service) = service {
            order::object(&mut service);
            keep(&mut services, service)?;
        }
        warned.extend(workload.warnings);
    }
    configs.sort_by_cached_key(place);
    claims.sort_by_cached_key(place);
    let documents = [configs, claims, workloads, services].concat();
    warned.extend(judge(&documents).iter().map(ToString::to_string));
    let mut warnings: Vec<String> = Vec::new();
    for warning in warned {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(Generated { documents, warnings })
}

/// Whether `object` is what [`generate`] writes of a recorded workload: it says the same as what was played with the
/// flags that it was played with.
pub fn is_written_as(record: &WorkloadRecord, object: &Value) -> bool {
    let subject = Subject { record, pod: None, container: None };
    let written = generate(&[subject], &Options::default(), &Facts::default());
    written.is_ok_and(|written| written.documents.contains(object))
}

fn source(subject: &Subject<'_>, facts: &Facts) -> Result<recorded::Workload, Error> {
    let pod = subject.pod.and_then(|uid| subject.record.pods.iter().find(|pod| pod.plan.uid == uid));
    let mut workload = recorded::workload(subject.record, pod, facts)?;
    if let Some(name) = subject.container {
        container::keep_only(&mut workload, name)?;
    }
    Ok(workload)
}

/// The kind of a document.
fn kind_of(document: &Value) -> Option<Kind> {
    document.get("kind").and_then(Value::as_str).and_then(Kind::from_name)
}

/// kind, namespace, name of a document.
fn place(document: &Value) -> [String; 3] {
    ["/kind", "/metadata/namespace", "/metadata/name"]
        .map(|at| document.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Two pods of one Deployment are one manifest; two that differ cannot have one name.
fn keep(documents: &mut Vec<Value>, document: Value) -> Result<(), Error> {
    match documents.iter().find(|known| place(known) == place(&document)) {
        Some(known) if *known == document => Ok(()),
        Some(_) => {
            let [kind, _, name] = place(&document);
            Err(Error::Twice { what: format!("{kind} {name}") })
        }
        None => {
            documents.push(document);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
