//! Computes a pod's QoS class, and the oom_score_adj of its containers from the class.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};

use super::resources::{effective_request, request_of_pod};
use crate::manifest::{Quantity, effective};

/// status.qosClass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has requests equal to limits, for cpu and memory.
    Guaranteed,
    /// There is a request or a limit, but the pod is not Guaranteed.
    Burstable,
    /// There is no request and no limit.
    BestEffort,
}

impl QosClass {
    /// Returns the class as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// Returns the QoS class of a pod. Init containers are included. If the pod itself has resources, they are used
/// instead of those of its containers.
pub fn qos_class(pod: &Pod) -> QosClass {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let Some(spec) = &pod.spec else { return QosClass::BestEffort };
    let zero = Quantity::default();
    let has_requests = |resources: &ResourceRequirements| {
        let set = |map: Option<&BTreeMap<_, _>>, name: &str| {
            map.and_then(|m| m.get(name)).is_some_and(|q| Quantity::from(q) > zero)
        };
        COUNTED.iter().any(|n| set(resources.requests.as_ref(), n) || set(resources.limits.as_ref(), n))
    };
    let guaranteed = |resources: &ResourceRequirements| {
        COUNTED.iter().all(|name| {
            let of = |map: Option<&BTreeMap<String, _>>| map.and_then(|m| m.get(*name)).map(Quantity::from);
            let limit = of(resources.limits.as_ref()).filter(|limit| *limit > zero);
            limit.is_some() && of(resources.requests.as_ref()).or(limit) == limit
        })
    };
    let all: Vec<Option<&ResourceRequirements>> = match spec.resources.as_ref().filter(|r| has_requests(r)) {
        Some(of_pod) => vec![Some(of_pod)],
        None => {
            let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
            containers.map(|c| c.resources.as_ref()).collect()
        }
    };
    if !all.iter().any(|r| r.is_some_and(has_requests)) {
        QosClass::BestEffort
    } else if all.iter().all(|r| r.is_some_and(guaranteed)) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

/// Returns the oom_score_adj of a container (proc_pid_oom_score_adj(5)). The more memory a Burstable container has
/// requested, the later the kernel kills it. A sidecar is killed no earlier than the app containers (KEP-753). What the pod
/// as a whole requests beyond its containers is shared equally among them. Source: `GetContainerOOMScoreAdjust` of
/// pkg/kubelet/qos.
pub fn oom_score_adj(class: QosClass, spec: &PodSpec, container: &Container, node_memory: u64) -> i32 {
    match class {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = |of: &Container| effective_request(of, "memory").map_or(0, Quantity::value);
            let is_sidecar = container.restart_policy.as_deref() == Some("Always")
                && spec.init_containers.iter().flatten().any(|of| of.name == container.name);
            let least = spec.containers.iter().map(request).min().filter(|_| is_sidecar);
            let own = request(container).max(least.unwrap_or(0));
            let rest = request_of_pod(spec, "memory").map_or(0, |of_pod| {
                let together = effective(spec, &|of| Some(request(of)));
                let rest = of_pod.value().saturating_sub(together).max(0);
                let containers = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
                rest / i64::try_from(containers.max(1)).unwrap_or(1)
            });
            let share = i128::from(own.saturating_add(rest)) * 1000 / i128::from(node_memory.max(1));
            i32::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
        }
    }
}
