//! Recorded workloads for tests, as supervisors leave them on disk.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::plan::{PodNetwork, PodPlan};
use crate::record::WorkloadRecord;
use crate::store::{Layout, WorkloadId};

/// Returns the layout of an empty folder, which is removed when the first value is dropped.
pub fn layout() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
    (dir, layout)
}

/// Returns the plan of a pod with the containers `main` and `side`.
pub fn planned(namespace: &str, name: &str, labels: &Value) -> PodPlan {
    let uid = format!("uid-{namespace}-{name}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "labels": labels,
            "creationTimestamp": "2026-11-23T18:00:00Z"},
        "spec": {"containers": [{"name": "main", "image": "localhost/busybox:1"}, {"name": "side", "image": "b"}]},
    });
    PodPlan {
        uid,
        pod: serde_json::from_value(pod).unwrap(),
        hash: "h".to_owned(),
        network: PodNetwork::default(),
        runtime: None,
    }
}

/// Records a workload with its pods.
pub fn record(layout: &Layout, kind: Kind, namespace: &str, name: &str, pods: Vec<PodPlan>) {
    let pods: Vec<Value> = pods.iter().map(|plan| json!({"plan": plan, "desired": "running"})).collect();
    let record = json!({
        "id": WorkloadId::new(kind, namespace, name),
        "object": {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": {"replicas": 2}},
        "hash": "h",
        "uid": format!("uid-{name}"),
        "created": "2026-11-23T18:00:00Z",
        "source": "-",
        "standsWithoutPods": pods.is_empty(),
        "pods": pods,
    });
    serde_json::from_value::<WorkloadRecord>(record).unwrap().save(layout).unwrap();
}
