//! The rules of Kubernetes' validation beyond types, for the fields that are honoured.

mod claim;
mod container;
mod data;
mod endpoints;
mod env;
mod files;
mod ingress;
mod metadata;
pub(crate) mod name;
mod persistent_volume;
mod pod;
mod ports;
mod probe;
mod resources;
mod restart;
mod runtime_class;
mod scheduling;
mod security;
mod service;
mod volume;
mod workload;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;

pub(crate) use container::mount_point;
pub(crate) use endpoints::SERVICE_NAME;
pub(crate) use pod::{MAX_NAMESERVERS, MAX_SEARCH_CHARS, MAX_SEARCHES};
pub(crate) use scheduling::architecture;
pub(crate) use service::NODE_PORTS;
pub(crate) use volume::is_volume_source;

use crate::kind::Kind;
use crate::manifest::schema::check::Checked;
use crate::manifest::{Diagnostic, Object, Position, Severity, around};

/// Returns all errors and warnings about `object` that its schema has not reported yet.
pub(super) fn check(object: &Object, checked: &Checked, start: Position, source: &str) -> Vec<Diagnostic> {
    let mut rules = Rules { checked, start, source, found: Vec::new() };
    rules.metadata(object.kind(), object.metadata());
    match object {
        Object::Pod(pod) => {
            if let Some(spec) = &pod.spec {
                rules.pod("spec", spec, Kind::Pod);
                rules.app_armor_annotations("metadata", &pod.metadata, spec);
            }
        }
        Object::Deployment(deployment) => rules.deployment(deployment),
        Object::ConfigMap(map) => rules.config_map(map),
        Object::Secret(secret) => rules.secret(secret),
        Object::PersistentVolumeClaim(claim) => {
            if let Some(spec) = &claim.spec {
                rules.claim("spec", spec);
            }
        }
        Object::PersistentVolume(volume) => rules.persistent_volume(volume),
        Object::Service(service) => rules.service(service),
        Object::Endpoints(endpoints) => rules.endpoints(endpoints),
        Object::EndpointSlice(slice) => rules.endpoint_slice(slice),
        Object::Ingress(ingress) => rules.ingress(ingress),
        Object::IngressClass(class) => rules.ingress_class(class),
        Object::RuntimeClass(class) => rules.runtime_class(class),
    }
    rules.found
}

/// Like [`check`], for a kind that is generated and not played.
pub(super) fn check_generated(kind: Kind, checked: &Checked) -> Vec<Diagnostic> {
    let mut rules = Rules { checked, start: Position::default(), source: "", found: Vec::new() };
    if let Some(metadata) =
        checked.value.get("metadata").and_then(|given| ObjectMeta::deserialize(given).ok())
    {
        rules.metadata(kind, &metadata);
    }
    if matches!(kind, Kind::DaemonSet | Kind::Job | Kind::StatefulSet) {
        rules.generated_workload(kind);
    }
    rules.found
}

/// Collects the findings of the rules.
struct Rules<'a> {
    checked: &'a Checked,
    start: Position,
    source: &'a str,
    found: Vec<Diagnostic>,
}

impl Rules<'_> {
    fn error(&mut self, path: &str, message: impl Into<String>) {
        self.report(Severity::Error, path, message.into(), None);
    }

    fn error_hint(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Error, path, message.into(), Some(hint.into()));
    }

    fn warning(&mut self, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.report(Severity::Warning, path, message.into(), hint);
    }

    /// Reports `result` as an error of `path` if it is one.
    fn require(&mut self, path: &str, result: Result<(), name::Invalid>) {
        if let Err(name::Invalid { message, hint }) = result {
            self.report(Severity::Error, path, message, hint);
        }
    }

    /// Reports a finding, unless the schema has reported that path already.
    fn report(&mut self, severity: Severity, path: &str, message: String, hint: Option<String>) {
        if around(path).any(|prefix| self.checked.bad.contains(prefix)) {
            return;
        }
        let position = around(path).find_map(|prefix| self.checked.positions.get(prefix)).copied();
        self.found.push(Diagnostic {
            severity,
            source: self.source.to_owned(),
            position: position.unwrap_or(self.start),
            path: path.to_owned(),
            message,
            hint,
        });
    }

    /// Returns true if the schema has reported something inside `path`.
    fn bad_below(&self, path: &str) -> bool {
        ['.', '['].iter().any(|separator| {
            let inside = format!("{path}{separator}");
            self.checked.bad.range(inside.clone()..).next().is_some_and(|bad| bad.starts_with(&inside))
        })
    }

    /// Returns true if the document has a value at `path`, null included.
    fn given(&self, path: &str) -> bool {
        self.checked.positions.contains_key(path)
    }
}

/// Returns the word of `known` that is nearest to `given`, for a hint. Only a limited number of words is compared.
fn near<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 60 {
        return None;
    }
    known
        .take(100)
        .map(|name| (strsim::osa_distance(name, given), name))
        .min()
        .filter(|&(distance, name)| distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}
