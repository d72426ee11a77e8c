//! Changes of a pod's cpu and memory that need no new pod (in-place resize).
//!
//! Source: `ValidatePodResize` of pkg/apis/core/validation: only cpu and memory of app containers and sidecars may change,
//! none of them may be removed, and the QoS class stays.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use super::qos::{QosClass, qos_class};
use super::resources::container_resources;
use super::{PodPlan, PodTemplate};

/// The resources that may change.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// What applying a changed template to a running pod means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resize {
    /// More has changed than cpu and memory: the pod is replaced.
    Impossible,
    /// The QoS class would change, which Kubernetes does not allow.
    ChangesQos {
        /// The class of the running pod.
        from: QosClass,
        /// The class of the changed pod.
        to: QosClass,
    },
    /// The cgroups of the pod are changed.
    InPlace {
        /// The containers whose values change.
        changed: Vec<String>,
        /// Those of them that have to be restarted, because their resizePolicy says so.
        restart: Vec<String>,
    },
}

/// Compares a running pod with the template that it should be of.
pub fn of_template(pod: &PodPlan, template: &PodTemplate) -> Resize {
    let has_same_flags = pod.network == template.network && pod.runtime == template.runtime;
    if has_same_flags { resize(&pod.pod, &template.pod) } else { Resize::Impossible }
}

/// Returns the plan of a pod whose cpu and memory are those of the template.
pub fn resized(pod: &PodPlan, template: &PodTemplate) -> PodPlan {
    let mut plan = pod.clone();
    plan.pod.spec.clone_from(&template.pod.spec);
    plan.hash.clone_from(&template.hash);
    plan
}

/// Compares the specs of a running pod and of the pod that it should be. Both have defaults; names, uids and times do not
/// matter.
pub fn resize(old: &Pod, new: &Pod) -> Resize {
    if without_amounts(old) != without_amounts(new) {
        return Resize::Impossible;
    }
    let (Some(old_spec), Some(new_spec)) = (&old.spec, &new.spec) else { return Resize::Impossible };
    let resizable = |init: &Container| init.restart_policy.as_deref() == Some("Always");
    let pairs = |old: &[Container], new: &[Container]| -> Vec<(Container, Container)> {
        old.iter().cloned().zip(new.iter().cloned()).collect()
    };
    let init = pairs(
        old_spec.init_containers.as_deref().unwrap_or_default(),
        new_spec.init_containers.as_deref().unwrap_or_default(),
    );
    if init.iter().any(|(old, new)| old.resources != new.resources && !resizable(old)) {
        return Resize::Impossible;
    }
    let mut all = init;
    all.extend(pairs(&old_spec.containers, &new_spec.containers));
    let is_removed = |old: &Option<ResourceRequirements>, new: &Option<ResourceRequirements>| {
        RESIZABLE.iter().any(|name| {
            [true, false].iter().any(|of_limits| {
                amount(old.as_ref(), *of_limits, name) && !amount(new.as_ref(), *of_limits, name)
            })
        })
    };
    if all.iter().any(|(old, new)| is_removed(&old.resources, &new.resources)) {
        return Resize::Impossible;
    }
    let (from, to) = (qos_class(old), qos_class(new));
    if from != to {
        return Resize::ChangesQos { from, to };
    }
    let (mut changed, mut restart) = (Vec::new(), Vec::new());
    for (old, new) in &all {
        let (before, after) = (container_resources(old_spec, old), container_resources(new_spec, new));
        let cpu = (before.cpu_shares, before.cpu_quota) != (after.cpu_shares, after.cpu_quota);
        let memory = before.memory_limit != after.memory_limit;
        if old.resources != new.resources || cpu || memory {
            changed.push(new.name.clone());
        }
        if (cpu && restarts(new, "cpu")) || (memory && restarts(new, "memory")) {
            restart.push(new.name.clone());
        }
    }
    Resize::InPlace { changed, restart }
}

/// Returns whether a container has a limit (or a request) of a resource.
fn amount(resources: Option<&ResourceRequirements>, of_limits: bool, name: &str) -> bool {
    let list =
        resources.and_then(
            |resources| {
                if of_limits { resources.limits.as_ref() } else { resources.requests.as_ref() }
            },
        );
    list.is_some_and(|list| list.contains_key(name))
}

/// Returns whether a container has to be restarted for a change of a resource: resizePolicy, whose default is
/// NotRequired.
fn restarts(container: &Container, resource: &str) -> bool {
    let policies = container.resize_policy.iter().flatten();
    policies
        .clone()
        .any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
}

/// Returns a pod without what may change and without what is different in every pod.
fn without_amounts(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.uid = None;
    pod.metadata.name = None;
    pod.metadata.generate_name = None;
    pod.metadata.creation_timestamp = None;
    pod.status = None;
    if let Some(spec) = &mut pod.spec {
        for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
            strip(&mut container.resources);
        }
        strip(&mut spec.resources);
    }
    pod
}

fn strip(resources: &mut Option<ResourceRequirements>) {
    let Some(given) = resources else { return };
    for list in [&mut given.limits, &mut given.requests].into_iter().flatten() {
        list.retain(|name, _| !RESIZABLE.contains(&name.as_str()));
    }
    // A list that has become empty is as good as none.
    given.limits = given.limits.take().filter(|list| !list.is_empty());
    given.requests = given.requests.take().filter(|list| !list.is_empty());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(containers: Value) -> Pod {
        let mut pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"containers": containers}}))
                .unwrap();
        super::super::defaults::pod_spec(pod.spec.as_mut().unwrap());
        pod
    }

    fn sized(cpu: &str, memory: &str) -> Value {
        json!({"name": "a", "image": "a:1", "resources": {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": "10m"}}})
    }

    fn of(old: Value, new: Value) -> Resize {
        resize(&pod(json!([old])), &pod(json!([new])))
    }

    fn in_place(changed: &[&str], restart: &[&str]) -> Resize {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Resize::InPlace { changed: names(changed), restart: names(restart) }
    }

    #[test]
    fn cpu_and_memory_change_in_place() {
        assert_eq!(of(sized("1", "1Gi"), sized("2", "1Gi")), in_place(&["a"], &[]));
        assert_eq!(of(sized("1", "1Gi"), sized("1", "2Gi")), in_place(&["a"], &[]));
        assert_eq!(of(sized("1", "1Gi"), sized("1", "1Gi")), in_place(&[], &[]));
    }

    #[test]
    fn a_container_whose_resize_policy_says_so_is_restarted() {
        let with = |mut container: Value| {
            container["resizePolicy"] = json!([
                {"resourceName": "memory", "restartPolicy": "RestartContainer"},
                {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            ]);
            container
        };
        assert_eq!(of(with(sized("1", "1Gi")), with(sized("2", "1Gi"))), in_place(&["a"], &[]));
        assert_eq!(of(with(sized("1", "1Gi")), with(sized("1", "2Gi"))), in_place(&["a"], &["a"]));
    }

    #[test]
    fn every_other_change_needs_a_new_pod() {
        let mut other = sized("1", "1Gi");
        other["image"] = json!("a:2");
        assert_eq!(of(sized("1", "1Gi"), other), Resize::Impossible);
        let mut storage = sized("1", "1Gi");
        storage["resources"]["limits"]["ephemeral-storage"] = json!("1Gi");
        assert_eq!(of(sized("1", "1Gi"), storage), Resize::Impossible);
        let mut removed = sized("1", "1Gi");
        removed["resources"]["limits"].as_object_mut().unwrap().remove("memory");
        removed["resources"]["requests"] = json!({"cpu": "10m", "memory": "1Gi"});
        assert_eq!(of(sized("1", "1Gi"), removed), Resize::Impossible, "a limit cannot be removed");
    }

    #[test]
    fn the_qos_class_must_not_change() {
        let plain = json!({"name": "a", "image": "a:1"});
        let (from, to) = (QosClass::BestEffort, QosClass::Burstable);
        assert_eq!(of(plain, sized("1", "1Gi")), Resize::ChangesQos { from, to });
    }
}
