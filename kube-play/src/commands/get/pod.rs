//! Pods.

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use pod_core::kind::Kind;
use pod_core::lifecycle::pod_row;

use super::table::{KindTable, Look, column, or_none, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Pod,
    columns: &[
        column("NAME"),
        column("READY"),
        column("STATUS"),
        column("RESTARTS"),
        column("AGE"),
        wide("IP"),
        wide("NODE"),
        wide("NOMINATED NODE"),
        wide("READINESS GATES"),
    ],
    cells: |object, look| match object.pod() {
        Some(pod) => Ok(cells(pod, look)),
        None => Ok(cells(&object.parse()?, look)),
    },
};

fn cells(pod: &Pod, look: Look) -> Vec<String> {
    let row = pod_row(pod, look.now);
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let node = spec.and_then(|spec| spec.node_name.as_deref());
    let nominated = status.and_then(|status| status.nominated_node_name.as_deref());
    let (node, nominated) = (or_none(node), or_none(nominated));
    vec![row.name, row.ready, row.status, row.restarts, row.age, row.ip, node, nominated, gates(spec, status)]
}

/// Returns how many readiness gates are met: `1/2`.
fn gates(spec: Option<&PodSpec>, status: Option<&PodStatus>) -> String {
    let gates = spec.and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is_met = |kind: &str| conditions.iter().any(|one| one.type_ == kind && one.status == "True");
    let met = gates.iter().filter(|gate| is_met(&gate.condition_type)).count();
    format!("{met}/{}", gates.len())
}
