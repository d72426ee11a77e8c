//! RuntimeClasses.

use k8s_openapi::api::node::v1::RuntimeClass;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::RuntimeClass,
    columns: &[column("NAME"), column("HANDLER"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(class: &RuntimeClass, look: Look) -> Vec<String> {
    vec![name(&class.metadata), class.handler.clone(), age(&class.metadata, look)]
}
