//! Secrets. Their values are never in a table.

use k8s_openapi::api::core::v1::Secret;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Secret,
    columns: &[column("NAME"), column("TYPE"), column("DATA"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(secret: &Secret, look: Look) -> Vec<String> {
    let keys = secret.data.as_ref().map_or(0, |data| data.len());
    let kind = secret.type_.clone().unwrap_or_else(|| "Opaque".to_owned());
    vec![name(&secret.metadata), kind, keys.to_string(), age(&secret.metadata, look)]
}
