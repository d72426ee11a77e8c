//! Namespaces.

use k8s_openapi::api::core::v1::Namespace;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Namespace,
    columns: &[column("NAME"), column("STATUS"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(namespace: &Namespace, look: Look) -> Vec<String> {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
    vec![name(&namespace.metadata), phase, age(&namespace.metadata, look)]
}
