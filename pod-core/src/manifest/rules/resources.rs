//! Rules of requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceFieldSelector, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::{Rules, name, near};
use crate::manifest::quantity::Quantity;
use crate::manifest::{Device, escape, shown};

const HONOURED: [&str; 2] = ["cpu", "memory"];

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
            let Some(limit) = limits.and_then(|limits| limits.get(name)) else { continue };
            let (Some(asked), Some(most)) = (Quantity::parse(&request.0), Quantity::parse(&limit.0)) else {
                continue;
            };
            if asked > most {
                let message = format!("must not be more than the limit {}, is {}", limit.0, request.0);
                self.error(&format!("{path}.requests[{}]", escape(name)), message);
            }
        }
    }

    fn amounts(&mut self, path: &str, amounts: Option<&BTreeMap<String, Text>>) {
        for (resource, amount) in amounts.into_iter().flatten() {
            let path = format!("{path}[{}]", escape(resource));
            if Quantity::parse(&amount.0).is_some_and(Quantity::is_negative) {
                self.error(&path, format!("must not be negative, is {}", amount.0));
            }
            if HONOURED.contains(&resource.as_str()) {
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
            if resource == "ephemeral-storage" || resource.starts_with("hugepages-") {
                self.warning(&path, "is not honoured yet", None);
            } else if resource.contains('/') && name::qualified(resource).is_ok() {
                self.warning(&path, "is not honoured yet: devices of extended resources", None);
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
