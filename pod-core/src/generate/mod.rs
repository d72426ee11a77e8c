//! Converts recorded workloads into manifests. It is pure: the inputs are records and some facts about the host, the
//! outputs are documents and warnings.
//!
//! A played object is written as it was given, with the values that `kube play` resolved entered into it. Then it is
//! converted to the requested kind, and the objects that it uses are added.

mod container;
mod kind;
mod lint;
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

pub use lint::{Fault, Finding, lint};

use crate::kind::{Kind, ObjectRef};
use crate::record::WorkloadRecord;

/// What to generate a manifest of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The recorded workload.
    pub record: &'a WorkloadRecord,
    /// The uid of one of the workload's pods, if a manifest of that pod is requested instead of the whole workload.
    pub pod: Option<&'a str>,
    /// The name of a container, if a manifest of that container alone is requested.
    pub container: Option<&'a str>,
}

/// The kinds that a workload can be written as.
pub const KINDS: [Kind; 5] = [Kind::Pod, Kind::Deployment, Kind::DaemonSet, Kind::Job, Kind::StatefulSet];

/// The kinds of objects that can be written by themselves.
pub const OBJECT_KINDS: [Kind; 4] =
    [Kind::ConfigMap, Kind::Secret, Kind::PersistentVolumeClaim, Kind::PersistentVolume];

/// How to generate the manifests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Objects of [`OBJECT_KINDS`] to write, whether or not a workload uses them.
    pub objects: Vec<ObjectRef>,
    /// One of [`KINDS`], if another kind than the one that was played is requested.
    pub kind: Option<Kind>,
    /// The number of replicas of a Deployment or StatefulSet.
    pub replicas: Option<u32>,
    /// Whether to add a Service for every workload that declares ports.
    pub service: bool,
    /// Whether to write the values of Secrets.
    pub include_secrets: bool,
}

/// Facts about the host that generating needs.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The recorded objects among those that [`references`] returns, the requested ones, and the PersistentVolumes that
    /// `volumes` names.
    pub objects: BTreeMap<ObjectRef, Value>,
    /// The recorded Services, each as it was given.
    pub services: BTreeMap<ObjectRef, RecordedService>,
    /// The names of the PersistentVolumes that claims are bound to.
    pub volumes: BTreeMap<ObjectRef, String>,
    /// Image names as manifests give them, each with the name that includes the digest of the image in use, for the
    /// images that should be pinned.
    pub pins: BTreeMap<String, String>,
    /// The resolved paths of hostPaths that contain `..`.
    pub real_paths: BTreeMap<PathBuf, PathBuf>,
    /// The home directories of users.
    pub homes: Vec<PathBuf>,
}

/// A recorded Service.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedService {
    /// The Service with what was allocated for it.
    pub recorded: Value,
    /// The Service as it was given.
    pub given: Value,
}

/// The generated manifests.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// The documents in the order in which they can be applied: ConfigMaps and Secrets, PersistentVolumes, claims,
    /// workloads, Services.
    pub documents: Vec<Value>,
    /// Warnings about what works only on this host or was changed, and what to do about it.
    pub warnings: Vec<String>,
}

/// Why no manifest can be generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The record does not contain a Kubernetes object.
    #[error("the record of {workload} is damaged")]
    Damaged {
        /// The workload, as `pod/web`.
        workload: String,
    },
    /// The workload has no container with this name.
    #[error("{workload} has no container {container}")]
    NoContainer {
        /// The workload, as `pod/web`.
        workload: String,
        /// The requested name.
        container: String,
        /// The names of the containers that the workload has.
        known: Vec<String>,
    },
    /// `--replicas` was given for a kind that has no replicas.
    #[error("{} has no replicas", kind.with_article())]
    NoReplicas {
        /// The requested kind.
        kind: Kind,
    },
    /// A workload cannot be written as this kind.
    #[error("a workload cannot be written as {}", kind.with_article())]
    NotGenerated {
        /// The requested kind.
        kind: Kind,
    },
    /// Two different documents would have the same kind and name.
    #[error("two different documents would both be {what}")]
    Twice {
        /// Kind and name, as `Pod web`.
        what: String,
    },
}

/// Returns every ConfigMap, Secret, claim and RuntimeClass that the subjects use. [`Facts::objects`] should contain these objects.
///
/// # Errors
/// If a record is damaged.
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

/// Generates the manifests of workloads and of the objects that they use.
///
/// # Errors
/// If a record is damaged, or if the options do not fit the workloads.
pub fn generate(subjects: &[Subject<'_>], options: &Options, facts: &Facts) -> Result<Generated, Error> {
    if let Some(kind) = options.kind.filter(|kind| !KINDS.contains(kind)) {
        return Err(Error::NotGenerated { kind });
    }
    let mut warned = Vec::new();
    let mut used = Used::default();
    for id in &options.objects {
        let (documents, warnings) = objects::named(id, options, facts);
        used.add(documents);
        warned.extend(warnings);
    }
    let mut workloads: Vec<Value> = Vec::new();
    let mut services: Vec<Value> = Vec::new();
    for subject in subjects {
        let mut workload = source(subject, facts)?;
        let kind = options.kind.unwrap_or(match workload.is_deployment() && subject.pod.is_none() {
            true if subject.container.is_none() => Kind::Deployment,
            _ => Kind::Pod,
        });
        used.add(objects::documents(&mut workload, options, facts));
        kind::remove_labels_of_other_controllers(&mut workload, kind);
        let recorded = service::recorded(&workload, facts);
        let service = if options.service { service::document(&mut workload, kind) } else { None };
        // A Service that was played says what the ports of the containers do not.
        let is_recorded = |service: &Value| recorded.iter().any(|known| place(known) == place(service));
        let service = service.filter(|service| !is_recorded(service));
        warnings::of(&mut workload, kind, options, facts);
        let mut document = kind::document(&mut workload, kind, options)?;
        order::object(&mut document);
        keep(&mut workloads, document)?;
        for mut service in recorded.into_iter().chain(service) {
            order::object(&mut service);
            keep(&mut services, service)?;
        }
        warned.extend(workload.warnings);
    }
    let documents = [used.sorted(), workloads, services].concat();
    warned.extend(lint(&documents).iter().map(ToString::to_string));
    let mut warnings: Vec<String> = Vec::new();
    for warning in warned {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(Generated { documents, warnings })
}

/// Returns whether `object` is what [`generate`] writes for a recorded workload. If so, it means the same as the
/// played object together with the flags of that `kube play`.
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

/// The documents of the objects that workloads use, each once.
#[derive(Default)]
struct Used {
    configs: Vec<Value>,
    volumes: Vec<Value>,
    claims: Vec<Value>,
}

impl Used {
    fn add(&mut self, documents: Vec<Value>) {
        for document in documents {
            let list = match kind_of(&document) {
                Some(Kind::PersistentVolume) => &mut self.volumes,
                Some(Kind::PersistentVolumeClaim) => &mut self.claims,
                _ => &mut self.configs,
            };
            if !list.contains(&document) {
                list.push(document);
            }
        }
    }

    fn sorted(self) -> Vec<Value> {
        let mut lists = [self.configs, self.volumes, self.claims];
        for list in &mut lists {
            list.sort_by_cached_key(place);
        }
        lists.concat()
    }
}

/// Returns the kind of a document.
fn kind_of(document: &Value) -> Option<Kind> {
    document.get("kind").and_then(Value::as_str).and_then(Kind::from_name)
}

/// Returns kind, namespace and name of a document.
fn place(document: &Value) -> [String; 3] {
    ["/kind", "/metadata/namespace", "/metadata/name"]
        .map(|at| document.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Adds a document unless it is already in the list, as for a second pod of one Deployment. A different document of
/// the same kind and name is an error.
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
