//! Records of workloads for tests, in the form in which supervisors write them to disk.

use pod_core::kind::Kind;
use pod_core::plan::{PodNetwork, PodPlan};
use pod_core::record::WorkloadRecord;
use pod_core::store::{Layout, WorkloadId};
use serde_json::{Value, json};

use crate::cli::context::Context;

/// Returns a context over an empty folder. The folder is removed when the returned `TempDir` is dropped.
pub fn context() -> (tempfile::TempDir, Context) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
    let context =
        Context { layout, exe: "/bin/false".into(), namespace: "default".to_owned(), namespace_given: false };
    (dir, context)
}

/// Returns the plan of a pod.
pub fn pod(namespace: &str, name: &str, labels: &Value) -> PodPlan {
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
pub fn record(context: &Context, kind: Kind, namespace: &str, name: &str, source: &str, pods: Vec<PodPlan>) {
    let id = WorkloadId::new(kind, namespace, name);
    let pods: Vec<Value> = pods.iter().map(|plan| json!({"plan": plan, "desired": "running"})).collect();
    let record = json!({
        "id": id,
        "object": {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": {"replicas": 2}},
        "hash": "h",
        "uid": format!("uid-{name}"),
        "created": "2026-11-23T18:00:00Z",
        "source": source,
        "standsWithoutPods": pods.is_empty(),
        "pods": pods,
    });
    serde_json::from_value::<WorkloadRecord>(record).unwrap().save(&context.layout).unwrap();
}
