//! Converts requests and limits into cgroup values.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};

use super::{DevicePlan, DeviceRequest, Resources};
use crate::manifest::huge_pages::huge_page_size;
use crate::manifest::{Device, PidsAnnotation, PidsLimit, Quantity, effective, requested_device};

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

/// Returns the devices of CDI that a container asks for: extended resources of its limits, and those that annotations of
/// its pod ask for.
pub fn cdi_devices(pod: &Pod, container: &Container) -> Vec<DeviceRequest> {
    let limits = container.resources.iter().flat_map(|resources| resources.limits.iter().flatten());
    let counted = limits.filter_map(|(name, amount)| requested_device(name, Quantity::from(amount)));
    let annotations = pod.metadata.annotations.iter().flatten();
    let named = annotations.filter_map(|(key, value)| DeviceRequest::from_annotation(key, value)?.ok());
    counted.chain(named.flatten()).collect()
}

/// Returns the limit of a resource of the pod as a whole.
fn limit_of_pod(spec: &PodSpec, name: &str) -> Option<Quantity> {
    spec.resources.as_ref()?.limits.as_ref()?.get(name).map(Quantity::from)
}

/// Returns the request of a resource of the pod as a whole.
pub fn request_of_pod(spec: &PodSpec, name: &str) -> Option<Quantity> {
    spec.resources.as_ref()?.requests.as_ref()?.get(name).map(Quantity::from)
}

/// Returns the limits of huge pages, by the size of a page.
fn huge_pages(resources: Option<&ResourceRequirements>) -> BTreeMap<u64, u64> {
    let limits = resources.iter().flat_map(|resources| resources.limits.iter().flatten());
    limits
        .filter_map(|(name, amount)| {
            Some((huge_page_size(name)?, u64::try_from(Quantity::from(amount).value()).ok()?))
        })
        .collect()
}

/// Returns the cgroup values of one container. As with the kubelet, the limit of the pod as a whole is that of a container
/// that has none.
pub fn container_resources(spec: &PodSpec, container: &Container) -> Resources {
    let limit = |name| limit(container, name).or_else(|| limit_of_pod(spec, name));
    Resources {
        huge_pages: huge_pages(container.resources.as_ref()),
        ..build(
            effective_request(container, "cpu").map_or(0, Quantity::millis),
            limit("cpu").map(Quantity::millis),
            limit("memory").map(Quantity::value),
        )
    }
}

/// What the containers of a pod request, and are limited to, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requested processors, in thousandths.
    pub cpu_request: i64,
    /// The limit of processors, in thousandths; 0 if no container has one.
    pub cpu_limit: i64,
    /// Requested memory, in bytes.
    pub memory_request: i64,
    /// The limit of memory, in bytes; 0 if no container has one.
    pub memory_limit: i64,
}

/// Returns the totals of a pod: those of the pod as a whole where they are given, else the sums over its containers.
/// Source: `PodRequests` and `PodLimits` of k8s.io/component-helpers/resource.
pub fn totals(spec: &PodSpec) -> Totals {
    let requested = |name: &str, unit: fn(Quantity) -> i64| {
        let sum = || effective(spec, &|container| effective_request(container, name).map(unit));
        request_of_pod(spec, name).map_or_else(sum, unit)
    };
    let limited = |name: &str, unit: fn(Quantity) -> i64| {
        let sum = || effective(spec, &|container| limit(container, name).map(unit));
        limit_of_pod(spec, name).map_or_else(sum, unit)
    };
    Totals {
        cpu_request: requested("cpu", Quantity::millis),
        cpu_limit: limited("cpu", Quantity::millis),
        memory_request: requested("memory", Quantity::value),
        memory_limit: limited("memory", Quantity::value),
    }
}

/// Returns the cgroup values of a pod: those of the pod as a whole where they are given. Otherwise the shares follow from
/// the effective request of its containers, and a limit is set only if every container declares it. As with the kubelet,
/// the overhead of its runtime is added.
pub fn pod_resources(pod: &Pod) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let declared = |name: &str| {
        let zero = Quantity::default();
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        all.all(|container| limit(container, name).is_some_and(|amount| amount > zero))
    };
    let limit_of = |name: &str, unit: fn(Quantity) -> i64| {
        limit_of_pod(spec, name).map(unit).or_else(|| {
            declared(name).then(|| effective(spec, &|container| limit(container, name).map(unit)))
        })
    };
    let cpu = request_of_pod(spec, "cpu").map_or_else(
        || effective(spec, &|container| effective_request(container, "cpu").map(Quantity::millis)),
        Quantity::millis,
    );
    let overhead = |name: &str, unit: fn(Quantity) -> i64| {
        let overhead = spec.overhead.as_ref().and_then(|overhead| overhead.get(name));
        overhead.map_or(0, |amount| unit(Quantity::from(amount)))
    };
    let cpu = cpu.saturating_add(overhead("cpu", Quantity::millis));
    let with_overhead = |name: &str, unit: fn(Quantity) -> i64| {
        limit_of(name, unit)
            .filter(|limit| *limit > 0)
            .map(|limit| limit.saturating_add(overhead(name, unit)))
    };
    let mut of_containers: BTreeMap<u64, u64> = BTreeMap::new();
    for container in &spec.containers {
        for (size, bytes) in huge_pages(container.resources.as_ref()) {
            let sum = of_containers.entry(size).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    of_containers.extend(huge_pages(spec.resources.as_ref()));
    Resources {
        huge_pages: of_containers,
        ..build(cpu, with_overhead("cpu", Quantity::millis), with_overhead("memory", Quantity::value))
    }
}
