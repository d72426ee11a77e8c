//! StorageClasses.

use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::StorageClass,
    columns: &[
        column("NAME"),
        column("PROVISIONER"),
        column("RECLAIMPOLICY"),
        column("VOLUMEBINDINGMODE"),
        column("ALLOWVOLUMEEXPANSION"),
        column("AGE"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(class: &StorageClass, look: Look) -> Vec<String> {
    let mut name = name(&class.metadata);
    if is_default(&class.metadata) {
        name.push_str(" (default)");
    }
    vec![
        name,
        class.provisioner.clone(),
        class.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned()),
        class.volume_binding_mode.clone().unwrap_or_else(|| "Immediate".to_owned()),
        class.allow_volume_expansion.unwrap_or_default().to_string(),
        age(&class.metadata, look),
    ]
}

/// Returns whether a class is that of claims that name none (Kubernetes documentation, "Storage Classes").
pub fn is_default(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    let mark = annotations.and_then(|all| all.get("storageclass.kubernetes.io/is-default-class"));
    mark.is_some_and(|mark| mark == "true")
}
