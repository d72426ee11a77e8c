//! Tests of the reader on recorded instances.

use k8s_openapi::api::apps::v1::Deployment;

use super::*;
use crate::observe::tests::fixture::{layout, planned, record};

/// default: the pod web, the Deployment api with a pod; shop: the pod db; a ConfigMap and a Secret.
fn machine() -> (tempfile::TempDir, Layout) {
    let (dir, layout) = layout();
    record(&layout, Kind::Pod, "default", "web", vec![planned("default", "web", &json!({"app": "web"}))]);
    let api = planned("default", "api-1a2b-xxxxx", &json!({"app": "api"}));
    record(&layout, Kind::Deployment, "default", "api", vec![api]);
    record(&layout, Kind::Pod, "shop", "db", vec![planned("shop", "db", &json!({}))]);
    for (kind, namespace, name) in [(Kind::ConfigMap, "default", "conf"), (Kind::Secret, "blog", "login")] {
        let object = json!({"metadata": {"name": name, "labels": {"app": "web"}}, "data": {"a": "MQ=="}});
        Objects::put(&layout, &ObjectRef::new(kind, namespace, name), &object).unwrap();
    }
    (dir, layout)
}

fn names(layout: &Layout, kind: Kind) -> Vec<String> {
    let all = Reader::without_host_ips(layout).list(kind).unwrap();
    all.iter().map(|object| format!("{} in {:?}", object.id, object.id.namespace)).collect()
}

#[test]
fn every_kind_lists_its_objects_in_order() {
    let (_dir, layout) = machine();
    assert_eq!(
        names(&layout, Kind::Pod),
        ["pod/api-1a2b-xxxxx in \"default\"", "pod/web in \"default\"", "pod/db in \"shop\""]
    );
    assert_eq!(names(&layout, Kind::Deployment), ["deployment.apps/api in \"default\""]);
    assert_eq!(names(&layout, Kind::ConfigMap), ["configmap/conf in \"default\""]);
    assert_eq!(
        names(&layout, Kind::Namespace),
        ["namespace/blog in \"\"", "namespace/default in \"\"", "namespace/shop in \"\""]
    );
    assert_eq!(names(&layout, Kind::Node).len(), 1);
    for kind in listed() {
        names(&layout, kind);
    }
}

#[test]
fn every_object_says_what_it_is_and_when_it_was_created() {
    let (_dir, layout) = machine();
    let reader = Reader::new(&layout);
    for kind in listed() {
        for object in reader.list(kind).unwrap() {
            let json = object.to_json().unwrap();
            assert_eq!((&json["apiVersion"], &json["kind"]), (&json!(kind.api_version()), &json!(kind)));
            let metadata = &json["metadata"];
            assert_eq!(metadata["name"], object.id.name, "{json:#}");
            assert!(metadata["creationTimestamp"].is_string(), "{json:#}");
            assert_eq!(metadata["namespace"].as_str().unwrap_or_default(), object.id.namespace, "{json:#}");
        }
    }
    let deployment: Deployment = reader.list(Kind::Deployment).unwrap().remove(0).parse().unwrap();
    assert!(deployment.status.is_some());
    assert_eq!(reader.list(Kind::ConfigMap).unwrap()[0].labels()["app"], "web");
    assert!(reader.list(Kind::Pod).unwrap()[0].pod().is_some());
}

#[test]
fn a_name_that_is_not_found_comes_with_what_was_probably_meant() {
    let (_dir, layout) = machine();
    let missing = |kind, namespace: &str, name: &str| {
        let all = Reader::without_host_ips(&layout).list(kind).unwrap();
        match not_found(&layout, &ObjectRef::new(kind, namespace, name), &all) {
            query::Error::NotFound { hint, .. } => hint,
            other => panic!("{other}"),
        }
    };
    let conf = ObjectRef::new(Kind::ConfigMap, "default", "conf");
    assert_eq!(missing(Kind::ConfigMap, "default", "cnof"), Some(Hint::Similar(conf)));
    assert_eq!(missing(Kind::Secret, "default", "login"), Some(Hint::OtherNamespace("blog".to_owned())));
    let api = ObjectRef::new(Kind::Deployment, "default", "api");
    assert_eq!(missing(Kind::Pod, "default", "api"), Some(Hint::Similar(api)));
    let shop = ObjectRef::new(Kind::Namespace, "", "shop");
    assert_eq!(missing(Kind::Namespace, "", "shopp"), Some(Hint::Similar(shop)));
    assert_eq!(missing(Kind::Node, "", "zzzzzz"), None);
}

#[test]
fn a_recorded_object_that_is_damaged_is_an_error_of_its_own() {
    let (_dir, layout) = machine();
    let id = ObjectRef::new(Kind::ConfigMap, "default", "conf");
    std::fs::write(Objects::path(&layout, &id), "{").unwrap();
    let all = Reader::without_host_ips(&layout).list(Kind::ConfigMap).unwrap();
    assert!(all.is_empty());
    let error = not_found(&layout, &id, &all);
    assert!(matches!(error, query::Error::Store(store::Error::Damaged { .. })), "{error}");
}
