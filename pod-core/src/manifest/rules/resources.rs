//! Requests and limits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::{Rules, name, near};
use crate::manifest::quantity::Quantity;
use crate::manifest::{escape, shown};

const HONOURED: [&str; 2] = ["cpu", "memory"];

impl Rules<'_> {
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
