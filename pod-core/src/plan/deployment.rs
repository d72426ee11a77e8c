//! Deployment -> pod template.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use super::hash::{self, short_hash, stable_uid};
use super::{PodTemplate, defaults};

/// A generated name is its prefix, cut to this many characters, and five more (apiserver's name generator).
pub const MAX_GENERATED_PREFIX: usize = 58;

/// The label that tells the pods of one template from those of another.
pub const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// The pod of a Deployment's template, with defaults, named `<name>-<pod-template-hash>`, labelled with that
/// hash and owned by the ReplicaSet that a cluster would have in between. `prepare` settles what the hash has
/// to cover beyond the template as written (relative paths, the host's network).
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

/// The template of a Deployment whose object has changed in the labels and annotations of its pods alone. The rest is as
/// it was planned: what flags said then is not part of the object.
pub fn with_metadata(template: &PodTemplate, object: &Value) -> PodTemplate {
    let deployment: Deployment = serde_json::from_value(object.clone()).unwrap_or_default();
    let name = deployment.metadata.name.clone().unwrap_or_default();
    let namespace = template.pod.metadata.namespace.as_deref().unwrap_or("default");
    let written = deployment.spec.template;
    let planned = template.pod.spec.clone().unwrap_or_default();

    // The hashes do not cover --pull, so that they are made with what the object says.
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
