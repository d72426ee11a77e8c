//! PersistentVolumeClaims and PersistentVolumes with their status.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Error, Object, completed};
use crate::kind::{Kind, ObjectRef};
use crate::store::{Layout, Objects, Recorded};
use crate::volume::claims::{self, Claim};
use crate::volume::persistent::{self, Volume};

/// Returns the claims: those that were played, and those that were created because a pod uses them.
pub fn claims(layout: &Layout) -> Result<Vec<Object>, Error> {
    let mut played = played(layout, Kind::PersistentVolumeClaim)?;
    let volumes = Objects::persistent_volumes(layout)?;
    let mut found = Vec::new();
    for claim in claims::list(layout)? {
        let id = ObjectRef::new(Kind::PersistentVolumeClaim, &claim.namespace, &claim.name);
        let object = played.remove(&id).map(|recorded| recorded.object);
        let is_lost = claim.volume.as_ref().is_some_and(|volume| !volumes.contains_key(volume));
        found.push(Object::new(id, claim_object(&claim, object, is_lost)));
    }
    // A claim without a volume was recorded, and its volume could not be created.
    for (id, recorded) in played {
        let mut json = completed(&id, recorded.object, recorded.created);
        if let Value::Object(top) = &mut json {
            top.insert("status".to_owned(), json!({"phase": "Pending"}));
        }
        found.push(Object::new(id, json));
    }
    Ok(found)
}

/// Returns the PersistentVolumes.
pub fn volumes(layout: &Layout) -> Result<Vec<Object>, Error> {
    let mut played = played(layout, Kind::PersistentVolume)?;
    let mut found = Vec::new();
    for volume in persistent::list(layout)? {
        let id = ObjectRef::new(Kind::PersistentVolume, "", &volume.name);
        if let Some(recorded) = played.remove(&id) {
            found.push(Object::new(id, volume_object(&volume, recorded.object)));
        }
    }
    Ok(found)
}

fn played(layout: &Layout, kind: Kind) -> Result<BTreeMap<ObjectRef, Recorded>, Error> {
    let all = Objects::recorded(layout, kind)?;
    Ok(all.into_iter().map(|recorded| (recorded.id.clone(), recorded)).collect())
}

/// Returns a claim: the played manifest, or an equivalent one, with what Kubernetes adds.
fn claim_object(claim: &Claim, played: Option<Value>, is_lost: bool) -> Value {
    let id = ObjectRef::new(Kind::PersistentVolumeClaim, &claim.namespace, &claim.name);
    let mut object = completed(&id, played.unwrap_or_default(), Some(claim.created));
    let Value::Object(top) = &mut object else { return object };
    if let (Some(Value::Object(metadata)), Some(owner)) = (top.get_mut("metadata"), &claim.owner) {
        metadata.insert(
            "ownerReferences".to_owned(),
            json!([{
                "apiVersion": "v1", "kind": Kind::Pod, "name": owner.name, "uid": owner.uid,
                "controller": true, "blockOwnerDeletion": true,
            }]),
        );
    }
    let spec = top.entry("spec").or_insert_with(|| json!({"accessModes": ["ReadWriteOnce"]}));
    if let Value::Object(spec) = spec {
        if let Some(volume) = &claim.volume {
            spec.insert("volumeName".to_owned(), json!(volume));
        }
        let mode = if claim.block { "Block" } else { "Filesystem" };
        spec.entry("volumeMode").or_insert_with(|| json!(mode));
    }
    let mut status = Map::new();
    status.insert("phase".to_owned(), json!(if is_lost { "Lost" } else { "Bound" }));
    if !claim.access_modes.is_empty() {
        status.insert("accessModes".to_owned(), json!(claim.access_modes));
    }
    if let Some(storage) = &claim.storage {
        status.insert("capacity".to_owned(), json!({"storage": storage}));
    }
    top.insert("status".to_owned(), Value::Object(status));
    object
}

/// Returns a PersistentVolume as it was played, with its claim and its status.
fn volume_object(volume: &Volume, played: Value) -> Value {
    let id = ObjectRef::new(Kind::PersistentVolume, "", &volume.name);
    let mut object = completed(&id, played, volume.created);
    let Value::Object(top) = &mut object else { return object };
    if let Some(Value::Object(spec)) = top.get_mut("spec") {
        if let Some((namespace, name)) = &volume.claim {
            let kind = Kind::PersistentVolumeClaim;
            spec.insert(
                "claimRef".to_owned(),
                json!({"apiVersion": kind.api_version(), "kind": kind, "namespace": namespace, "name": name}),
            );
        }
        spec.entry("persistentVolumeReclaimPolicy").or_insert_with(|| json!("Retain"));
        spec.entry("volumeMode").or_insert_with(|| json!("Filesystem"));
    }
    let mut status = json!({"phase": volume.phase.as_str()});
    if let (Value::Object(status), Some(message)) = (&mut status, &volume.message) {
        status.insert("message".to_owned(), json!(message));
        status.insert("reason".to_owned(), json!("VolumeFailedDelete"));
    }
    top.insert("status".to_owned(), status);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: &str, storage: Option<&str>) -> Claim {
        Claim {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            created: "2026-11-23T12:00:00.5Z".parse().unwrap(),
            storage: storage.map(str::to_owned),
            access_modes: storage.map(|_| "ReadWriteOnce".to_owned()).into_iter().collect(),
            declared: storage.is_some(),
            made_for: None,
            owner: None,
            volume: None,
            block: false,
            copy_of: None,
            used_by: Vec::new(),
            path: "/var/lib/kube-play/volumes/default/data/data".into(),
        }
    }

    #[test]
    fn a_claim_is_shown_whether_it_was_played_or_not() {
        let played =
            json!({"spec": {"accessModes": ["ReadWriteOnce"]}, "metadata": {"labels": {"app": "web"}}});
        let lost = Claim { volume: Some("disk".to_owned()), ..claim("old", None) };
        let shown = [
            claim_object(&claim("data", Some("1Gi")), Some(played), false),
            claim_object(&claim("scratch", None), None, false),
            claim_object(&lost, None, true),
        ];
        insta::assert_snapshot!(crate::manifest::to_yaml(&shown));
    }

    #[test]
    fn a_claim_whose_volume_was_not_created_is_pending() {
        let (_dir, layout) = crate::observe::tests::fixture::layout();
        let id = ObjectRef::new(Kind::PersistentVolumeClaim, "default", "data");
        Objects::put(&layout, &id, &json!({"metadata": {"name": "data"}})).unwrap();
        let found = claims(&layout).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_json().unwrap()["status"], json!({"phase": "Pending"}));
    }
}
