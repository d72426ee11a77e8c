//! Rules of scheduling and of host names in the cluster: checked although most of them have no effect on one machine.

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
            match name::qualified(key).and_then(|()| name::label_value(value)) {
                Ok(()) => self.node_label(&path, key, value),
                invalid => self.require(&path, invalid),
            }
        }
        for (index, toleration) in spec.tolerations.iter().flatten().enumerate() {
            self.toleration(&format!("{path}.tolerations[{index}]"), toleration);
        }
    }

    /// Checks a label that the pod's node must have. The labels that a kubelet sets on its node are known for this
    /// machine. Source: the Kubernetes reference, "Well-Known Labels, Annotations and Taints".
    fn node_label(&mut self, path: &str, key: &str, value: &str) {
        let own = match key {
            "kubernetes.io/os" | "beta.kubernetes.io/os" => "linux",
            "kubernetes.io/arch" | "beta.kubernetes.io/arch" => architecture(),
            _ => {
                let message = "has no effect on one machine: there is one node and no scheduler";
                return self.warning(path, message, None);
            }
        };
        if value != own {
            let message = format!("this machine is {own}, not {}", escape(value));
            self.error_hint(path, message, "leave it out to run the pod all the same");
        }
    }

    /// Checks a toleration. Source: `ValidateTolerations` of pkg/apis/core/validation.
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

/// Returns this machine's architecture as Go and node labels name it.
pub(crate) const fn architecture() -> &'static str {
    match std::env::consts::ARCH.as_bytes() {
        b"x86_64" => "amd64",
        b"aarch64" => "arm64",
        b"x86" => "386",
        b"powerpc64" => "ppc64le",
        b"loongarch64" => "loong64",
        _ => std::env::consts::ARCH,
    }
}
