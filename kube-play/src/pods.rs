//! Pods as Kubernetes objects.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pod_core::kind::ConditionType;
use pod_core::lifecycle::pod_with_status;
use pod_core::observe::PodView;
use pod_core::plan::{PortMapping, node};

/// The pod with its status, as `kubectl get pod -o json` would show it.
pub fn object(pod: &PodView, host_ips: &[IpAddr]) -> Pod {
    let mut object = pod_with_status(&pod.plan.pod, &pod.state, host_ips);
    if let Some(spec) = object.spec.as_mut()
        && spec.node_name.is_none()
    {
        spec.node_name = Some(node::name());
    }
    // Its state may be gone already, or never have been.
    if pod.terminating && object.metadata.deletion_timestamp.is_none() {
        object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::now()));
    }
    object
}

/// True if the condition of this type is True.
fn has_condition(pod: &Pod, type_: ConditionType) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == type_.as_str() && condition.status == "True")
}

/// status.phase.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// True once no container of the pod will run again.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// True once a container has ended and its pod's restartPolicy starts it no more.
pub fn will_not_run_again(pod: &Pod, container: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten().map(|one| (one, true));
        init.chain(status.container_statuses.iter().flatten().map(|one| (one, false)))
    });
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    statuses.into_iter().any(|(status, init)| {
        let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        status.name == container
            && ended.is_some_and(|ended| match policy {
                "Never" => true,
                "OnFailure" => ended.exit_code == 0,
                _ => init && ended.exit_code == 0,
            })
    })
}

/// How good a pod is to look into: Ready beats running, running beats the rest.
pub fn readiness(pod: &PodView) -> u8 {
    let pod = object(pod, &[]);
    if has_condition(&pod, ConditionType::Ready) { 2 } else { u8::from(phase(&pod) == "Running") }
}

/// The PORTS column: `8080->80/tcp`, with the host's address where one was asked for.
pub fn ports(ports: &[PortMapping]) -> String {
    let one = |port: &PortMapping| {
        let ip = match port.host_ip {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
            Some(IpAddr::V4(ip)) => format!("{ip}:"),
            None => String::new(),
        };
        format!("{ip}{}->{}/{}", port.host_port, port.container_port, port.protocol)
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}
