//! Reduces a workload to a pod with one of its containers.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Error;
use super::metadata::cut;
use super::recorded::Workload;
use crate::manifest::name::MAX_NAME;

const CONTAINER_ANNOTATIONS: [&str; 2] =
    ["container.apparmor.security.beta.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/"];

/// Keeps only the container `name` and the volumes that it mounts. The pod gets the name `POD-CONTAINER`.
pub(super) fn keep_only(workload: &mut Workload, name: &str) -> Result<(), Error> {
    let named = |container: &Value| container.get("name").and_then(Value::as_str) == Some(name);
    let list = |workload: &Workload, list: &str| -> Vec<Value> {
        workload.pod.get(list).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let apps = list(workload, "containers");
    let init = list(workload, "initContainers");
    let Some(found) = apps.iter().chain(&init).find(|container| named(container)).cloned() else {
        let known = init.iter().chain(&apps).filter_map(|c| c.get("name")?.as_str().map(str::to_owned));
        return Err(Error::NoContainer {
            workload: workload.id.to_string(),
            container: name.to_owned(),
            known: known.collect(),
        });
    };
    let mut found = found;
    let is_init = !apps.iter().any(named);
    if is_init {
        if let Value::Object(container) = &mut found {
            container.remove("restartPolicy");
        }
        // An init container ends by itself, so with restartPolicy Always it would be restarted forever.
        if matches!(workload.pod.get("restartPolicy").and_then(Value::as_str), None | Some("" | "Always")) {
            workload.pod.insert("restartPolicy".to_owned(), json!("OnFailure"));
        }
    } else if !init.is_empty() {
        let id = workload.id.to_string();
        workload.warn(format!("{id}: its init containers are left out of the pod of container {name} alone"));
    }
    workload.pod.remove("initContainers");
    workload.pod.remove("ephemeralContainers");
    keep_volumes(&mut workload.pod, &found);
    workload.pod.insert("containers".to_owned(), json!([found]));
    annotations(workload, name);
    // Both names may already have the maximum length.
    let own = format!("{}-{name}", cut(workload.name(), MAX_NAME.saturating_sub(name.len() + 1)));
    workload.metadata.insert("name".to_owned(), json!(own));
    Ok(())
}

/// Removes the annotations that belong to other containers, because Kubernetes refuses annotations of a container that
/// the pod does not have. Source: `ValidateAppArmorPodAnnotations` of pkg/apis/core/validation.
fn annotations(workload: &mut Workload, name: &str) {
    for metadata in [&mut workload.metadata, &mut workload.pod_metadata] {
        let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else { continue };
        annotations.retain(|key, _| {
            let of = CONTAINER_ANNOTATIONS.iter().find_map(|prefix| key.strip_prefix(prefix));
            of.is_none_or(|container| container == name)
        });
    }
}

/// Keeps only the volumes that the container mounts.
fn keep_volumes(pod: &mut Map<String, Value>, container: &Value) {
    let mounted: BTreeSet<&str> = ["volumeMounts", "volumeDevices"]
        .into_iter()
        .filter_map(|list| container.get(list).and_then(Value::as_array))
        .flatten()
        .filter_map(|mount| mount.get("name")?.as_str())
        .collect();
    let Some(Value::Array(volumes)) = pod.get_mut("volumes") else { return };
    volumes.retain(|volume| {
        volume.get("name").and_then(Value::as_str).is_some_and(|name| mounted.contains(name))
    });
    if volumes.is_empty() {
        pod.remove("volumes");
    }
}
