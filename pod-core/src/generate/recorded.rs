//! Converts a record into a workload as its author would write it today: the played object, with the values that come
//! from flags and from the host.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

use super::metadata::{cut, remove_generated_labels};
use super::{Error, Facts, ports};
use crate::kind::Kind;
use crate::manifest::name::MAX_LABEL_VALUE;
use crate::plan::{PullPolicy, image_pull};
use crate::record::{PodRecord, WorkloadRecord};
use crate::store::WorkloadId;

/// Fields of metadata that clusters and tools write, but authors of manifests do not.
const GENERATED: [&str; 9] = [
    "uid",
    "creationTimestamp",
    "resourceVersion",
    "managedFields",
    "generation",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
];
const GENERATED_ANNOTATIONS: [&str; 3] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    crate::plan::USAGE,
];

/// A workload as it will be written.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    /// The workload's id, for messages.
    pub id: WorkloadId,
    /// The metadata: name, namespace if it has to be written, and what else the author gave.
    pub metadata: Map<String, Value>,
    /// The spec of a Deployment, without its template.
    pub spec: Map<String, Value>,
    /// Labels and annotations of the pods.
    pub pod_metadata: Map<String, Value>,
    /// The spec of the pods.
    pub pod: Map<String, Value>,
    /// Warnings about the workload.
    pub warnings: Vec<String>,
}

impl Workload {
    /// Returns metadata.name.
    pub fn name(&self) -> &str {
        self.metadata.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns whether the workload is a Deployment.
    pub fn is_deployment(&self) -> bool {
        self.id.kind == Kind::Deployment
    }

    /// Adds a warning unless the workload already has it.
    pub fn warn(&mut self, message: String) {
        if !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }

    /// Returns all containers, init containers first.
    pub fn containers(&self) -> impl Iterator<Item = &Map<String, Value>> {
        ["initContainers", "containers"]
            .into_iter()
            .filter_map(|list| self.pod.get(list).and_then(Value::as_array))
            .flatten()
            .filter_map(Value::as_object)
    }
}

/// Returns the recorded workload. `pod` is the requested pod, if a single pod is requested.
pub(super) fn workload(
    record: &WorkloadRecord,
    pod: Option<&PodRecord>,
    facts: &Facts,
) -> Result<Workload, Error> {
    let damaged = || Error::Damaged { workload: record.id.to_string() };
    let mut object = record.spec.object.as_object().cloned().ok_or_else(damaged)?;
    let take = |map: &mut Map<String, Value>, key: &str| match map.remove(key) {
        Some(Value::Object(inner)) => inner,
        _ => Map::new(),
    };
    let mut metadata = take(&mut object, "metadata");
    clean(&mut metadata);
    place(&mut metadata, &record.id.namespace);
    let mut spec = take(&mut object, "spec");
    let (mut pod_metadata, pod_spec) = if record.id.kind == Kind::Pod {
        let own = |key: &str| metadata.get(key).cloned().map(|value| (key.to_owned(), value));
        let pod_metadata = ["labels", "annotations"].into_iter().filter_map(own).collect();
        (pod_metadata, std::mem::take(&mut spec))
    } else {
        let mut template = take(&mut spec, "template");
        let template_metadata = take(&mut template, "metadata");
        (template_metadata, take(&mut template, "spec"))
    };
    clean(&mut pod_metadata);
    pod_metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations"));
    let mut workload =
        Workload { id: record.id.clone(), metadata, spec, pod_metadata, pod: pod_spec, warnings: Vec::new() };
    // A pod that is being removed may have an older template.
    let planned = pod.or_else(|| record.pods.iter().rev().find(|pod| !pod.removing)).or(record.pods.last());
    if let Some(pod) = planned {
        resolved(&mut workload, pod, facts);
    }
    pins(&mut workload, facts);
    Ok(workload)
}

/// Returns the labels of the pods. If they have none, a label is added by which they can be selected.
pub(super) fn labels(workload: &mut Workload) -> Map<String, Value> {
    let labels = workload.pod_metadata.get("labels").and_then(Value::as_object).filter(|all| !all.is_empty());
    if let Some(labels) = labels {
        return labels.clone();
    }
    let labels = Map::from_iter([("app".to_owned(), json!(cut(workload.name(), MAX_LABEL_VALUE)))]);
    workload.pod_metadata.insert("labels".to_owned(), Value::Object(labels.clone()));
    if !workload.is_deployment() {
        workload.metadata.insert("labels".to_owned(), Value::Object(labels.clone()));
    }
    labels
}

/// Removes the fields of metadata that authors of manifests do not write.
pub(super) fn clean(metadata: &mut Map<String, Value>) {
    if metadata.contains_key("ownerReferences") {
        metadata.remove("generateName");
        metadata.get_mut("labels").map(remove_generated_labels).unwrap_or_default();
    }
    metadata.retain(|key, value| !GENERATED.contains(&key.as_str()) && !value.is_null());
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        let before = annotations.len();
        annotations.retain(|key, _| !GENERATED_ANNOTATIONS.contains(&key.as_str()));
        if annotations.is_empty() && before > 0 {
            metadata.remove("annotations");
        }
    }
}

/// Keeps a given namespace. A namespace that came from `-n` is added, unless it is `default`.
fn place(metadata: &mut Map<String, Value>, namespace: &str) {
    let given = metadata.get("namespace").and_then(Value::as_str).is_some_and(|given| !given.is_empty());
    if !given {
        metadata.remove("namespace");
        if namespace != "default" {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
    }
}

/// Enters the values that came from flags of `kube play` and from the folder of the manifest.
fn resolved(workload: &mut Workload, pod: &PodRecord, facts: &Facts) {
    let network = &pod.plan.network;
    if network.host && workload.pod.get("hostNetwork") != Some(&Value::Bool(true)) {
        workload.pod.insert("hostNetwork".to_owned(), Value::Bool(true));
    }
    ports::publish(&mut workload.pod, network);
    pull_policies(&mut workload.pod, &pod.plan.pod);
    absolute_paths(workload, &pod.plan.pod, facts);

    let id = workload.id.to_string();
    for message in ports::on_host(&mut workload.pod) {
        workload.warn(format!("{id}: {message}"));
    }
    if network.none {
        workload.warn(format!(
            "{id}: it has no network, which a manifest cannot express: play it with --network none; in a cluster \
             use a NetworkPolicy"
        ));
    }
    for attachment in &network.attachments {
        let mut flag = attachment.network.clone();
        let ips = attachment.ips.iter().map(|ip| format!("ip={ip}"));
        let options: Vec<String> = ips.chain(attachment.mac.iter().map(|mac| format!("mac={mac}"))).collect();
        if !options.is_empty() {
            flag = format!("{flag}:{}", options.join(","));
        }
        workload.warn(format!(
            "{id}: it is on the network {}, which a manifest cannot express: play it with --network {flag}",
            attachment.network
        ));
    }
    let has_class = pod.plan.pod.spec.as_ref().is_some_and(|spec| spec.runtime_class_name.is_some());
    if let Some(runtime) = pod.plan.runtime.as_ref().filter(|_| !has_class) {
        workload.warn(format!(
            "{id}: it runs with the OCI runtime {runtime}, which a manifest cannot express: play it with --runtime \
             {runtime}; in a cluster use a RuntimeClass"
        ));
    }
}

fn volumes(pod: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    pod.get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// Returns the hostPath of a volume.
pub(super) fn host_path(volume: &Map<String, Value>) -> Option<&str> {
    volume.get("hostPath")?.get("path")?.as_str()
}

fn set_host_path(volume: &mut Map<String, Value>, path: &str) {
    if let Some(slot) = volume.get_mut("hostPath").and_then(|source| source.get_mut("path")) {
        *slot = json!(path);
    }
}

/// Enters the imagePullPolicy that `--pull` has set.
fn pull_policies(pod: &mut Map<String, Value>, planned: &Pod) {
    let Some(spec) = &planned.spec else { return };
    for (list, planned) in [
        ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
        ("containers", &spec.containers),
    ] {
        let containers = pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let text = |key: &str| container.get(key).and_then(Value::as_str);
            let Some(planned) = planned.iter().find(|planned| text("name") == Some(&planned.name)) else {
                continue;
            };
            let given = text("imagePullPolicy").and_then(PullPolicy::parse);
            let given =
                given.unwrap_or_else(|| image_pull::default_policy(text("image").unwrap_or_default()));
            let policy = image_pull::policy(planned);
            if policy != given {
                container.insert("imagePullPolicy".to_owned(), json!(policy.as_str()));
            }
        }
    }
}

/// Replaces relative hostPaths with the paths to which they were resolved, because in another folder they would mean
/// something else. `..` is resolved too, because Kubernetes refuses it.
fn absolute_paths(workload: &mut Workload, pod: &Pod, facts: &Facts) {
    let planned: BTreeMap<&str, &str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| Some((volume.name.as_str(), volume.host_path.as_ref()?.path.as_str())))
        .collect();
    let mut warnings = Vec::new();
    for volume in volumes(&mut workload.pod) {
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(given) = host_path(volume).map(str::to_owned) else { continue };
        let Some(path) = planned.get(name.as_str()).filter(|_| !given.starts_with('/')) else { continue };
        let real = facts.real_paths.get(Path::new(path)).and_then(|real| real.to_str()).unwrap_or(path);
        set_host_path(volume, real);
        warnings.push(format!(
            "the hostPath {given} of volume {name} was relative to its manifest: it is written as {real}"
        ));
    }
    for message in warnings {
        let message = format!("{}: {message}", workload.id);
        workload.warn(message);
    }
}

fn pins(workload: &mut Workload, facts: &Facts) {
    for list in ["initContainers", "containers"] {
        let containers = workload.pod.get_mut(list).and_then(Value::as_array_mut);
        for image in containers.into_iter().flatten().filter_map(|container| container.get_mut("image")) {
            if let Some(pinned) = image.as_str().and_then(|image| facts.pins.get(image)) {
                *image = json!(pinned);
            }
        }
    }
}
