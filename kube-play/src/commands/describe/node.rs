//! The node, as `describeNode` of k8s.io/kubectl/pkg/describe prints it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeStatus, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use pod_core::kind::Kind;
use pod_core::lifecycle::human_duration;
use pod_core::manifest;
use pod_core::observe::objects::Object;
use pod_core::plan::resources::{Totals, totals};

use super::{Clock, Surroundings, add_events, labels_and_annotations};
use crate::commands::get::node::roles;
use crate::output::columns::Columns;

/// Returns the description of the node.
///
/// # Errors
/// The pods cannot be read.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let pods = with.reader.list(Kind::Pod)?;
    let has_ended = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let pods: Vec<&Pod> = pods.iter().filter_map(Object::pod).filter(|pod| !has_ended(pod)).collect();
    Ok(text(&object.parse()?, &pods, with))
}

fn text(node: &Node, pods: &[&Pod], with: &Surroundings<'_>) -> String {
    let status = node.status.clone().unwrap_or_default();
    let mut out = Columns::default();
    out.line(0, ["Name:", node.metadata.name.as_deref().unwrap_or_default()]);
    out.line(0, ["Roles:", &roles(node)]);
    labels_and_annotations(&mut out, &node.metadata);
    if let Some(created) = &node.metadata.creation_timestamp {
        out.line(0, ["CreationTimestamp:", &with.clock.show(created)]);
    }
    out.line(0, ["Taints:", "<none>"]);
    out.line(0, ["Unschedulable:", "false"]);
    conditions(&mut out, &status, &with.clock);
    out.line(0, ["Addresses:"]);
    for address in status.addresses.iter().flatten() {
        out.line(1, [&format!("{}:", address.type_), &address.address]);
    }
    resources(&mut out, "Capacity:", status.capacity.as_ref());
    resources(&mut out, "Allocatable:", status.allocatable.as_ref());
    system(&mut out, &status);
    allocated(&mut out, &status, pods, &with.clock);
    add_events(&mut out, Kind::Node, &node.metadata, with);
    out.render()
}

fn conditions(out: &mut Columns, status: &NodeStatus, clock: &Clock) {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if conditions.is_empty() {
        return;
    }
    out.line(0, ["Conditions:"]);
    out.line(1, ["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"]);
    out.line(1, ["----", "------", "-----------------", "------------------", "------", "-------"]);
    for one in conditions {
        let heartbeat = one.last_heartbeat_time.as_ref().map(|time| clock.show(time)).unwrap_or_default();
        let transition = one.last_transition_time.as_ref().map(|time| clock.show(time)).unwrap_or_default();
        let (reason, message) = (one.reason.as_deref(), one.message.as_deref());
        let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
        out.line(1, [&one.type_, &one.status, &heartbeat, &transition, reason, message]);
    }
}

fn resources(out: &mut Columns, title: &str, resources: Option<&BTreeMap<String, Quantity>>) {
    let Some(resources) = resources.filter(|resources| !resources.is_empty()) else { return };
    out.line(0, [title]);
    for (name, amount) in resources {
        out.line(1, [&format!("{name}:"), &amount.0]);
    }
}

fn system(out: &mut Columns, status: &NodeStatus) {
    let info = status.node_info.clone().unwrap_or_default();
    out.line(0, ["System Info:"]);
    for (title, value) in [
        ("Machine ID:", &info.machine_id),
        ("System UUID:", &info.system_uuid),
        ("Boot ID:", &info.boot_id),
        ("Kernel Version:", &info.kernel_version),
        ("OS Image:", &info.os_image),
        ("Operating System:", &info.operating_system),
        ("Architecture:", &info.architecture),
        ("Container Runtime Version:", &info.container_runtime_version),
        ("Kubelet Version:", &info.kubelet_version),
        ("Kube-Proxy Version:", &info.kube_proxy_version),
    ] {
        out.line(1, [title, value]);
    }
}

/// Adds the pods that have not ended, and what they request together. Source: `describeNodeResource`.
fn allocated(out: &mut Columns, status: &NodeStatus, pods: &[&Pod], clock: &Clock) {
    let of_node = |name: &str| {
        let amount = status.allocatable.as_ref().and_then(|all| all.get(name));
        amount.map(manifest::Quantity::from).unwrap_or_default()
    };
    let (cpu, memory) = (of_node("cpu").millis(), of_node("memory").value());
    let cells = |totals: &Totals| {
        [
            share(cpu_text(totals.cpu_request), totals.cpu_request, cpu),
            share(cpu_text(totals.cpu_limit), totals.cpu_limit, cpu),
            share(memory_text(totals.memory_request), totals.memory_request, memory),
            share(memory_text(totals.memory_limit), totals.memory_limit, memory),
        ]
    };
    out.line(0, ["Non-terminated Pods:", &format!("({} in total)", pods.len())]);
    out.line(
        1,
        ["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"],
    );
    out.line(
        1,
        ["---------", "----", "------------", "----------", "---------------", "-------------", "---"],
    );
    let mut sum = Totals::default();
    for pod in pods {
        let metadata = &pod.metadata;
        let totals = pod.spec.as_ref().map(totals).unwrap_or_default();
        sum = Totals {
            cpu_request: sum.cpu_request.saturating_add(totals.cpu_request),
            cpu_limit: sum.cpu_limit.saturating_add(totals.cpu_limit),
            memory_request: sum.memory_request.saturating_add(totals.memory_request),
            memory_limit: sum.memory_limit.saturating_add(totals.memory_limit),
        };
        let age = metadata.creation_timestamp.as_ref().map_or_else(
            || "<unknown>".to_owned(),
            |created| human_duration(clock.now.duration_since(created.0).as_secs()),
        );
        let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
        let [requests, limits, memory_requests, memory_limits] = cells(&totals);
        out.line(
            1,
            [
                namespace.unwrap_or_default(),
                name.unwrap_or_default(),
                &requests,
                &limits,
                &memory_requests,
                &memory_limits,
                &age,
            ],
        );
    }
    let [requests, limits, memory_requests, memory_limits] = cells(&sum);
    out.line(0, ["Allocated resources:"]);
    out.line(1, ["(Total limits may be over 100 percent, i.e., overcommitted.)"]);
    out.line(1, ["Resource", "Requests", "Limits"]);
    out.line(1, ["--------", "--------", "------"]);
    out.line(1, ["cpu", &requests, &limits]);
    out.line(1, ["memory", &memory_requests, &memory_limits]);
}

/// `250m (12%)`
fn share(text: String, part: i64, whole: i64) -> String {
    let percent = if whole > 0 { part.saturating_mul(100) / whole } else { 0 };
    format!("{text} ({percent}%)")
}

fn cpu_text(millis: i64) -> String {
    if millis % 1000 == 0 { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Returns bytes with the largest binary suffix that needs no fraction, as Kubernetes writes quantities.
fn memory_text(bytes: i64) -> String {
    let mut amount = bytes;
    for suffix in ["", "Ki", "Mi", "Gi", "Ti"] {
        if amount == 0 || amount % 1024 != 0 || suffix == "Ti" {
            return format!("{amount}{suffix}");
        }
        amount /= 1024;
    }
    amount.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn the_node_is_described_with_the_requests_of_its_pods() {
        let amounts = json!({"cpu": "2", "memory": "4194304Ki", "ephemeral-storage": "10Gi"});
        let time = "2026-11-23T18:00:00Z";
        let node = json!({
            "metadata": {"name": "box", "labels": {"kubernetes.io/os": "linux"}, "creationTimestamp": time},
            "status": {"capacity": amounts, "allocatable": amounts,
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                    "message": "this machine runs pods", "lastHeartbeatTime": time, "lastTransitionTime": time}],
                "nodeInfo": {"architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "kube://0.2.0",
                    "kernelVersion": "6.1.0", "kubeProxyVersion": "", "kubeletVersion": "v0.2.0",
                    "machineID": "m", "operatingSystem": "linux", "osImage": "Debian", "systemUUID": ""}},
        });
        let pod = |name: &str, resources: serde_json::Value| {
            serde_json::from_value::<Pod>(json!({
                "metadata": {"name": name, "namespace": "default", "creationTimestamp": time},
                "spec": {"containers": [{"name": "a", "resources": resources}, {"name": "b"}]},
            }))
            .unwrap()
        };
        let pods = [
            pod("web", json!({"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}})),
            pod("db", json!({"limits": {"cpu": "1", "memory": "1Gi"}})),
            pod("idle", json!({})),
        ];
        let node = serde_json::from_value(node).unwrap();
        with_surroundings(Some(Vec::new()), |with| {
            insta::assert_snapshot!(text(&node, &pods.iter().collect::<Vec<_>>(), with));
        });
    }

    #[test]
    fn bytes_have_the_largest_suffix_that_needs_no_fraction() {
        for (bytes, text) in
            [(0, "0"), (1000, "1000"), (1024, "1Ki"), (64 << 20, "64Mi"), (1536 << 20, "1536Mi")]
        {
            assert_eq!(memory_text(bytes), text);
        }
    }
}
