//! ReplicaSets.

use k8s_openapi::api::apps::v1::ReplicaSet;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, containers, name, selector, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::ReplicaSet,
    columns: &[
        column("NAME"),
        column("DESIRED"),
        column("CURRENT"),
        column("READY"),
        column("AGE"),
        wide("CONTAINERS"),
        wide("IMAGES"),
        wide("SELECTOR"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(set: &ReplicaSet, look: Look) -> Vec<String> {
    let status = set.status.clone().unwrap_or_default();
    let [names, images] = set.spec.template.as_ref().map(containers).unwrap_or_default();
    vec![
        name(&set.metadata),
        set.spec.replicas.unwrap_or(1).to_string(),
        status.replicas.to_string(),
        status.ready_replicas.unwrap_or_default().to_string(),
        age(&set.metadata, look),
        names,
        images,
        selector(&set.spec.selector),
    ]
}
