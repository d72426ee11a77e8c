//! Every object of an instance, as the API of a cluster would return it.
//!
//! [`Reader`] lists the objects of a kind: recorded ones with what an API server adds to them, and computed ones (pods,
//! ReplicaSets, endpoints, the node). To add a kind of recorded objects, give it a role in the table of kinds; a kind
//! whose objects are computed has a file here and a line in [`Reader::list`].

mod claims;
mod endpoints;
mod events;
pub mod field_selector;
mod ingresses;
mod namespaces;
mod node;
mod object;
mod services;
mod workloads;

pub use object::Object;

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::nearest::nearest;
use super::query::{self, Hint};
use crate::kind::{Kind, ObjectRef, Role};
use crate::store::{self, Layout, Objects, Recorded};
use crate::{plan, volume};

/// Why objects cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the instance.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The records of claims and PersistentVolumes.
    #[error(transparent)]
    Volume(#[from] volume::claims::Error),
    /// An object has no JSON form.
    #[error("write an object as JSON")]
    Json(#[from] serde_json::Error),
}

/// Returns whether objects of a kind can be listed. There may be none.
pub fn is_listed(kind: Kind) -> bool {
    match kind.role() {
        Role::Workload | Role::Data | Role::Shown | Role::Accepted | Role::LeftOut { .. } => true,
        Role::NeedsCluster | Role::Refused => matches!(kind, Kind::Node | Kind::Event),
    }
}

/// Returns the kinds whose objects can be listed.
pub fn listed() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| is_listed(*kind))
}

/// Reads the objects of an instance.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    layout: &'a Layout,
    host_ips: Vec<IpAddr>,
    now: Timestamp,
}

impl<'a> Reader<'a> {
    /// Creates a reader of complete objects.
    pub fn new(layout: &'a Layout) -> Self {
        Self { host_ips: plan::node::ips(), ..Self::without_host_ips(layout) }
    }

    /// Creates a reader that leaves out status.hostIP of pods, because reading the addresses of the host takes longer
    /// than everything else, and tables do not show them.
    pub fn without_host_ips(layout: &'a Layout) -> Self {
        Self { layout, host_ips: Vec::new(), now: Timestamp::now() }
    }

    /// Returns all objects of a kind, by namespace and name; events by the time of their last occurrence.
    ///
    /// # Errors
    /// Files of the instance cannot be read.
    pub fn list(&self, kind: Kind) -> Result<Vec<Object>, Error> {
        let mut found = match kind {
            Kind::Pod => self.pods()?,
            Kind::Deployment => workloads::deployments(self.layout, self.now)?,
            Kind::ReplicaSet => workloads::replica_sets(self.layout, self.now)?,
            Kind::PersistentVolumeClaim => claims::claims(self.layout)?,
            Kind::PersistentVolume => claims::volumes(self.layout)?,
            Kind::Service => services::services(self.layout)?,
            Kind::Endpoints => endpoints::endpoints(self.layout)?,
            Kind::Ingress => ingresses::ingresses(self.layout)?,
            Kind::EndpointSlice => endpoints::slices(self.layout)?,
            Kind::Namespace => namespaces::namespaces(self.layout)?,
            Kind::Node => vec![node::node(self.layout, self.now)],
            Kind::Event => return events::events(self.layout),
            kind => recorded(self.layout, kind)?,
        };
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    fn pods(&self) -> Result<Vec<Object>, Error> {
        let pods = super::pods(self.layout)?;
        Ok(pods.iter().map(|view| Object::from_pod(view.object(&self.host_ips))).collect())
    }
}

/// Returns recorded objects with what an API server adds to them.
fn recorded(layout: &Layout, kind: Kind) -> Result<Vec<Object>, Error> {
    let all = Objects::recorded(layout, kind)?;
    Ok(all.into_iter().map(of_record).collect())
}

fn of_record(recorded: Recorded) -> Object {
    let Recorded { id, object, created } = recorded;
    let object = completed(&id, object, created);
    Object::new(id, object)
}

/// Returns an object with apiVersion, kind, name, namespace and creationTimestamp.
fn completed(id: &ObjectRef, object: Value, created: Option<Timestamp>) -> Value {
    let (mut metadata, mut rest) = (Map::new(), Map::new());
    let Value::Object(fields) = object else { return completed(id, json!({}), created) };
    for (field, value) in fields {
        match (field.as_str(), value) {
            ("apiVersion" | "kind", _) => {}
            ("metadata", Value::Object(given)) => metadata = given,
            ("metadata", _) => {}
            (_, value) => drop(rest.insert(field, value)),
        }
    }
    metadata.insert("name".to_owned(), json!(id.name));
    if id.kind.is_namespaced() {
        metadata.insert("namespace".to_owned(), json!(id.namespace));
    }
    if let Some(created) =
        created.filter(|_| !metadata.get("creationTimestamp").is_some_and(Value::is_string))
    {
        metadata.insert("creationTimestamp".to_owned(), json!(time(created)));
    }
    let mut top = Map::new();
    top.insert("apiVersion".to_owned(), json!(id.kind.api_version()));
    top.insert("kind".to_owned(), json!(id.kind));
    top.insert("metadata".to_owned(), Value::Object(metadata));
    top.extend(rest);
    Value::Object(top)
}

/// Formats a time in whole seconds, as Kubernetes does.
fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Returns the error for an object that is not among `all`, the objects of its kind, with a hint to what was probably
/// meant.
pub fn not_found(layout: &Layout, id: &ObjectRef, all: &[Object]) -> query::Error {
    if id.kind.is_workload() {
        return query::not_found(layout, id);
    }
    // A recorded object that cannot be read is not in the list.
    if let Err(damaged) = Objects::get(layout, id) {
        return damaged.into();
    }
    let elsewhere = all.iter().find(|object| object.id.name == id.name);
    let here = all.iter().filter(|object| object.id.namespace == id.namespace);
    let hint = match elsewhere {
        Some(other) => Some(Hint::OtherNamespace(other.id.namespace.clone())),
        None => nearest(&id.name, here.map(|object| object.id.name.as_str()))
            .map(|name| Hint::Similar(ObjectRef::new(id.kind, &id.namespace, name))),
    };
    query::Error::NotFound { object: id.clone(), hint }
}

#[cfg(test)]
mod tests;
