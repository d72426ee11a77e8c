//! PersistentVolumes.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, access_modes, age, column, name, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::PersistentVolume,
    columns: &[
        column("NAME"),
        column("CAPACITY"),
        column("ACCESS MODES"),
        column("RECLAIM POLICY"),
        column("STATUS"),
        column("CLAIM"),
        column("STORAGECLASS"),
        column("VOLUMEATTRIBUTESCLASS"),
        column("REASON"),
        column("AGE"),
        wide("VOLUMEMODE"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(volume: &PersistentVolume, look: Look) -> Vec<String> {
    let spec = volume.spec.clone().unwrap_or_default();
    let status = volume.status.clone().unwrap_or_default();
    let capacity = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
    vec![
        name(&volume.metadata),
        capacity.map(|capacity| capacity.0.clone()).unwrap_or_default(),
        access_modes(spec.access_modes.as_deref()),
        spec.persistent_volume_reclaim_policy.unwrap_or_default(),
        status.phase.unwrap_or_default(),
        spec.claim_ref.as_ref().map(claim).unwrap_or_default(),
        spec.storage_class_name.unwrap_or_default(),
        spec.volume_attributes_class_name.unwrap_or_else(|| "<unset>".to_owned()),
        status.reason.unwrap_or_default(),
        age(&volume.metadata, look),
        spec.volume_mode.unwrap_or_else(|| "<unset>".to_owned()),
    ]
}

/// Returns the claim of a volume: `default/data`.
pub fn claim(claim: &ObjectReference) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", text(&claim.namespace), text(&claim.name))
}
