use std::collections::HashSet;

use super::*;

#[test]
fn every_name_belongs_to_exactly_one_kind() {
    let mut seen = HashSet::new();
    for &kind in Kind::ALL {
        let names = [kind.singular(), kind.plural()].into_iter().chain(kind.short_names().iter().copied());
        for name in names.collect::<HashSet<_>>() {
            assert!(seen.insert(name), "{name} is the name of two kinds");
            assert_eq!(name, name.to_lowercase());
            assert_eq!(Kind::parse(name), Some(kind));
            assert_eq!(Kind::parse(&name.to_uppercase()), Some(kind));
            for group in [kind.group().to_owned(), format!("{}.{}", kind.version(), kind.group())] {
                assert_eq!(Kind::parse(&format!("{name}.{group}")), Some(kind), "{name}.{group}");
            }
            assert_eq!(Kind::parse(&format!("{name}.example.com")), None);
        }
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
        assert_eq!(kind.singular(), kind.name().to_lowercase());
        assert_eq!(Kind::parse(&kind.to_string()), Some(kind));
    }
}

#[test]
fn kinds_are_written_by_name_and_read_in_any_case() {
    assert_eq!(serde_json::to_string(&Kind::ReplicaSet).unwrap(), r#""ReplicaSet""#);
    for text in ["ReplicaSet", "replicaset"] {
        assert_eq!(serde_json::from_value::<Kind>(text.into()).unwrap(), Kind::ReplicaSet);
    }
    let error = serde_json::from_value::<Kind>("Widget".into()).unwrap_err();
    assert_eq!(error.to_string(), r#"unknown kind "Widget""#);
}

#[test]
fn kinds_are_described_in_words() {
    let shown =
        [Kind::Pod, Kind::Deployment, Kind::Ingress, Kind::ReplicaSet, Kind::Job, Kind::NetworkPolicy]
            .map(|kind| format!("{} is {}", kind, kind.with_article()));
    assert_eq!(
        shown,
        [
            "pod is a Pod",
            "deployment.apps is a Deployment",
            "ingress.networking.k8s.io is an Ingress",
            "replicaset.apps is a ReplicaSet",
            "job.batch is a Job",
            "networkpolicy.networking.k8s.io is a NetworkPolicy",
        ]
    );
    assert_eq!((Kind::Pod.group(), Kind::Pod.version()), ("", "v1"));
    assert!(Kind::Role.is_namespaced() && !Kind::ClusterRole.is_namespaced());
}

#[test]
fn references_are_read_as_kubectl_reads_them() {
    for (text, shown) in [
        ("web", "pod/web"),
        ("pod/web", "pod/web"),
        ("Pods/web", "pod/web"),
        ("po/web.example-1", "pod/web.example-1"),
        ("deploy/api", "deployment.apps/api"),
        ("deployment.apps/api", "deployment.apps/api"),
        ("deployments.v1.apps/api", "deployment.apps/api"),
        ("rs/api-5d4", "replicaset.apps/api-5d4"),
        ("cm/conf", "configmap/conf"),
        ("secret/key", "secret/key"),
        ("pvc/data", "persistentvolumeclaim/data"),
        ("svc/web", "service/web"),
        ("ep/web", "endpoints/web"),
        ("ing/web", "ingress.networking.k8s.io/web"),
        ("endpointslices/web-1", "endpointslice.discovery.k8s.io/web-1"),
    ] {
        let read = ObjectRef::parse(text, "ns");
        assert_eq!(
            read.map(|r| (r.to_string(), r.namespace)),
            Ok((shown.to_owned(), "ns".to_owned())),
            "{text}"
        );
    }
}

#[test]
fn invalid_references_are_refused() {
    for wrong in
        ["", "/", "pod/", "node/x", "pod/a/b", "Web", "a_b", "../x", "pod/..", "pod.apps/x", "a\x1bb"]
    {
        assert!(ObjectRef::parse(wrong, "default").is_err(), "{wrong:?}");
    }
    let message = |text| ObjectRef::parse(text, "default").unwrap_err().to_string();
    assert_eq!(
        message("job/web"),
        "there are no objects of a kind \"job\" here: pod, deployment, configmap, secret, persistentvolumeclaim, \
         persistentvolume, service, endpoints, endpointslice, ingress, ingressclass, runtimeclass, replicaset"
    );
    assert_eq!(
        message("Web"),
        "\"Web\" cannot be the name of an object: lower case letters, digits, '-' and '.'"
    );
}
