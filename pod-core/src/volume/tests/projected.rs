//! downwardAPI and projected volumes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::super::update;
use super::{Place, mode, mounted, pod};

#[test]
fn downward_api_files_show_metadata_and_resources() {
    let place = Place::new();
    let mut plan = pod(json!({"downwardAPI": {"defaultMode": 0o440, "items": [
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}},
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "notes/one", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.annotations['a']"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "requests.memory", "divisor": "1Mi"}},
    ]}}));
    plan.pod.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    plan.pod.metadata.annotations = Some([("a".to_owned(), "x\ny".to_owned())].into());
    plan.pod.spec.as_mut().unwrap().containers[0].resources =
        serde_json::from_value(json!({"limits": {"cpu": "1500m"}, "requests": {"memory": "1500Ki"}}))
            .unwrap();
    let path = super::prepared(&place, &plan).unwrap();
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert_eq!(read("name"), "web");
    assert_eq!(read("uid"), "u-1");
    assert_eq!(read("labels"), "app=\"web\"");
    assert_eq!(read("notes/one"), "x\ny");
    assert_eq!((read("cpu").as_str(), read("memory").as_str()), ("1500", "2"));
    assert_eq!((mode(&path.join("name")), mode(&path.join("notes/one"))), (0o440, 0o400));
}

#[test]
fn a_projected_volume_has_the_files_of_all_its_sources() {
    let mut place = Place::new();
    place.config_map("m", json!({"a": "map", "same": "first"}));
    place.secret("s", json!({"key": "c2VjcmV0", "same": "bGFzdA=="}));
    let source = json!({"projected": {"defaultMode": 0o400, "sources": [
        {"configMap": {"name": "m"}},
        {"secret": {"name": "s", "items": [{"key": "key", "path": "deep/key", "mode": 0o600}, {"key": "same", "path": "same"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"configMap": {"name": "absent", "optional": true}},
    ]}});
    let path = place.prepare(source.clone()).unwrap();
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert_eq!((read("a"), read("deep/key"), read("name")), ("map".into(), "secret".into(), "web".into()));
    assert_eq!(read("same"), "last", "a later source wins");
    assert_eq!((mode(&path.join("a")), mode(&path.join("deep/key"))), (0o400, 0o600));
    assert!(mounted(&path)[0].contains(" tmpfs "), "a Secret is never on disk");

    // A source that was optional and absent appears while the pod runs.
    place.config_map("absent", json!({"late": "1"}));
    update(&place.layout, &pod(source), &place.objects).unwrap();
    assert_eq!(read("late"), "1");
    place.remove();
    assert!(!path.exists());
}

#[test]
fn a_projected_volume_without_one_of_its_objects_is_an_error() {
    let mut place = Place::new();
    place.config_map("m", json!({"a": "map"}));
    let messages: Vec<String> = [
        json!({"secret": {"name": "s"}}),
        json!({"configMap": {"name": "m", "items": [{"key": "b", "path": "b"}]}}),
        json!({"serviceAccountToken": {"path": "token"}}),
    ]
    .into_iter()
    .map(|source| place.prepare(json!({"projected": {"sources": [source]}})).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    CreateContainerConfigError: volume v: secret "s" not found in namespace "default"
    CreateContainerConfigError: volume v: configmap "m" has no key "b"
    CreateContainerConfigError: volume v: it has a source that needs an API server
    "#);
}

#[test]
fn default_user_and_the_users_of_items_own_the_files() {
    let mut place = Place::new();
    place.config_map("m", json!({"a": "1", "b": "2"}));
    let items = json!([{"key": "a", "path": "a"}, {"key": "b", "path": "b", "user": 2000}]);
    let path =
        place.prepare(json!({"configMap": {"name": "m", "defaultUser": 1000, "items": items}})).unwrap();
    let owner = |name: &str| fs::metadata(path.join(name)).unwrap().uid();
    assert_eq!((owner("a"), owner("b")), (1000, 2000));
}
