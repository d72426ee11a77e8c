//! Resolves seLinuxOptions. What labels they lead to depends on the host's policy ([`crate::runtime::selinux`]).

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SELinuxOptions};
use serde::{Deserialize, Serialize};

/// The seLinuxOptions of a container: the parts of its label that the manifest sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeLinux {
    /// The user, such as `system_u`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The role, such as `system_r`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The type, such as `container_t`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The level, such as `s0:c1,c2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

impl SeLinux {
    /// Returns true if the manifest sets nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of(options: &SELinuxOptions) -> Self {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        Self {
            user: given(&options.user),
            role: given(&options.role),
            kind: given(&options.type_),
            level: given(&options.level),
        }
    }
}

/// Returns the seLinuxOptions of a pod, which its sandbox has.
pub fn of_pod(spec: &PodSpec) -> SeLinux {
    let options = spec.security_context.as_ref().and_then(|context| context.se_linux_options.as_ref());
    options.map(SeLinux::of).unwrap_or_default()
}

/// Returns the seLinuxOptions of a container: its own, else the pod's. As in containerd, a container that names no level
/// has that of its pod, so that all containers reach the pod's volumes.
pub fn of_container(spec: &PodSpec, container: &Container) -> SeLinux {
    let pod = of_pod(spec);
    let own = container.security_context.as_ref().and_then(|context| context.se_linux_options.as_ref());
    match own.map(SeLinux::of) {
        Some(own) => SeLinux { level: own.level.or(pod.level), ..own },
        None => pod,
    }
}

/// Returns whether a pod or one of its containers has seLinuxOptions.
pub fn is_asked_for(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    !of_pod(spec).is_empty() || containers.any(|container| !of_container(spec, container).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_options_of_a_container_replace_those_of_its_pod_except_for_the_level() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "securityContext": {"seLinuxOptions": {"type": "pod_t", "role": "pod_r", "level": "s0:c1,c2"}},
            "containers": [
                {"name": "own", "securityContext": {"seLinuxOptions": {"type": "own_t"}}},
                {"name": "level", "securityContext": {"seLinuxOptions": {"level": "s0:c3,c4", "user": ""}}},
                {"name": "none"},
            ],
        }}))
        .unwrap();
        let spec = pod.spec.as_ref().unwrap();
        let text = |value: &str| Some(value.to_owned());
        let found: Vec<SeLinux> = spec.containers.iter().map(|one| of_container(spec, one)).collect();
        let own = SeLinux { kind: text("own_t"), level: text("s0:c1,c2"), ..SeLinux::default() };
        let level = SeLinux { level: text("s0:c3,c4"), ..SeLinux::default() };
        assert_eq!(found, [own, level, of_pod(spec)]);
        assert_eq!(found[2].role.as_deref(), Some("pod_r"));
        assert!(is_asked_for(&pod) && !is_asked_for(&Pod::default()));
    }
}
