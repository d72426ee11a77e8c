//! Nodes.

use k8s_openapi::api::core::v1::{Node, NodeStatus};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, name, or_none, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Node,
    columns: &[
        column("NAME"),
        column("STATUS"),
        column("ROLES"),
        column("AGE"),
        column("VERSION"),
        wide("INTERNAL-IP"),
        wide("EXTERNAL-IP"),
        wide("OS-IMAGE"),
        wide("KERNEL-VERSION"),
        wide("CONTAINER-RUNTIME"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(node: &Node, look: Look) -> Vec<String> {
    let status = node.status.clone().unwrap_or_default();
    let info = status.node_info.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let ready = match ready.map(|condition| condition.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    vec![
        name(&node.metadata),
        ready.to_owned(),
        roles(node),
        age(&node.metadata, look),
        info.kubelet_version,
        address(&status, "InternalIP"),
        address(&status, "ExternalIP"),
        info.os_image,
        info.kernel_version,
        info.container_runtime_version,
    ]
}

/// Returns the roles of a node, which are labels.
pub fn roles(node: &Node) -> String {
    let labels = node.metadata.labels.iter().flatten();
    let roles = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
    or_none(Some(&roles.collect::<Vec<_>>().join(",")))
}

fn address(status: &NodeStatus, kind: &str) -> String {
    let found = status.addresses.iter().flatten().find(|address| address.type_ == kind);
    or_none(found.map(|address| address.address.as_str()))
}
