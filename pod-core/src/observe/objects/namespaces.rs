//! Namespaces: `default`, and those of the objects that exist.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{Error, Object, completed};
use crate::kind::{Kind, ObjectRef};
use crate::observe::view;
use crate::store::{Layout, Objects};
use crate::volume::claims;

/// The label that every namespace has (Kubernetes reference, "Well-Known Labels, Annotations and Taints").
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Returns the namespaces. One is as old as the oldest of its objects, `default` as old as the tree below `--root`.
pub fn namespaces(layout: &Layout) -> Result<Vec<Object>, Error> {
    let mut found: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
    let mut add = |namespace: &str, created: Option<Timestamp>| {
        let oldest = found.entry(namespace.to_owned()).or_insert(created);
        *oldest = match (*oldest, created) {
            (Some(oldest), Some(created)) => Some(oldest.min(created)),
            (oldest, created) => oldest.or(created),
        };
    };
    add("default", created_at(layout));
    for record in view::workloads(layout)? {
        add(&record.id.namespace, Some(record.created));
    }
    for kind in Kind::played().filter(|kind| !kind.is_workload() && kind.is_namespaced()) {
        for recorded in Objects::recorded(layout, kind)? {
            add(&recorded.id.namespace, recorded.created);
        }
    }
    for claim in claims::list(layout)? {
        add(&claim.namespace, Some(claim.created));
    }
    let object = |(name, created): (String, Option<Timestamp>)| {
        let id = ObjectRef::new(Kind::Namespace, "", &name);
        let json = json!({
            "metadata": {"labels": {NAME_LABEL: name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        Object::new(id.clone(), completed(&id, json, created))
    };
    Ok(found.into_iter().map(object).collect())
}

/// Returns when the tree below `--root` was created, if its file system knows (statx(2), btime).
pub fn created_at(layout: &Layout) -> Option<Timestamp> {
    let created = std::fs::metadata(&layout.root).and_then(|folder| folder.created()).ok()?;
    Timestamp::try_from(created).ok()
}
