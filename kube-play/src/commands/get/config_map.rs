//! ConfigMaps.

use k8s_openapi::api::core::v1::ConfigMap;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::ConfigMap,
    columns: &[column("NAME"), column("DATA"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(map: &ConfigMap, look: Look) -> Vec<String> {
    let texts = map.data.as_ref().map_or(0, |data| data.len());
    let bytes = map.binary_data.as_ref().map_or(0, |data| data.len());
    vec![name(&map.metadata), (texts + bytes).to_string(), age(&map.metadata, look)]
}
