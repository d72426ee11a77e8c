//! Snapshots of the table of every kind, on fixed objects.

use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::objects::listed;
use serde_json::{Value, json};

use super::*;
use crate::tests::fixture::{context, pod, record};

const CREATED: &str = "2026-11-23T18:00:00Z";

fn look(is_wide: bool) -> Look {
    Look { now: "2026-11-23T18:05:00Z".parse().unwrap(), is_wide }
}

fn object(kind: Kind, namespace: &str, name: &str, mut fields: Value) -> Object {
    let metadata = fields.as_object_mut().unwrap().entry("metadata").or_insert_with(|| json!({}));
    metadata["name"] = json!(name);
    metadata["creationTimestamp"] = json!(CREATED);
    if kind.is_namespaced() {
        metadata["namespace"] = json!(namespace);
    }
    fields["apiVersion"] = json!(kind.api_version());
    fields["kind"] = json!(kind);
    Object::new(ObjectRef::new(kind, namespace, name), fields)
}

/// Returns the table and the wide table of objects.
fn rendered(objects: &[Object]) -> String {
    let table = table_of(objects[0].id.kind).unwrap();
    let rows: Vec<_> = objects.iter().map(|object| (object, "")).collect();
    let text = |is_wide| table.render(&rows, look(is_wide), &Extras::default()).unwrap().render(true);
    format!("{}\n{}", text(false), text(true))
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [
        {"name": "main", "image": "localhost/api:1"}, {"name": "proxy", "image": "localhost/proxy:2"}]}})
}

#[test]
fn every_kind_that_is_listed_has_a_table() {
    for kind in listed() {
        let table = table_of(kind).unwrap();
        assert!(!table.columns.is_empty());
    }
    // The cells of a row are as many as the columns.
    for table in TABLES {
        let bare = object(
            table.kind,
            "default",
            "x",
            json!({
                "spec": {}, "addressType": "IPv4", "provisioner": "p", "involvedObject": {},
            }),
        );
        let cells = (table.cells)(&bare, look(true)).unwrap();
        assert_eq!(cells.len(), table.columns.len(), "{}", table.kind);
    }
}

#[test]
fn pods_have_the_columns_of_kubectl() {
    let pod = |name: &str, ready: bool, gates: Value| {
        let state = match ready {
            true => json!({"running": {}}),
            false => json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        };
        object(
            Kind::Pod,
            "default",
            name,
            json!({
                "spec": {"nodeName": "box", "readinessGates": gates, "containers": [{"name": "main"}]},
                "status": {"phase": "Running", "podIP": "10.88.0.7", "containerStatuses": [{
                    "name": "main", "ready": ready, "restartCount": 2, "image": "", "imageID": "", "state": state,
                    "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-11-23T18:04:30Z"}}}],
                    "conditions": [{"type": "example.com/a", "status": "True"}]},
            }),
        )
    };
    let gates = json!([{"conditionType": "example.com/a"}, {"conditionType": "example.com/b"}]);
    insta::assert_snapshot!(rendered(&[pod("web", true, json!([])), pod("worker", false, gates)]));
}

#[test]
fn deployments_and_replica_sets_have_the_columns_of_kubectl() {
    let selector = json!({"matchLabels": {"app": "api"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]});
    let deployment = object(
        Kind::Deployment,
        "default",
        "api",
        json!({
            "spec": {"replicas": 3, "selector": selector, "template": template()},
            "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        }),
    );
    let set = object(
        Kind::ReplicaSet,
        "default",
        "api-1a2b",
        json!({
            "spec": {"replicas": 3, "selector": selector, "template": template()},
            "status": {"replicas": 2, "readyReplicas": 1},
        }),
    );
    insta::assert_snapshot!(format!("{}\n{}", rendered(&[deployment]), rendered(&[set])));
}

#[test]
fn services_have_the_columns_of_kubectl() {
    let service = |name: &str, spec: Value, status: Value| {
        object(Kind::Service, "default", name, json!({"spec": spec, "status": status}))
    };
    let port = json!({"port": 80, "targetPort": 8080, "protocol": "TCP"});
    let node_port = json!({"port": 443, "nodePort": 30443});
    let dns = json!({"port": 53, "protocol": "UDP"});
    let point = |ip: &str| json!({"ip": ip});
    insta::assert_snapshot!(rendered(&[
        service(
            "web",
            json!({"clusterIP": "10.96.0.7", "selector": {"app": "web"}, "ports": [port, dns]}),
            json!({})
        ),
        service("headless", json!({"type": "ClusterIP", "clusterIP": "None"}), json!({})),
        service(
            "node",
            json!({"type": "NodePort", "clusterIP": "10.96.0.8", "externalIPs": ["192.0.2.7"],
            "ports": [node_port]}),
            json!({})
        ),
        service(
            "pending",
            json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [port]}),
            json!({})
        ),
        service(
            "balanced",
            json!({"type": "LoadBalancer", "clusterIP": "10.96.0.10", "ports": [port]}),
            json!({"loadBalancer": {"ingress": [point("192.0.2.1"), point("2001:db8::1")]}})
        ),
        service("elsewhere", json!({"type": "ExternalName", "externalName": "example.com"}), json!({})),
    ]));
}

#[test]
fn endpoints_and_slices_have_the_columns_of_kubectl() {
    let ips: Vec<Value> = (1..=5).map(|n| json!({"ip": format!("10.0.0.{n}")})).collect();
    let ready = json!([{"addresses": ips, "ports": [{"port": 80}]}]);
    let some = json!([{"addresses": [{"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "fd00::2"}],
        "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 90}]}]);
    let endpoints = [
        object(Kind::Endpoints, "default", "many", json!({"subsets": ready})),
        object(Kind::Endpoints, "default", "some", json!({"subsets": some})),
        object(Kind::Endpoints, "default", "none", json!({})),
    ];
    let slices = [
        object(
            Kind::EndpointSlice,
            "default",
            "web-x7k2p",
            json!({
                "addressType": "IPv4", "ports": [{"port": 80}, {"port": 90}],
                "endpoints": (1..=5).map(|n| json!({"addresses": [format!("10.0.0.{n}")]})).collect::<Vec<_>>(),
            }),
        ),
        object(Kind::EndpointSlice, "default", "empty", json!({"addressType": "IPv6", "endpoints": []})),
    ];
    insta::assert_snapshot!(format!("{}\n{}", rendered(&endpoints), rendered(&slices)));
}

#[test]
fn ingresses_and_their_classes_have_the_columns_of_kubectl() {
    let host = |host: &str| json!({"host": host});
    let points = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "box.example.com"}]}});
    let ingresses = [
        object(
            Kind::Ingress,
            "default",
            "shop",
            json!({
                "spec": {"ingressClassName": "kube", "tls": [{"hosts": ["a"]}],
                    "rules": [host("a.example"), host("b.example"), host("c.example"), host("d.example")]},
                "status": points,
            }),
        ),
        object(Kind::Ingress, "default", "any", json!({"spec": {"rules": [{"http": {"paths": []}}]}})),
    ];
    let classes = [
        object(Kind::IngressClass, "", "kube", json!({"spec": {"controller": "kube-play/ingress"}})),
        object(
            Kind::IngressClass,
            "",
            "other",
            json!({"spec": {"controller": "example.com/x",
            "parameters": {"apiGroup": "example.com", "kind": "Params", "name": "p"}}}),
        ),
    ];
    insta::assert_snapshot!(format!("{}\n{}", rendered(&ingresses), rendered(&classes)));
}

#[test]
fn settings_have_the_columns_of_kubectl_and_no_values() {
    let maps = [
        object(
            Kind::ConfigMap,
            "default",
            "conf",
            json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": ""}}),
        ),
        object(Kind::ConfigMap, "default", "empty", json!({})),
    ];
    let secrets = [
        object(Kind::Secret, "default", "login", json!({"data": {"password": "aHVudGVyMg=="}})),
        object(Kind::Secret, "default", "cert", json!({"type": "kubernetes.io/tls", "data": {}})),
    ];
    insta::assert_snapshot!(format!("{}\n{}", rendered(&maps), rendered(&secrets)));
}

#[test]
fn volumes_have_the_columns_of_kubectl() {
    let claims = [
        object(
            Kind::PersistentVolumeClaim,
            "default",
            "data",
            json!({
                "spec": {"volumeName": "disk", "storageClassName": "slow", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                    "capacity": {"storage": "1Gi"}},
            }),
        ),
        object(Kind::PersistentVolumeClaim, "default", "scratch", json!({"status": {"phase": "Pending"}})),
    ];
    let volumes = [
        object(
            Kind::PersistentVolume,
            "",
            "disk",
            json!({
                "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteMany"], "volumeMode": "Block",
                    "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "slow",
                    "claimRef": {"namespace": "default", "name": "data"}},
                "status": {"phase": "Bound"},
            }),
        ),
        object(
            Kind::PersistentVolume,
            "",
            "old",
            json!({
                "spec": {"persistentVolumeReclaimPolicy": "Delete"},
                "status": {"phase": "Failed", "reason": "VolumeFailedDelete"},
            }),
        ),
    ];
    let classes = [
        object(
            Kind::StorageClass,
            "",
            "slow",
            json!({"provisioner": "example.com/disk",
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}),
        ),
        object(
            Kind::StorageClass,
            "",
            "fast",
            json!({"provisioner": "example.com/ssd", "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true}),
        ),
    ];
    insta::assert_snapshot!(format!("{}\n{}\n{}", rendered(&claims), rendered(&volumes), rendered(&classes)));
}

#[test]
fn the_node_and_namespaces_have_the_columns_of_kubectl() {
    let node = object(
        Kind::Node,
        "",
        "box",
        json!({
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "nodeInfo": {"architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "kube://0.2.0",
                    "kernelVersion": "6.1.0", "kubeProxyVersion": "", "kubeletVersion": "v0.2.0",
                    "machineID": "m", "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12", "systemUUID": ""}},
        }),
    );
    let namespace = object(Kind::Namespace, "", "default", json!({"status": {"phase": "Active"}}));
    insta::assert_snapshot!(format!("{}\n{}", rendered(&[node]), rendered(&[namespace])));
}

#[test]
fn events_have_the_columns_of_kubectl() {
    let event = object(
        Kind::Event,
        "default",
        "web.17a",
        json!({
            "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{main}"},
            "type": "Warning", "reason": "BackOff", "message": "it \u{1b}[31mhappened\n", "count": 4,
            "firstTimestamp": "2026-11-23T18:03:00Z", "lastTimestamp": "2026-11-23T18:04:50Z",
            "source": {"component": "kube"},
        }),
    );
    insta::assert_snapshot!(rendered(&[event]));
}

#[test]
fn labels_namespaces_kinds_and_events_have_columns_of_their_own() {
    let objects = [
        object(
            Kind::ConfigMap,
            "default",
            "a",
            json!({"metadata": {"labels": {"app": "web", "example.com/tier": "x"}}}),
        ),
        object(Kind::ConfigMap, "prod", "b", json!({})),
    ];
    let rows = [(&objects[0], "ADDED"), (&objects[1], "DELETED")];
    let extras = Extras {
        namespace: true,
        kind: true,
        labels: true,
        label_columns: vec!["example.com/tier".to_owned()],
        event: true,
    };
    let table = table_of(Kind::ConfigMap).unwrap().render(&rows, look(false), &extras).unwrap();
    insta::assert_snapshot!(table.render(true), @r"
    EVENT      NAMESPACE   NAME          DATA   AGE   TIER   LABELS
    ADDED      default     configmap/a   0      5m    x      app=web,example.com/tier=x
    DELETED    prod        configmap/b   0      5m           <none>
    ");
}

/// Runs the command on an instance with the pods web (app=web) and db, and the Deployment api.
fn request(words: &str) -> anyhow::Result<Vec<String>> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let (_dir, context) = context();
    record(&context, Kind::Pod, "default", "web", "-", vec![pod("default", "web", &json!({"app": "web"}))]);
    record(&context, Kind::Pod, "default", "db", "-", vec![pod("default", "db", &json!({}))]);
    record(&context, Kind::Pod, "prod", "web", "-", vec![pod("prod", "web", &json!({"app": "web"}))]);
    record(
        &context,
        Kind::Deployment,
        "default",
        "api",
        "-",
        vec![pod("default", "api-1", &json!({"app": "api"}))],
    );
    let words = std::iter::once("get").chain(words.split(' '));
    let args = <Line as clap::Parser>::try_parse_from(words)?.args;
    let request = Request::new(&context, &args)?;
    let mut found = Vec::new();
    for target in &request.targets {
        let (objects, missing) = request.find(target)?;
        found.extend(objects.iter().map(|object| format!("{} in {}", object.id, object.id.namespace)));
        found.extend(missing.iter().map(ToString::to_string));
    }
    Ok(found)
}

#[test]
fn names_selectors_and_namespaces_choose_objects() {
    let found = |words| request(words).unwrap();
    assert_eq!(found("pods"), ["pod/api-1 in default", "pod/db in default", "pod/web in default"]);
    assert_eq!(found("pods -A -l app=web"), ["pod/web in default", "pod/web in prod"]);
    assert_eq!(found("po web absent"), ["pod/web in default", "pod/absent not found in namespace default"]);
    assert_eq!(found("pods -A --field-selector metadata.namespace=prod"), ["pod/web in prod"]);
    assert_eq!(found("pods --field-selector status.phase!=Pending"), [""; 0]);
    assert_eq!(found("deploy,pods -l app=api"), ["pod/api-1 in default"]);
    assert_eq!(
        found("pods --sort-by .metadata.labels.app"),
        ["pod/db in default", "pod/api-1 in default", "pod/web in default"]
    );
    assert_eq!(found("all").len(), 4);
}

#[test]
fn arguments_that_exclude_each_other_are_wrong_use() {
    for wrong in [
        "pods web -l app=web",
        "pods web -A",
        "pods web --field-selector metadata.name=web",
        "pods --field-selector spec.image=x",
        "pods -l a,,b",
        "pods --sort-by .a[",
        "pods -o xml",
        "nothings",
        "svc/a pods",
    ] {
        let error = request(wrong).unwrap_err();
        assert_eq!(exit::code_and_hints(&error).0, exit::USAGE, "{wrong}: {error}");
    }
    let error = request("pods --sort-by .spec.absent").unwrap_err();
    assert_eq!(exit::code_and_hints(&error).0, exit::FAILED);
}
