//! Rules of RuntimeClasses (`ValidateRuntimeClass` of pkg/apis/node/validation).

use k8s_openapi::api::node::v1::RuntimeClass;

use super::{Rules, name};
use crate::manifest::quantity::Quantity;

impl Rules<'_> {
    pub(super) fn runtime_class(&mut self, class: &RuntimeClass) {
        self.require("handler", name::dns_label(&class.handler));
        let fixed = class.overhead.iter().flat_map(|overhead| overhead.pod_fixed.iter().flatten());
        for (resource, amount) in fixed {
            if Quantity::parse(&amount.0).is_some_and(|amount| amount.is_negative()) {
                self.error(&format!("overhead.podFixed[{resource}]"), "must not be negative");
            }
        }
    }
}
