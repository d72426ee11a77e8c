//! Converts requests and limits into cgroup values.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{DevicePlan, Resources};
use crate::manifest::{Device, PidsAnnotation, PidsLimit, Quantity};

/// The default period of the kernel and the kubelet, in microseconds.
const CPU_PERIOD: u64 = 100_000;
/// The smallest quota that the kernel accepts, in microseconds.
const MIN_QUOTA: i64 = 1000;

/// Returns a container's limit of a resource.
pub fn limit(container: &Container, name: &str) -> Option<Quantity> {
    container.resources.as_ref()?.limits.as_ref()?.get(name).map(Quantity::from)
}

/// Returns a container's request of a resource. A limit without a request is also the request.
pub fn effective_request(container: &Container, name: &str) -> Option<Quantity> {
    let resources = container.resources.as_ref()?;
    let request = resources.requests.as_ref().and_then(|r| r.get(name)).map(Quantity::from);
    request.or_else(|| limit(container, name))
}

/// Returns cpu.shares for a request in millicores. As with the kubelet, no request gets the smallest value.
fn shares(millis: i64) -> u64 {
    (u64::try_from(millis).unwrap_or(0).saturating_mul(1024) / 1000).clamp(2, 262_144)
}

fn quota(millis: i64) -> i64 {
    millis.saturating_mul(100).max(MIN_QUOTA)
}

fn build(cpu_request: i64, cpu_limit: Option<i64>, memory_limit: Option<i64>) -> Resources {
    let cpu_limit = cpu_limit.filter(|millis| *millis > 0);
    Resources {
        cpu_shares: Some(shares(cpu_request)),
        cpu_quota: cpu_limit.map(quota),
        cpu_period: cpu_limit.map(|_| CPU_PERIOD),
        memory_limit: memory_limit.filter(|bytes| *bytes > 0),
        ..Resources::default()
    }
}

/// Returns how many processes a pod may have: its annotation `kube-play/pids-limit`, else `default`. `None` is no
/// limit.
pub fn pod_pids(pod: &Pod, default: Option<u64>) -> Option<u64> {
    annotated_pids(pod, None).map_or(default, PidsLimit::number)
}

/// Returns how many processes a container may have, if an annotation for it says so.
pub fn container_pids(pod: &Pod, container: &str) -> Option<u64> {
    annotated_pids(pod, Some(container)).and_then(PidsLimit::number)
}

fn annotated_pids(pod: &Pod, container: Option<&str>) -> Option<PidsLimit> {
    let annotations = pod.metadata.annotations.iter().flatten();
    let mut limits = annotations.filter_map(|(key, value)| PidsAnnotation::parse(key, value));
    limits.find_map(|pids| pids.limit.ok().filter(|_| pids.container == container))
}

/// Returns the devices that a container requests in its limits. A device with amount 0 is left out.
pub fn devices(container: &Container) -> Vec<DevicePlan> {
    let limits = container.resources.iter().flat_map(|resources| resources.limits.iter().flatten());
    limits
        .filter(|(_, amount)| Quantity::from(*amount).value() > 0)
        .filter_map(|(name, _)| Device::from_resource(name)?.ok())
        .map(|Device { source, destination, access }| DevicePlan { source, destination, access })
        .collect()
}

/// Returns the cgroup values of one container.
pub fn container_resources(container: &Container) -> Resources {
    build(
        effective_request(container, "cpu").map_or(0, Quantity::millis),
        limit(container, "cpu").map(Quantity::millis),
        limit(container, "memory").map(Quantity::value),
    )
}

/// Returns the cgroup values of a pod. The shares follow from the effective request. A limit is set only if every
/// container declares it. The effective amount is the larger of the sum over all app containers and sidecars, and the
/// maximum of the init containers, each with the sidecars before it (KEP-753).
pub fn pod_resources(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let effective = |of: &dyn Fn(&Container) -> Option<i64>| -> i64 {
        let apps: i64 = spec.containers.iter().filter_map(of).fold(0, i64::saturating_add);
        let (mut sidecars, mut most) = (0_i64, 0);
        for container in init {
            let with_sidecars = sidecars.saturating_add(of(container).unwrap_or(0));
            most = most.max(with_sidecars);
            if container.restart_policy.as_deref() == Some("Always") {
                sidecars = with_sidecars;
            }
        }
        apps.saturating_add(sidecars).max(most)
    };
    let declared = |name: &str| {
        let zero = Quantity::default();
        init.iter().chain(&spec.containers).all(|c| limit(c, name).is_some_and(|a| a > zero))
    };
    build(
        effective(&|c| effective_request(c, "cpu").map(Quantity::millis)),
        declared("cpu").then(|| effective(&|c| limit(c, "cpu").map(Quantity::millis))),
        declared("memory").then(|| effective(&|c| limit(c, "memory").map(Quantity::value))),
    )
}
