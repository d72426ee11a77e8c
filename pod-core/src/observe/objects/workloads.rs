//! Deployments and their ReplicaSets.

use jiff::Timestamp;
use serde_json::Value;

use super::{Error, Object};
use crate::kind::{Kind, ObjectRef};
use crate::observe::rollout::{metadata, pod_statuses};
use crate::observe::view;
use crate::store::Layout;
use crate::workload::view as shown;

/// Returns the Deployments with their status.
pub fn deployments(layout: &Layout, now: Timestamp) -> Result<Vec<Object>, Error> {
    let mut found = Vec::new();
    for record in view::workloads(layout)?.iter().filter(|record| record.id.kind == Kind::Deployment) {
        let pods = pod_statuses(layout, record);
        let json = shown::deployment(metadata(record), &record.spec, &record.state, &pods, now);
        let id = ObjectRef::new(Kind::Deployment, &record.id.namespace, &record.id.name);
        found.push(Object::new(id.clone(), super::completed(&id, json, None)));
    }
    Ok(found)
}

/// Returns the ReplicaSets of all revisions that are kept.
pub fn replica_sets(layout: &Layout, now: Timestamp) -> Result<Vec<Object>, Error> {
    let mut found = Vec::new();
    for record in view::workloads(layout)?.iter().filter(|record| record.id.kind == Kind::Deployment) {
        let pods = pod_statuses(layout, record);
        for json in shown::replica_sets(metadata(record), &record.spec, &record.state, &pods, now) {
            let name = json.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let id = ObjectRef::new(Kind::ReplicaSet, &record.id.namespace, name);
            found.push(Object::new(id, json));
        }
    }
    Ok(found)
}
