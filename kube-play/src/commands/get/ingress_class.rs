//! IngressClasses.

use k8s_openapi::api::networking::v1::{IngressClass, IngressClassParametersReference};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name, or_none};

pub const TABLE: KindTable = KindTable {
    kind: Kind::IngressClass,
    columns: &[column("NAME"), column("CONTROLLER"), column("PARAMETERS"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(class: &IngressClass, look: Look) -> Vec<String> {
    let spec = class.spec.clone().unwrap_or_default();
    let parameters = |one: &IngressClassParametersReference| match one.api_group.as_deref() {
        Some(group) if !group.is_empty() => format!("{}.{group}/{}", one.kind, one.name),
        _ => format!("{}/{}", one.kind, one.name),
    };
    vec![
        name(&class.metadata),
        or_none(spec.controller.as_deref()),
        or_none(spec.parameters.as_ref().map(parameters).as_deref()),
        age(&class.metadata, look),
    ]
}
