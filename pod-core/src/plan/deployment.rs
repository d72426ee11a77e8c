//! Converts a Deployment into its pod template.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use super::hash::{self, short_hash, stable_uid};
use super::{PodTemplate, defaults};

/// A generated name is its prefix, cut to this many characters, followed by five more (apiserver's name generator).
const MAX_GENERATED_PREFIX: usize = 58;

/// Returns the name that is generated from `prefix`, which is cut if the name would be too long, and `suffix`.
pub fn generated_name(prefix: &str, suffix: &str) -> String {
    let cut: String = format!("{prefix}-").chars().take(MAX_GENERATED_PREFIX).collect();
    format!("{cut}{suffix}")
}

/// The label that distinguishes the pods of one template from those of another.
pub const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// Returns the pod of a Deployment's template, with defaults. The pod is named `<name>-<pod-template-hash>`, has the
/// hash as a label, and is owned by the ReplicaSet that a cluster would create for it. `prepare` makes the changes to
/// the spec that the hash has to cover (relative paths, the host's network).
pub fn template(deployment: &Deployment, namespace: &str, prepare: impl FnOnce(&mut PodSpec)) -> Pod {
    let name = deployment.metadata.name.clone().unwrap_or_default();
    let namespace = namespace.to_owned();
    let template = deployment.spec.template.clone();
    let given = template.metadata.unwrap_or_default();
    let mut spec = template.spec.unwrap_or_default();
    prepare(&mut spec);
    defaults::pod_spec(&mut spec);
    pod(&name, &namespace, given, spec)
}

/// Returns the template of a Deployment of which only the labels and annotations of the pods have changed. The other
/// parts are taken from `template`, because the flags with which it was planned are not part of the object.
pub fn with_metadata(template: &PodTemplate, object: &Value) -> PodTemplate {
    let deployment: Deployment = serde_json::from_value(object.clone()).unwrap_or_default();
    let name = deployment.metadata.name.clone().unwrap_or_default();
    let namespace = template.pod.metadata.namespace.as_deref().unwrap_or("default");
    let written = deployment.spec.template;
    let planned = template.pod.spec.clone().unwrap_or_default();

    // The hashes do not cover --pull, so they are computed with the pull policies of the object.
    let mut given = written.spec.unwrap_or_default();
    defaults::pod_spec(&mut given);
    let mut hashed = planned.clone();
    let containers = |spec: &mut PodSpec| {
        let init = spec.init_containers.take().unwrap_or_default();
        init.into_iter().chain(std::mem::take(&mut spec.containers)).collect::<Vec<_>>()
    };
    let policies: Vec<_> = containers(&mut given).into_iter().map(|one| one.image_pull_policy).collect();
    let all = hashed.init_containers.iter_mut().flatten().chain(&mut hashed.containers);
    for (container, policy) in all.zip(policies) {
        container.image_pull_policy = policy;
    }
    let mut pod = pod(&name, namespace, written.metadata.unwrap_or_default(), hashed);
    let hash = hash::of_template(&pod, &template.network, template.runtime.as_deref());
    pod.spec = Some(planned);
    PodTemplate { pod, hash, ..template.clone() }
}

fn pod(name: &str, namespace: &str, given: ObjectMeta, spec: PodSpec) -> Pod {
    let hash = short_hash(&json!({"labels": given.labels, "annotations": given.annotations, "spec": spec}));
    let mut labels = given.labels.unwrap_or_default();
    labels.insert(TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
    let replica_set = format!("{name}-{hash}");
    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        name: replica_set.clone(),
        uid: stable_uid(&json!(["ReplicaSet", namespace, replica_set])),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(replica_set),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            annotations: given.annotations,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}
