//! Claims: creation, listing, removal.

use std::fs;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::super::claims::{Data, Error, data, ensure, list, remove};
use super::{Place, mode, pod};
use crate::kind::{Kind, ObjectRef};
use crate::record::{Desired, PodRecord, WorkloadRecord};
use crate::store::{Objects, WorkloadId};
use crate::workload::{Rule, Spec};

fn claim(storage: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }))
    .unwrap()
}

fn record(place: &Place, source: Value) {
    let plan = pod(source);
    let spec = Spec {
        generation: 1,
        object: json!({}),
        hash: String::new(),
        source: String::new(),
        rule: Rule::Once,
        template: plan.template(),
        running: false,
        replaced: 0,
    };
    let id = WorkloadId::new(Kind::Pod, "default", "web");
    let mut record = WorkloadRecord::new(id, "w".to_owned(), jiff::Timestamp::UNIX_EPOCH, spec);
    record.pods.push(PodRecord::new(plan, Desired::Stopped));
    record.save(&place.layout).unwrap();
}

/// Creates the claim `data`, and returns its folder.
fn made(place: &Place) -> std::path::PathBuf {
    let claim = ensure(&place.layout, "default", "data", None).unwrap();
    match data(&place.layout, &claim).unwrap() {
        Data::Folder(path) => path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claim_outlives_pods_and_is_open_to_every_user() {
    let place = Place::new();
    let source = json!({"persistentVolumeClaim": {"claimName": "data"}});
    let path = place.prepare(source.clone()).unwrap();
    assert_eq!(mode(&path), 0o777);
    assert_eq!(mode(&place.layout.volumes()), 0o700, "only root reaches it from the host");
    fs::write(path.join("file"), "kept").unwrap();
    place.remove();
    assert_eq!(place.prepare(source).unwrap(), path);
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept");
}

#[test]
fn list_shows_what_was_asked_for_and_who_uses_it() {
    let place = Place::new();
    ensure(&place.layout, "default", "data", Some(&claim("1Gi"))).unwrap();
    ensure(&place.layout, "default", "used-only", None).unwrap();
    ensure(&place.layout, "other", "data", None).unwrap();
    record(&place, json!({"persistentVolumeClaim": {"claimName": "data"}}));
    let found = list(&place.layout).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|c| {
            (c.namespace.as_str(), c.name.as_str(), c.storage.as_deref(), c.declared, c.used_by.join(","))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("default", "data", Some("1Gi"), true, "pod/web".to_owned()),
            ("default", "used-only", None, false, String::new()),
            ("other", "data", None, false, String::new()),
        ]
    );
}

#[test]
fn a_claim_that_is_played_after_its_first_use_keeps_its_files_and_its_age() {
    let place = Place::new();
    let path = made(&place);
    fs::write(path.join("file"), "kept").unwrap();
    let first = list(&place.layout).unwrap().remove(0);
    ensure(&place.layout, "default", "data", Some(&claim("1Gi"))).unwrap();
    ensure(&place.layout, "default", "data", None).unwrap();
    let now = list(&place.layout).unwrap().remove(0);
    assert_eq!((now.created, now.storage.as_deref(), now.declared), (first.created, Some("1Gi"), true));
    assert!(path.join("file").exists());
}

#[test]
fn a_claim_that_a_recorded_pod_mounts_is_not_removed() {
    let place = Place::new();
    let path = made(&place);
    record(&place, json!({"persistentVolumeClaim": {"claimName": "data"}}));
    let error = remove(&place.layout, "default", "data").unwrap_err();
    assert_eq!(error.to_string(), "volume default/data is in use by pod/web");
    assert!(path.exists());
    record(&place, json!({"emptyDir": {}}));
    remove(&place.layout, "default", "data").unwrap();
    assert!(!place.layout.volumes().join("default").exists());
}

#[test]
fn remove_forgets_the_object_too() {
    let place = Place::new();
    let object = serde_json::to_value(claim("1Gi")).unwrap();
    let id = ObjectRef::new(Kind::PersistentVolumeClaim, "default", "data");
    Objects::put(&place.layout, &id, &object).unwrap();
    remove(&place.layout, "default", "data").unwrap();
    assert!(Objects::load(&place.layout).unwrap().claims.is_empty());
    assert!(matches!(remove(&place.layout, "default", "data"), Err(Error::NotFound { .. })));
}

#[test]
fn names_that_lead_elsewhere_are_not_found() {
    let place = Place::new();
    let path = made(&place);
    for (namespace, name) in [("..", "volumes"), ("default", "../default/data"), ("default", ""), ("", ".")] {
        let error = remove(&place.layout, namespace, name).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    assert!(path.exists());
}

#[test]
fn what_a_crash_left_half_removed_is_removed_by_the_next_call() {
    let place = Place::new();
    let path = made(&place);
    fs::remove_dir(&path).unwrap();
    assert_eq!(list(&place.layout).unwrap().len(), 1);
    remove(&place.layout, "default", "data").unwrap();
    assert_eq!(list(&place.layout).unwrap(), []);
}
