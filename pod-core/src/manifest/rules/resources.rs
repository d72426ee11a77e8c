//! Rules of requests and limits.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceFieldSelector, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::pod::Pod;
use super::{Rules, name, near};
use crate::manifest::huge_pages::huge_page_size;
use crate::manifest::quantity::Quantity;
use crate::manifest::{Device, effective, escape, shown};

/// The resources that a request and a limit of a pod are about.
const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// The divisors of an amount of CPU, and of other resources. Source: `validateContainerResourceDivisor` of
/// pkg/apis/core/validation.
const CPU_DIVISORS: [&str; 2] = ["1m", "1"];
const DECIMAL_DIVISORS: [&str; 7] = ["1", "1k", "1M", "1G", "1T", "1P", "1E"];
const BINARY_DIVISORS: [&str; 6] = ["1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Returns true for a divisor that Kubernetes accepts: `1000k` is `1M`, and 0 means not set.
fn is_divisor(resource: &str, divisor: &str) -> bool {
    let Some(amount) = Quantity::parse(divisor) else { return false };
    // The API compares texts in their canonical form, and 1e3 is canonical itself.
    let is_exponent = divisor.trim_end_matches("Ei").trim_end_matches('E').contains(['e', 'E']);
    let list: &[&str] = match resource {
        _ if is_exponent => return false,
        _ if amount.is_zero() => return true,
        "cpu" => &CPU_DIVISORS,
        _ if divisor.ends_with('i') => &BINARY_DIVISORS,
        _ => &DECIMAL_DIVISORS,
    };
    list.iter().any(|known| Quantity::parse(known) == Some(amount))
}

impl Rules<'_> {
    /// Checks a resource of a container that a variable or a file shows.
    pub(super) fn resource_field(&mut self, path: &str, field: &ResourceFieldSelector) {
        if field.resource.is_empty() {
            return;
        }
        let amount =
            field.resource.strip_prefix("limits.").or_else(|| field.resource.strip_prefix("requests."));
        let known = |name: &str| {
            matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
        };
        let Some(resource) = amount.filter(|name| known(name)) else {
            let message = format!("{} is not a resource that a variable can have", shown(&field.resource));
            let hint = "limits or requests, a dot, and cpu, memory, ephemeral-storage or hugepages-SIZE";
            return self.error_hint(&format!("{path}.resource"), message, hint);
        };
        let Some(divisor) = field.divisor.as_ref().map(|divisor| divisor.0.as_str()) else { return };
        if Quantity::parse(divisor).is_some() && !is_divisor(resource, divisor) {
            let known = match resource {
                "cpu" => CPU_DIVISORS.join(" or "),
                _ => [DECIMAL_DIVISORS.as_slice(), BINARY_DIVISORS.as_slice()].concat().join(", "),
            };
            let message = format!("{} is not a divisor of {resource}", shown(divisor));
            self.error_hint(&format!("{path}.divisor"), message, format!("write {known}"));
        }
    }

    pub(super) fn resources(&mut self, path: &str, resources: &ResourceRequirements) {
        let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
        self.amounts(&format!("{path}.limits"), limits);
        self.amounts(&format!("{path}.requests"), requests);
        for (name, request) in requests.into_iter().flatten() {
            let at = format!("{path}.requests[{}]", escape(name));
            let Some(limit) = limits.and_then(|limits| limits.get(name)) else {
                if !may_be_overcommitted(name) {
                    self.error(&at, "needs a limit of the same amount");
                }
                continue;
            };
            let (Some(asked), Some(most)) = (Quantity::parse(&request.0), Quantity::parse(&limit.0)) else {
                continue;
            };
            if asked != most && !may_be_overcommitted(name) {
                self.error(&at, format!("must be the limit {}, is {}", limit.0, request.0));
            } else if asked > most {
                let message = format!("must not be more than the limit {}, is {}", limit.0, request.0);
                self.error(&at, message);
            }
        }
        let names =
            || limits.into_iter().flatten().chain(requests.into_iter().flatten()).map(|(name, _)| name);
        if let Some(huge) = names().find(|name| name.starts_with("hugepages-"))
            && !names().any(|name| COMPUTE.contains(&name.as_str()))
        {
            let list =
                if limits.is_some_and(|limits| limits.contains_key(huge)) { "limits" } else { "requests" };
            self.error(&format!("{path}.{list}[{}]", escape(huge)), "needs cpu or memory beside it");
        }
    }

    /// Checks resizePolicy. Source: `validateResizePolicy` of pkg/apis/core/validation.
    pub(super) fn resize_policy(&mut self, path: &str, container: &Container, pod: &Pod<'_>) {
        let mut seen = BTreeSet::new();
        for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            if !COMPUTE.contains(&policy.resource_name.as_str()) {
                let message = format!("must be cpu or memory, not {}", shown(&policy.resource_name));
                self.error(&format!("{path}.resourceName"), message);
            } else if !seen.insert(policy.resource_name.as_str()) {
                self.error(
                    &format!("{path}.resourceName"),
                    format!("{} is given twice", policy.resource_name),
                );
            }
            match policy.restart_policy.as_str() {
                "NotRequired" => {}
                "RestartContainer" if pod.restarts_never => {
                    let message = "must be NotRequired in a pod with restartPolicy: Never";
                    self.error(&format!("{path}.restartPolicy"), message);
                }
                "RestartContainer" => {}
                other => {
                    let message = format!("must be NotRequired or RestartContainer, not {}", shown(other));
                    self.error(&format!("{path}.restartPolicy"), message);
                }
            }
        }
    }

    /// Checks the resources of a pod as a whole. Source: `validatePodResources` of pkg/apis/core/validation.
    pub(super) fn pod_resources(&mut self, path: &str, spec: &PodSpec) {
        let Some(resources) = &spec.resources else { return };
        let at = format!("{path}.resources");
        self.resources(&at, resources);
        if resources.claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
            self.error(&format!("{at}.claims"), "cannot be given for a pod as a whole");
        }
        for (list, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
            for (name, amount) in amounts.iter().flatten() {
                let at = format!("{at}.{list}[{}]", escape(name));
                if !COMPUTE.contains(&name.as_str()) && !name.starts_with("hugepages-") {
                    let hint = "a pod as a whole can have cpu, memory and hugepages-SIZE";
                    self.error_hint(&at, "belongs to a container", hint);
                    continue;
                }
                let has_request =
                    resources.requests.as_ref().is_some_and(|requests| requests.contains_key(name));
                if list == "limits" && has_request {
                    continue;
                }
                let together = effective(spec, &|container| requested(container, name));
                if Quantity::parse(&amount.0).is_some_and(|amount| in_unit(name, amount) < together) {
                    let unit = if name == "cpu" { "m" } else { "" };
                    let message =
                        format!("is {}, but the containers request {together}{unit} together", amount.0);
                    self.error(&at, message);
                }
            }
        }
        let init = spec.init_containers.as_deref().unwrap_or_default();
        for (list, containers) in [("initContainers", init), ("containers", &spec.containers)] {
            for (index, container) in containers.iter().enumerate() {
                let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
                for (name, limit) in limits.into_iter().flatten() {
                    let of_pod = resources.limits.as_ref().and_then(|limits| limits.get(name));
                    let Some(of_pod) = of_pod else { continue };
                    if Quantity::parse(&limit.0) > Quantity::parse(&of_pod.0) {
                        let at = format!("{path}.{list}[{index}].resources.limits[{}]", escape(name));
                        let message =
                            format!("is {}, which is more than the pod's limit {}", limit.0, of_pod.0);
                        self.error(&at, message);
                    }
                }
            }
        }
    }

    fn amounts(&mut self, path: &str, amounts: Option<&BTreeMap<String, Text>>) {
        for (resource, amount) in amounts.into_iter().flatten() {
            let path = format!("{path}[{}]", escape(resource));
            let parsed = Quantity::parse(&amount.0);
            if parsed.is_some_and(Quantity::is_negative) {
                self.error(&path, format!("must not be negative, is {}", amount.0));
            }
            if COMPUTE.contains(&resource.as_str()) {
                continue;
            }
            match Device::from_resource(resource) {
                Some(Ok(_)) => {
                    self.warning(&path, "is a device, as podman has it: a cluster does not know it", None);
                    continue;
                }
                Some(Err(why)) => {
                    self.error(&path, why);
                    continue;
                }
                None => {}
            }
            if resource == "ephemeral-storage" {
                continue;
            }
            if resource.starts_with("hugepages-") {
                if huge_page_size(resource).is_none() {
                    self.error(&path, "must end in the size of a page, such as hugepages-2Mi");
                }
            } else if resource.contains('/') && name::qualified(resource).is_ok() {
                if parsed.is_some_and(|amount| !amount.is_whole()) {
                    self.error(&path, format!("must be a whole number of devices, is {}", amount.0));
                }
            } else {
                let known = ["cpu", "memory", "ephemeral-storage"];
                let message = format!("{} is not a resource", shown(resource));
                let hint = match near(resource, known.into_iter()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "cpu, memory, ephemeral-storage, hugepages-SIZE or DOMAIN/NAME".to_owned(),
                };
                self.error_hint(&path, message, hint);
            }
        }
    }
}

/// Returns whether a request may differ from its limit. Source: `IsOvercommitAllowed` of pkg/apis/core/helper.
fn may_be_overcommitted(resource: &str) -> bool {
    !resource.starts_with("hugepages-") && !resource.contains('/')
}

/// Returns an amount in the unit that sums are made in: millicores, or bytes and numbers.
fn in_unit(resource: &str, amount: Quantity) -> i64 {
    if resource == "cpu" { amount.millis() } else { amount.value() }
}

/// Returns what a container requests of a resource. A limit without a request is also the request.
fn requested(container: &Container, resource: &str) -> Option<i64> {
    let resources = container.resources.as_ref()?;
    let of = |amounts: &Option<BTreeMap<String, Text>>| amounts.as_ref()?.get(resource).cloned();
    let amount = of(&resources.requests).or_else(|| of(&resources.limits))?;
    Some(in_unit(resource, Quantity::parse(&amount.0)?))
}
