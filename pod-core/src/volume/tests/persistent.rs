//! PersistentVolumes, ephemeral claims, copies of claims.

use std::fs;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::super::claims::{self, Claim, Data, Error};
use super::super::persistent::{self, Phase};
use super::{Place, pod, prepared};
use crate::kind::{Kind, ObjectRef};
use crate::store::Objects;

fn play(place: &Place, name: &str, spec: Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec,
    });
    let id = ObjectRef::new(Kind::PersistentVolume, "", name);
    Objects::put(&place.layout, &id, &object).unwrap();
    persistent::ensure(&place.layout, name).unwrap();
}

fn host_path(place: &Place, name: &str, policy: &str) {
    let path = place.path(name);
    play(
        place,
        name,
        json!({
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path},
            "persistentVolumeReclaimPolicy": policy,
        }),
    );
}

fn claim(name: &str, more: Value) -> PersistentVolumeClaim {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec})).unwrap()
}

fn made(place: &Place, name: &str, more: Value) -> Result<Claim, Error> {
    claims::ensure(&place.layout, "default", name, Some(&claim(name, more)))
}

fn phases(place: &Place) -> Vec<(String, Phase)> {
    persistent::list(&place.layout).unwrap().into_iter().map(|it| (it.name, it.phase)).collect()
}

#[test]
fn a_volume_is_available_then_bound_then_released_and_keeps_its_files() {
    let place = Place::new();
    host_path(&place, "disk", "Retain");
    assert_eq!(phases(&place), [("disk".to_owned(), Phase::Available)]);
    let bound = made(&place, "data", json!({})).unwrap();
    assert_eq!(bound.volume.as_deref(), Some("disk"));
    assert_eq!(phases(&place)[0].1, Phase::Bound);
    assert!(matches!(persistent::remove(&place.layout, "disk"), Err(Error::VolumeInUse { .. })));
    let path = place.prepare(json!({"persistentVolumeClaim": {"claimName": "data"}})).unwrap();
    assert_eq!(path, place.path("disk"));
    fs::write(path.join("file"), "kept").unwrap();
    assert_eq!(made(&place, "data", json!({})).unwrap(), bound, "a claim that is played again stays bound");

    claims::remove(&place.layout, "default", "data").unwrap();
    let list = persistent::list(&place.layout).unwrap();
    assert_eq!(list[0].phase, Phase::Released);
    assert_eq!(list[0].claim, Some(("default".to_owned(), "data".to_owned())));
    assert!(path.join("file").exists());
    let error = made(&place, "other", json!({"volumeName": "disk"})).unwrap_err();
    assert!(error.to_string().contains("which was removed"), "{error}");
    persistent::remove(&place.layout, "disk").unwrap();
    assert_eq!(phases(&place), []);
    assert!(path.join("file").exists());
    host_path(&place, "disk", "Retain");
    assert_eq!(phases(&place)[0].1, Phase::Available, "a volume that is played again is a new one");
}

#[test]
fn reclaim_policy_delete_removes_the_volume_and_files_only_below_tmp() {
    let place = Place::new();
    let is_below_tmp = place.dir.path().starts_with("/tmp");
    host_path(&place, "disk", "Delete");
    made(&place, "data", json!({})).unwrap();
    let path = place.prepare(json!({"persistentVolumeClaim": {"claimName": "data"}})).unwrap();
    claims::remove(&place.layout, "default", "data").unwrap();
    assert_eq!(path.exists(), !is_below_tmp);
    if !is_below_tmp {
        let volume = persistent::list(&place.layout).unwrap().remove(0);
        assert_eq!(volume.phase, Phase::Failed);
        assert!(volume.message.unwrap().starts_with("host_path deleter only supports /tmp/.+"));
    }
    let fixed = json!({
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/usr/share/kube-test-none"}, "persistentVolumeReclaimPolicy": "Delete",
    });
    play(&place, "fixed", fixed);
    made(&place, "data", json!({"volumeName": "fixed"})).unwrap();
    claims::remove(&place.layout, "default", "data").unwrap();
    assert!(phases(&place).contains(&("fixed".to_owned(), Phase::Failed)));
}

#[test]
fn what_a_crash_left_of_a_reclaimed_volume_is_removed_by_a_sweep() {
    let place = Place::new();
    let path = std::path::PathBuf::from(format!("/tmp/kube-test-{}/disk", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    let spec = json!({
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path},
        "persistentVolumeReclaimPolicy": "Delete",
    });
    play(&place, "disk", spec.clone());
    let record = place.layout.persistent_volume("disk");
    let record_of = |text: &str| fs::write(&record, text).unwrap();
    record_of(r#"{"created": "2026-11-23T18:00:00Z", "releasedFrom": ["default", "data"]}"#);
    assert_eq!(phases(&place), [("disk".to_owned(), Phase::Released)]);
    persistent::sweep(&place.layout).unwrap();
    assert_eq!(phases(&place), []);
    assert!(!path.exists() && !record.exists());
    fs::remove_dir(path.parent().unwrap()).unwrap();
    play(&place, "disk", spec);
    let id = ObjectRef::new(Kind::PersistentVolume, "", "disk");
    Objects::remove(&place.layout, &id).unwrap();
    persistent::sweep(&place.layout).unwrap();
    assert!(!record.exists(), "a record without a manifest");
}

#[test]
fn two_claims_never_get_the_same_volume() {
    let place = Place::new();
    host_path(&place, "disk", "Retain");
    let bound = made(&place, "one", json!({})).unwrap();
    let other = made(&place, "two", json!({})).unwrap();
    assert_eq!((bound.volume.as_deref(), other.volume.as_deref()), (Some("disk"), None));
    let error = made(&place, "three", json!({"storageClassName": ""})).unwrap_err();
    assert!(error.to_string().contains("claim default/one has it"), "{error}");
    assert!(!claims::exists(&place.layout, "default", "three"), "nothing is left of it");
}

#[test]
fn a_local_volume_has_to_exist() {
    let place = Place::new();
    let local = json!({
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": place.path("disk")},
    });
    play(&place, "disk", local);
    made(&place, "data", json!({})).unwrap();
    let source = json!({"persistentVolumeClaim": {"claimName": "data"}});
    let error = place.prepare(source.clone()).unwrap_err();
    assert!(error.message.contains("does not exist"), "{error}");
    fs::create_dir(place.path("disk")).unwrap();
    assert_eq!(place.prepare(source).unwrap(), place.path("disk"));
}

fn ephemeral() -> Value {
    json!({"ephemeral": {"volumeClaimTemplate": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }}})
}

#[test]
fn an_ephemeral_claim_belongs_to_its_pod_and_is_removed_with_it() {
    let place = Place::new();
    let path = place.prepare(ephemeral()).unwrap();
    fs::write(path.join("file"), "").unwrap();
    assert_eq!(place.prepare(ephemeral()).unwrap(), path, "a restarted container finds its data");
    let claim = claims::get(&place.layout, "default", "web-v").unwrap();
    assert_eq!(claim.owner.unwrap().uid, "u-1");
    assert!(claims::standing(&place.layout).unwrap().is_empty(), "it is not for `down` to remove");
    place.remove();
    assert!(!path.exists() && !claims::exists(&place.layout, "default", "web-v"));
}

#[test]
fn a_claim_that_the_pod_does_not_own_is_not_used_for_an_ephemeral_volume() {
    let place = Place::new();
    claims::ensure(&place.layout, "default", "web-v", None).unwrap();
    let error = place.prepare(ephemeral()).unwrap_err();
    assert_eq!(
        error.message,
        "volume v: PVC default/web-v was not created for pod default/web (pod is not owner)"
    );
    place.remove();
    assert!(claims::exists(&place.layout, "default", "web-v"), "it is not removed either");
}

#[test]
fn a_claim_with_a_source_begins_with_a_copy_of_its_data() {
    ::tests::need_root!();
    let place = Place::new();
    let original = claims::ensure(&place.layout, "default", "old", None).unwrap();
    let Data::Folder(path) = claims::data(&place.layout, &original).unwrap() else { panic!() };
    fs::create_dir(path.join("sub")).unwrap();
    fs::write(path.join("sub/file"), "data").unwrap();
    let source = json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "old"}});
    made(&place, "new", source.clone()).unwrap();
    let copy = place.prepare(json!({"persistentVolumeClaim": {"claimName": "new"}})).unwrap();
    assert_eq!(fs::read_to_string(copy.join("sub/file")).unwrap(), "data");
    fs::write(path.join("sub/file"), "changed").unwrap();
    made(&place, "new", source).unwrap();
    assert_eq!(fs::read_to_string(copy.join("sub/file")).unwrap(), "data", "it is copied once");
    let absent = json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "absent"}});
    assert!(matches!(made(&place, "none", absent), Err(Error::NoSource { .. })));
}

#[test]
fn a_copy_that_was_not_completed_is_made_again() {
    ::tests::need_root!();
    let place = Place::new();
    let original = claims::ensure(&place.layout, "default", "old", None).unwrap();
    let Data::Folder(path) = claims::data(&place.layout, &original).unwrap() else { panic!() };
    fs::write(path.join("file"), "data").unwrap();
    let source = json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "old"}});
    made(&place, "new", source.clone()).unwrap();
    let data = place.layout.volumes().join("default/new/data");
    // As after a crash: the record exists, the copy has not got its name.
    fs::rename(&data, data.with_extension("copy.1")).unwrap();
    made(&place, "new", source).unwrap();
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "data");
    claims::remove(&place.layout, "default", "new").unwrap();
    assert!(!place.layout.volumes().join("default/new").exists());
}

#[test]
fn a_block_claim_is_a_device_and_not_a_folder() {
    let place = Place::new();
    made(&place, "raw", json!({"volumeMode": "Block", "resources": {"requests": {"storage": "8Mi"}}}))
        .unwrap();
    let file = place.layout.volumes().join("default/raw/block");
    assert_eq!(fs::metadata(file).unwrap().len(), 8 << 20);
    let error = prepared(&place, &pod(json!({"persistentVolumeClaim": {"claimName": "raw"}}))).unwrap_err();
    assert_eq!(error.message, "volume v: has volumeMode Block, but is specified in volumeMounts");
}
