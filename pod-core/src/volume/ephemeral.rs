//! Limits of `ephemeral-storage`: what the writable layers, the logs and the emptyDirs of a pod take on disk.
//!
//! As with the kubelet, a container is measured with its writable layer and its logs, and the pod with all its containers
//! and its emptyDirs. Source: `localStorageEviction` of pkg/kubelet/eviction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::usage::{is_on_disk, measure};
use crate::manifest::Quantity;
use crate::plan::PodPlan;
use crate::store::Layout;

/// The name of the resource.
const RESOURCE: &str = "ephemeral-storage";

/// The limits of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The limits of containers in bytes, with the text of the manifest.
    pub containers: BTreeMap<String, (u64, String)>,
}

/// What a pod takes, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The writable layers and logs, by container.
    pub containers: BTreeMap<String, u64>,
    /// All emptyDirs on disk together.
    pub volumes: u64,
}

/// Returns the limits of a pod; `None` if it has none, so that it need not be measured.
pub fn limits(pod: &Pod) -> Option<Limits> {
    let spec = pod.spec.as_ref()?;
    let limits = spec.containers.iter().filter_map(|container| {
        let limit = container.resources.as_ref()?.limits.as_ref()?.get(RESOURCE)?;
        let bytes = u64::try_from(Quantity::from(limit).value()).ok().filter(|bytes| *bytes > 0)?;
        Some((container.name.clone(), (bytes, limit.0.clone())))
    });
    let containers: BTreeMap<_, _> = limits.collect();
    (!containers.is_empty()).then_some(Limits { containers })
}

/// Returns why a pod has to end, in the kubelet's words, if it or one of its containers takes more than its limit.
pub fn exceeded(limits: &Limits, usage: &Usage) -> Option<String> {
    let total = limits.containers.values().fold(0_u64, |sum, (bytes, _)| sum.saturating_add(*bytes));
    let taken = usage.containers.values().fold(usage.volumes, |sum, bytes| sum.saturating_add(*bytes));
    if taken > total {
        let total = shown(total);
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
        ));
    }
    let over = limits
        .containers
        .iter()
        .find(|(name, (bytes, _))| usage.containers.get(name.as_str()).is_some_and(|taken| taken > bytes));
    let (name, (_, limit)) = over?;
    Some(format!("Container {name} exceeded its local ephemeral storage limit {limit:?}. "))
}

/// Returns bytes as Kubernetes writes them: `64Mi`.
fn shown(bytes: u64) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let unit = units.iter().find(|(shift, _)| bytes != 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// Measures a pod that has limits, and returns why it has to end, if it takes too much. What cannot be measured, or does
/// not exist yet, is left out.
pub fn find_exceeded(layout: &Layout, pod: &PodPlan) -> Option<String> {
    let limits = limits(&pod.pod)?;
    let spec = pod.pod.spec.as_ref()?;
    let folder = layout.pod(&pod.uid);
    let mut usage = Usage::default();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let name = container.name.as_str();
        let folders = [
            folder.join("containers").join(name),
            folder.join("volumes").join(format!("image.{name}")),
            layout.container_logs(&pod.uid, name),
        ];
        usage.containers.insert(name.to_owned(), sum(&folders));
    }
    let on_disk = spec.volumes.iter().flatten().filter(|volume| {
        volume.empty_dir.as_ref().is_some_and(|source| is_on_disk(source.medium.as_deref()))
    });
    let folders: Vec<PathBuf> = on_disk.map(|volume| folder.join("volumes").join(&volume.name)).collect();
    usage.volumes = sum(&folders);
    exceeded(&limits, &usage)
}

fn sum(folders: &[PathBuf]) -> u64 {
    let taken = |folder: &Path| measure(folder).unwrap_or(0);
    folders.iter().fold(0, |sum, folder| sum.saturating_add(taken(folder)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(containers: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {"containers": containers}})).unwrap()
    }

    fn limited(name: &str, limit: &str) -> Value {
        json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}})
    }

    fn usage(containers: &[(&str, u64)], volumes: u64) -> Usage {
        let containers = containers.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
        Usage { containers, volumes }
    }

    #[test]
    fn a_pod_without_a_limit_is_not_measured() {
        assert_eq!(limits(&pod(json!([{"name": "a"}]))), None);
        assert_eq!(limits(&pod(json!([limited("a", "0")]))), None);
    }

    #[test]
    fn a_pod_is_evicted_over_the_total_limit_of_its_containers_and_a_container_over_its_own() {
        let limits = limits(&pod(json!([limited("a", "1Mi"), limited("b", "2Mi"), {"name": "c"}]))).unwrap();
        let mib = 1 << 20;
        assert_eq!(exceeded(&limits, &usage(&[("a", mib), ("b", mib)], mib)), None);
        assert_eq!(
            exceeded(&limits, &usage(&[("a", mib), ("c", mib)], 2 * mib)).unwrap(),
            "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "
        );
        assert_eq!(
            exceeded(&limits, &usage(&[("a", mib + 1)], 0)).unwrap(),
            "Container a exceeded its local ephemeral storage limit \"1Mi\". "
        );
    }

    #[test]
    fn amounts_are_shown_in_the_largest_unit_that_divides_them() {
        assert_eq!([3 << 30, 3 << 20, 1536, 100, 0].map(shown), ["3Gi", "3Mi", "1536", "100", "0"]);
        assert_eq!(shown(2048), "2Ki");
    }
}
