//! Reads YAML into typed objects with positions, and validates them with diagnostics.

use std::fmt;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, PersistentVolume, PersistentVolumeClaim, Pod, PodSpec, Secret, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::kind::Kind;

mod aggregate;
mod app_armor;
mod device;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub(crate) mod huge_pages;
mod identity;
pub mod image;
pub(crate) mod ingress;
mod kind;
mod limits;
mod load;
mod quantity;
mod repeats;
mod rules;
pub mod schema;
mod source;
pub mod support;
mod validate;
mod yaml;

pub(crate) use aggregate::effective;
pub(crate) use app_armor::{APP_ARMOR_ANNOTATION, app_armor_annotation};
use base::escape::{escape, shown};
pub use device::DeviceRequest;
pub(crate) use device::{Device, requested_device};
pub use identity::{Identities, identities};
pub use kind::schema_of;
pub use limits::{LimitError, PidsLimit, Ulimit};
pub(crate) use limits::{PidsAnnotation, ulimits};
pub use load::{MAX_DOCUMENT, MAX_DOCUMENTS, load};
pub use quantity::Quantity;
pub(crate) use rules::{
    MAX_NAMESERVERS, MAX_SEARCH_CHARS, MAX_SEARCHES, NODE_PORTS, SERVICE_NAME, architecture, mount_point,
    name,
};
pub use source::{MAX_SOURCE, ReadError, read_sources, source};
pub use validate::validate;
pub(crate) use yaml::read as read_yaml;
pub use yaml::write as to_yaml;

/// A text to read manifests from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The source's name in messages: a path, `-` or a URL.
    pub name: String,
    /// The folder that relative hostPaths start from; the working directory for stdin and URLs.
    pub dir: PathBuf,
    /// The YAML or JSON.
    pub text: String,
}

/// A position in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The manifest cannot be played.
    Error,
    /// A part of it will not be honoured.
    Warning,
}

/// Maximum number of diagnostics reported per source.
const MAX_DIAGNOSTICS: usize = 1_000;

/// An error or warning about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The name of the source.
    pub source: String,
    /// The position in the source.
    pub position: Position,
    /// The field, as `spec.containers[0].image`; empty for a whole document.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        // A value from a flag has no position in a file.
        if self.position == Position::default() {
            write!(f, "{}: ", self.source)?;
        } else {
            write!(f, "{}:{line}:{column}: ", self.source)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// A Kubernetes object of a kind that can be played.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// v1 Pod.
    Pod(Box<Pod>),
    /// apps/v1 Deployment.
    Deployment(Box<Deployment>),
    /// v1 ConfigMap.
    ConfigMap(Box<ConfigMap>),
    /// v1 Secret.
    Secret(Box<Secret>),
    /// v1 PersistentVolumeClaim.
    PersistentVolumeClaim(Box<PersistentVolumeClaim>),
    /// v1 PersistentVolume.
    PersistentVolume(Box<PersistentVolume>),
    /// v1 Service.
    Service(Box<Service>),
    /// v1 Endpoints.
    Endpoints(Box<Endpoints>),
    /// discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice(Box<EndpointSlice>),
    /// networking.k8s.io/v1 Ingress.
    Ingress(Box<Ingress>),
    /// networking.k8s.io/v1 IngressClass.
    IngressClass(Box<IngressClass>),
    /// node.k8s.io/v1 RuntimeClass.
    RuntimeClass(Box<RuntimeClass>),
}

impl Object {
    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pod(_) => Kind::Pod,
            Self::Deployment(_) => Kind::Deployment,
            Self::ConfigMap(_) => Kind::ConfigMap,
            Self::Secret(_) => Kind::Secret,
            Self::PersistentVolumeClaim(_) => Kind::PersistentVolumeClaim,
            Self::PersistentVolume(_) => Kind::PersistentVolume,
            Self::Service(_) => Kind::Service,
            Self::Endpoints(_) => Kind::Endpoints,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Ingress(_) => Kind::Ingress,
            Self::IngressClass(_) => Kind::IngressClass,
            Self::RuntimeClass(_) => Kind::RuntimeClass,
        }
    }

    /// Returns the spec of its pods, if it runs pods.
    pub fn pod_spec(&self) -> Option<&PodSpec> {
        match self {
            Self::Pod(pod) => pod.spec.as_ref(),
            Self::Deployment(deployment) => deployment.spec.template.spec.as_ref(),
            _ => None,
        }
    }

    /// Returns its metadata.
    pub fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Pod(object) => &object.metadata,
            Self::Deployment(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
            Self::Secret(object) => &object.metadata,
            Self::PersistentVolumeClaim(object) => &object.metadata,
            Self::PersistentVolume(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::Endpoints(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::Ingress(object) => &object.metadata,
            Self::IngressClass(object) => &object.metadata,
            Self::RuntimeClass(object) => &object.metadata,
        }
    }

    /// Returns its metadata for modification.
    pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Pod(object) => &mut object.metadata,
            Self::Deployment(object) => &mut object.metadata,
            Self::ConfigMap(object) => &mut object.metadata,
            Self::Secret(object) => &mut object.metadata,
            Self::PersistentVolumeClaim(object) => &mut object.metadata,
            Self::PersistentVolume(object) => &mut object.metadata,
            Self::Service(object) => &mut object.metadata,
            Self::Endpoints(object) => &mut object.metadata,
            Self::EndpointSlice(object) => &mut object.metadata,
            Self::Ingress(object) => &mut object.metadata,
            Self::IngressClass(object) => &mut object.metadata,
            Self::RuntimeClass(object) => &mut object.metadata,
        }
    }
}

/// One object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The typed object as written (no defaults; namespace filled in).
    pub object: Object,
    /// The object as written, as JSON with fields in the order of the file.
    pub value: Value,
    /// The name of the source.
    pub source: String,
    /// The position in the source where the document begins.
    pub position: Position,
    /// The folder that relative hostPaths start from.
    pub dir: PathBuf,
    /// Position of every field by path: `spec.containers[0].image`, `data[key]`. The position is that of the key if the
    /// field holds a list or a mapping, and that of the value otherwise.
    pub positions: std::collections::HashMap<String, Position>,
}

impl Document {
    /// Returns the position of a field, or of the nearest enclosing field that is written.
    pub fn position_of(&self, path: &str) -> Position {
        around(path).find_map(|path| self.positions.get(path)).copied().unwrap_or(self.position)
    }
}

/// Returns a path and the paths of all fields around it, the innermost first.
fn around(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        path.rfind(['.', '[']).and_then(|at| path.get(..at)).filter(|rest| !rest.is_empty())
    })
}

/// The result of reading sources. `documents` has none with errors.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The valid documents, in order; the items of a List are separate documents.
    pub documents: Vec<Document>,
    /// All errors and warnings, sorted by position.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Returns whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

#[cfg(test)]
mod tests;
