//! Where a pod may run, and under which names of the cluster: checked, though it means nothing on one machine.

use k8s_openapi::api::core::v1::{PodSpec, Toleration};

use super::{Rules, name};
use crate::manifest::escape;

impl Rules<'_> {
    pub(super) fn scheduling(&mut self, path: &str, spec: &PodSpec) {
        let names = [
            ("nodeName", &spec.node_name),
            ("priorityClassName", &spec.priority_class_name),
            ("runtimeClassName", &spec.runtime_class_name),
            ("serviceAccountName", &spec.service_account_name),
        ];
        for (field, given) in names {
            if let Some(given) = given.as_deref().filter(|given| !given.is_empty()) {
                self.require(&format!("{path}.{field}"), name::dns_subdomain(given));
            }
        }
        for (key, value) in spec.node_selector.iter().flatten() {
            let path = format!("{path}.nodeSelector[{}]", escape(key));
            self.require(&path, name::qualified(key));
            self.require(&path, name::label_value(value));
        }
        for (index, toleration) in spec.tolerations.iter().flatten().enumerate() {
            self.toleration(&format!("{path}.tolerations[{index}]"), toleration);
        }
    }

    /// Source: `ValidateTolerations` of pkg/apis/core/validation.
    fn toleration(&mut self, path: &str, toleration: &Toleration) {
        let operator =
            toleration.operator.as_deref().filter(|operator| !operator.is_empty()).unwrap_or("Equal");
        let value = toleration.value.as_deref().unwrap_or_default();
        match toleration.key.as_deref().filter(|key| !key.is_empty()) {
            Some(key) => self.require(&format!("{path}.key"), name::qualified(key)),
            None if operator != "Exists" => {
                self.error(&format!("{path}.operator"), "must be Exists where there is no key");
            }
            None => {}
        }
        match operator {
            "Exists" if !value.is_empty() => {
                self.error(&format!("{path}.value"), "cannot be given together with operator: Exists");
            }
            "Equal" => self.require(&format!("{path}.value"), name::label_value(value)),
            _ => {}
        }
        if toleration.toleration_seconds.is_some() && toleration.effect.as_deref() != Some("NoExecute") {
            self.error(&format!("{path}.effect"), "must be NoExecute where tolerationSeconds is given");
        }
    }
}
