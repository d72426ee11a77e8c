//! PersistentVolumeClaims.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use pod_core::kind::Kind;

use super::table::{KindTable, Look, access_modes, age, column, name, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::PersistentVolumeClaim,
    columns: &[
        column("NAME"),
        column("STATUS"),
        column("VOLUME"),
        column("CAPACITY"),
        column("ACCESS MODES"),
        column("STORAGECLASS"),
        column("VOLUMEATTRIBUTESCLASS"),
        column("AGE"),
        wide("VOLUMEMODE"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(claim: &PersistentVolumeClaim, look: Look) -> Vec<String> {
    let spec = claim.spec.clone().unwrap_or_default();
    let status = claim.status.clone().unwrap_or_default();
    let capacity = status.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
    vec![
        name(&claim.metadata),
        status.phase.unwrap_or_default(),
        spec.volume_name.unwrap_or_default(),
        capacity.map(|capacity| capacity.0.clone()).unwrap_or_default(),
        access_modes(status.access_modes.as_deref()),
        spec.storage_class_name.unwrap_or_default(),
        spec.volume_attributes_class_name.unwrap_or_else(|| "<unset>".to_owned()),
        age(&claim.metadata, look),
        spec.volume_mode.unwrap_or_else(|| "<unset>".to_owned()),
    ]
}
